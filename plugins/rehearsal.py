"""One plugin's hooks run over turns that are over, to see what they would do. Nothing of it reaches anybody: no other
plugin runs, no model is asked, and what a hook changes is compared and forgotten.

What a hook does outside of its turn (a request, a row) is its own doing and happens: it is told by `context.dry_run`
that this is the time to leave it, and says by `rehearses` that it does. See `harmless`."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Literal, NamedTuple

import msgspec
from django.db import close_old_connections

from engine.types import ChatRequest, Choice, Delta, Json, Message, Principal
from plugins.base import MOST_METADATA, Asked, PluginBase, TurnContext, TurnDelta, TurnResponse, copied
from plugins.chain import UNUSABLE

log = logging.getLogger(__name__)

OPENING: Final = 10.0  # seconds that `open` and `close` may take
MOST_GIVEN_UP: Final = 2  # hooks that did not end in time: then the plugin is called no more
LONGEST_ERROR: Final = 500

Outcome = Literal["ok", "none", "failed", "slow", "stuck", "not_reached"]


class PastTurn(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin is to be shown of a turn that is over. `choices` empty: it had no answer."""

    principal: Principal
    request: ChatRequest
    session_id: str | None = None
    history: Sequence[Message] = ()
    choices: list[Choice]
    turn_id: str
    at: float = 0.0


class PastSession(NamedTuple):
    """As much of a session as a hook is shown."""

    id: str
    history: Sequence[Message]


class HookReport(msgspec.Struct, kw_only=True):
    """`outcome` is `ok`, `none` (the plugin has no such hook), `failed`, `slow`, `stuck` (two hooks before it did not
    end, so it was not called) or `not_reached` (there is no answer, the hook before the model did not do its work, or
    it left the turn). `seconds` it took, `error` what it raised."""

    outcome: Outcome = "none"
    seconds: float = 0.0
    error: str = ""


class PreReport(HookReport, kw_only=True):
    """`messages` where it would change them, with those there `were`; `answer` is the one it would give in the model's
    place. `left`: it has nothing more to do in this turn."""

    were: list[Message] | None = None
    messages: list[Message] | None = None
    features: Json = {}
    answer: Message | None = None
    left: bool = False


class PostReport(HookReport, kw_only=True):
    """`choices` where the hooks after the model would change them, with those there `were`. For `process_delta` each
    choice is one piece. `asked` is the further round it asks for; none is made."""

    were: list[Choice] | None = None
    choices: list[Choice] | None = None
    asked: Asked | None = None


class TurnReport(msgspec.Struct, kw_only=True):
    """What a plugin would do to one recorded turn. `at` is in Unix seconds, `metadata` what it would hand to the
    client."""

    turn_id: str
    at: float
    pre: PreReport
    post: PostReport
    metadata: Json = {}

    @property
    def changes(self) -> bool:
        said = (self.pre.messages, self.pre.answer, self.post.choices, self.post.asked)
        return bool(self.pre.features or self.metadata) or any(each is not None for each in said)


class Rehearsal:
    """Of one plugin, which it opens and closes with itself (`with`); for one thread."""

    def __init__(self, plugin: PluginBase, timeout: float | None = None) -> None:
        """`timeout` in seconds of a hook, the plugin's own unless given."""
        self._plugin = plugin
        self._timeout = plugin.timeout if timeout is None else timeout
        self._bench = Bench()
        self._given_up = 0

    def __enter__(self) -> Rehearsal:
        """Raises HookFailed: the plugin cannot be opened."""
        try:
            if not self._bench.run(lambda _: self._plugin.open(), None, OPENING):
                raise HookFailed(TimeoutError(f"open() took longer than {OPENING:.0f} s"))
        except HookFailed:
            self._bench.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._bench.run(_closing(self._plugin), None, OPENING)
        except HookFailed as failed:
            log.warning("plugin %s: close failed after a dry run: %s", self._plugin.name, _said(failed.error))
        self._bench.close()

    def turn(self, past: PastTurn) -> TurnReport:
        """Blocks for no longer than the hooks may take."""
        messages = past.request.messages
        context = TurnContext(
            principal=past.principal,
            request=past.request,
            session=PastSession(past.session_id, past.history) if past.session_id else None,  # type: ignore[arg-type]
            messages=messages,
            features={},
            turn_id=past.turn_id,
            dry_run=True,
        )
        pre, post = PreReport(), PostReport()
        self._run("pre_process", context, pre, lambda: _left_before(pre, context, messages))
        if pre.outcome in ("ok", "none") and not pre.left:
            choices = past.choices
            if pre.answer is not None:
                choices = [Choice(message=pre.answer, finish_reason="stop")]
            self._after(context, choices, post)
        elif overrides(self._plugin, "post_process") or overrides(self._plugin, "process_delta"):
            post.outcome = "not_reached"
        try:
            metadata = _metadata(context)
        except UNUSABLE as error:
            metadata, pre.outcome, pre.error = {}, "failed", _said(error)
        return TurnReport(turn_id=past.turn_id, at=past.at, pre=pre, post=post, metadata=metadata)

    def _after(self, context: TurnContext, were: list[Choice], told: PostReport) -> None:
        """As in a turn: a plugin that needs the whole answer is not given pieces; any other has them, and sees it whole
        when it was sent."""
        choices, whole = were, overrides(self._plugin, "post_process")
        sent = whole and self._plugin.needs_full_response is False
        pieces = overrides(self._plugin, "process_delta") and (not whole or sent)
        if not (pieces or whole):
            return
        if not were:
            told.outcome = "not_reached"
            return
        if pieces:
            choices = self._pieces(context, choices, told)
        if whole and told.outcome in ("ok", "none"):
            left = self._whole(context, choices, told, sent=sent)
            choices = choices if sent else left
        if choices != were:  # what a hook that failed left of them is not among these
            told.were, told.choices = were, choices

    def _pieces(self, context: TurnContext, choices: list[Choice], told: PostReport) -> list[Choice]:
        """A streamed answer, of which each choice is one piece."""
        left = []
        for choice in choices:
            message = choice.message
            said = message.content if isinstance(message.content, str) else None
            piece = TurnDelta(
                Delta(
                    content=said,
                    reasoning=message.reasoning_content,
                    refusal=message.refusal,
                    tool_calls=message.tool_calls,
                    index=choice.index,
                ),
                context,
            )
            rest = TurnDelta(Delta(index=choice.index), context, last=True)
            for each in (piece, rest):
                self._run("process_delta", each, told, lambda: None)
                if told.outcome != "ok":
                    return choices
            made = msgspec.structs.replace(
                message,
                content=message.content if said is None and not rest.content else _joined(piece.content, rest.content),
                reasoning_content=_joined(piece.reasoning, rest.reasoning),
                refusal=_joined(piece.refusal, rest.refusal),
                tool_calls=[*(piece.tool_calls or []), *(rest.tool_calls or [])] or None,
            )
            left.append(msgspec.structs.replace(choice, message=made))
        return left

    def _whole(self, context: TurnContext, choices: list[Choice], told: PostReport, *, sent: bool) -> list[Choice]:
        response = TurnResponse(choices, context, sent=sent)
        left: list[Choice] = []
        self._run("post_process", response, told, lambda: _left_after(response, left, told))
        return left or choices

    def _run(self, hook: str, argument: object, told: HookReport, compare: Callable[[], None]) -> None:
        """Says in `told` what became of the hook."""
        if not overrides(self._plugin, hook):
            return
        if self._given_up >= MOST_GIVEN_UP:
            told.outcome = "stuck"
            return
        began = time.perf_counter()
        try:
            if self._bench.run(getattr(self._plugin, hook), argument, self._timeout):
                compare()
                told.outcome = "ok"
            else:
                told.outcome = "slow"
                self._given_up += 1
                self._bench = Bench()  # the other's thread cannot be ended
        except UNUSABLE as error:
            told.outcome, told.error = "failed", _said(error)
        except HookFailed as failed:
            told.outcome, told.error = "failed", _said(failed.error)
        finally:
            told.seconds = round(told.seconds + time.perf_counter() - began, 6)


def harmless(plugin: type[PluginBase]) -> bool:
    """Whether a dry run of its hooks has no effect outside of their turns, by what it says of itself."""
    after = any(getattr(plugin, hook) is not getattr(PluginBase, hook) for hook in ("post_process", "process_delta"))
    return plugin.rehearses or (plugin.pure and not after)


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


def overrides(plugin: PluginBase, hook: str) -> bool:
    return getattr(type(plugin), hook) is not getattr(PluginBase, hook)


def _left_before(told: PreReport, context: TurnContext, were: Sequence[Message]) -> None:
    """Raises what UNUSABLE names."""
    messages = copied(context.messages, list[Message])
    features = copied(context.features, Json)
    answer = None if context.answered is None else copied(context.answered, Message)
    if messages != list(were):
        told.were, told.messages = list(were), messages
    told.features, told.answer, told.left = features, answer, context.left


def _left_after(response: TurnResponse, left: list[Choice], told: PostReport) -> None:
    """Raises what UNUSABLE names."""
    choices = copied(response.choices, list[Choice])
    if not choices:
        raise ValueError("the hook left no choice")
    told.asked = None if response.asked is None or response.sent else copied(response.asked, Asked)
    left.extend(choices)


def _metadata(context: TurnContext) -> Json:
    """Raises what UNUSABLE names."""
    metadata = copied(context.metadata, Json)
    if len(msgspec.json.encode(metadata)) > MOST_METADATA:
        raise ValueError(f"the metadata is longer than {MOST_METADATA} bytes")
    return metadata


def _closing(plugin: PluginBase) -> Callable[[Any], Any]:
    async def close(_: object) -> None:
        await plugin.close()

    return close


def _joined(piece: str | None, rest: str | None) -> str | None:
    return None if piece is None and rest is None else f"{piece or ''}{rest or ''}"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
