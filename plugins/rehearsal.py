"""One plugin's hooks run over turns that are over, to see what they would do. Nothing of it reaches anybody: no other
plugin runs, no model is asked, and what a hook changes is compared and forgotten.

What a hook does outside of its turn (a request, a row) is its own doing and happens: a plugin says by `pure` that there
is no such thing, and is told by `context.dry_run` that this is the time to leave it."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Literal

import msgspec
from django.db import close_old_connections

from engine.types import ChatRequest, Choice, Json, Message, Principal
from plugins.base import PluginBase, TurnContext, TurnResponse, copied
from plugins.chain import UNUSABLE, overrides

MOST_GIVEN_UP: Final = 2  # hooks that did not end in time: then the plugin is called no more
LONGEST_ERROR: Final = 500

Outcome = Literal["ran", "none", "failed", "slow", "stuck", "not_reached"]


class PastTurn(msgspec.Struct, frozen=True, kw_only=True):
    """What a hook is to be shown of a turn that is over. `choices` empty: it had no answer."""

    principal: Principal
    request: ChatRequest
    messages: Sequence[Message]
    choices: list[Choice]
    turn_id: str


class Rehearsed(msgspec.Struct, kw_only=True):
    """What became of one hook. `outcome` is `ran`, `none` (the plugin has no such hook), `failed` (`error` says how),
    `slow` (it had its time), `stuck` (two hooks before it did not end, so it was not called) or `not_reached` (there
    is no answer, or the hook before the model did not run to its end). `seconds` it took."""

    outcome: Outcome
    seconds: float = 0.0
    error: str = ""


class RehearsedPre(Rehearsed, kw_only=True):
    """`messages` are those it left, None where it left them as they were; `answer` is the one it gave in the model's
    place."""

    messages: list[Message] | None = None
    features: Json = {}
    answer: Message | None = None


class RehearsedPost(Rehearsed, kw_only=True):
    """`choices` are those it left, None where it left them as they were."""

    choices: list[Choice] | None = None


class Rehearsal:
    """Of one plugin; `close` it. For one thread."""

    def __init__(self, plugin: PluginBase, timeout: float | None = None) -> None:
        """`timeout` in seconds of a hook, the plugin's own unless given."""
        self._plugin = plugin
        self._timeout = plugin.timeout if timeout is None else timeout
        self._bench = Bench()
        self._given_up = 0

    def turn(self, past: PastTurn) -> tuple[RehearsedPre, RehearsedPost]:
        """Blocks for no longer than both hooks may take."""
        context = TurnContext(
            principal=past.principal,
            request=past.request,
            session=None,
            messages=past.messages,
            features={},
            turn_id=past.turn_id,
        )
        before = RehearsedPre(outcome="none")
        self._run("pre_process", context, before, lambda: _left_before(before, context, past))
        after = RehearsedPost(outcome="none")
        choices = past.choices if before.answer is None else [Choice(message=before.answer, finish_reason="stop")]
        if not overrides(self._plugin, "post_process"):
            pass
        elif not choices or before.outcome not in ("ran", "none"):
            after.outcome = "not_reached"
        else:
            response = TurnResponse(choices, context)
            self._run("post_process", response, after, lambda: _left_after(after, response, choices))
        return before, after

    def close(self) -> None:
        self._bench.close()

    def _run(self, hook: str, argument: object, told: Rehearsed, compare: Callable[[], None]) -> None:
        """Says in `told` what became of the hook."""
        if not overrides(self._plugin, hook):
            return
        if self._given_up >= MOST_GIVEN_UP:
            told.outcome = "stuck"
            return
        began = time.perf_counter()
        try:
            done = self._bench.run(getattr(self._plugin, hook), argument, self._timeout)
            told.seconds = round(time.perf_counter() - began, 6)
            if not done:
                self._given_up += 1
                self._bench = Bench()  # the other's thread cannot be ended
                told.outcome = "slow"
                return
            compare()
            told.outcome = "ran"
        except UNUSABLE as error:
            told.outcome, told.error = "failed", _said(error)
        except HookFailed as failed:
            told.seconds = round(time.perf_counter() - began, 6)
            told.outcome, told.error = "failed", _said(failed.error)


class HookFailed(Exception):
    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(repr(error))


class Bench:
    """A thread with an event loop of its own that runs hooks one after the other, so that one that never ends, or
    blocks its loop, holds up nobody else. In the context of whoever made it: behind the wall of the same tenant."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[Any], Any], object, Future[None]] | None] = queue.SimpleQueue()
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._serve,), name="plugin-rehearsal", daemon=True).start()

    def run(self, hook: Callable[[Any], Any], argument: object, timeout: float) -> bool:
        """Whether it ended in time; if not, this bench is of no use any more. Raises HookFailed."""
        done: Future[None] = Future()
        self._work.put((hook, argument, done))
        try:
            error = done.exception(timeout)
        except TimeoutError:
            self._work.put(None)
            return False
        if error is not None:
            raise HookFailed(error)
        return True

    def close(self) -> None:
        self._work.put(None)

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            while (work := self._work.get()) is not None:
                hook, argument, done = work
                try:
                    returned = hook(argument)
                    if inspect.iscoroutine(returned):
                        if not inspect.iscoroutinefunction(hook):
                            returned.close()
                            raise TypeError("the hook returned a coroutine without being declared `async def`")
                        runner.run(returned)
                except BaseException as error:  # noqa: BLE001 - border: whatever a plugin raises is its own failure
                    done.set_exception(error)
                else:
                    done.set_result(None)
                finally:
                    close_old_connections()  # a plugin may use Django's database
                del work, hook, argument, done


def _left_before(told: RehearsedPre, context: TurnContext, past: PastTurn) -> None:
    messages = copied(context.messages, list[Message])
    features = copied(context.features, Json)
    answer = None if context.answered is None else copied(context.answered, Message)
    told.messages = messages if messages != copied(past.messages, list[Message]) else None
    told.features, told.answer = features, answer


def _left_after(told: RehearsedPost, response: TurnResponse, choices: list[Choice]) -> None:
    left = copied(response.choices, list[Choice])
    if not left:
        raise ValueError("the hook left no choice")
    told.choices = left if left != choices else None


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
