"""A plugin's place beside a stream: each piece of the answer passes its `process_delta`."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Final

from engine.types import Delta
from plugins.active import Active
from plugins.base import TurnContext, TurnDelta
from plugins.hooks import ordinary, settled

if TYPE_CHECKING:
    from plugins.chain import PluginChain
    from plugins.run import ChainRun

HOOK: Final = "process_delta"


class DeltaSeat:
    """One plugin in one turn. `indexes` are the choices that it saw pieces of. Its hook counts once a turn: when the
    answer is over, or when it fails and sees no more."""

    __slots__ = ("_active", "_chain", "_context", "_entered", "_over", "_run", "_spent", "indexes")

    def __init__(self, chain: PluginChain, run: ChainRun, active: Active, context: TurnContext) -> None:
        self.indexes: set[int] = set()
        self._chain = chain
        self._run = run
        self._active = active
        self._context = context
        self._spent = 0.0
        self._entered = False
        self._over = False

    async def piece(self, delta: Delta, *, last: bool = False) -> Delta | None:
        """What the plugin makes of it; the same where it sees no more of this turn. None: nothing of it is left.
        Raises PluginUnavailable where the plugin is required and fails."""
        if not last:
            self.indexes.add(delta.index)
        if self._over or not self._may_enter():
            return None if last else delta
        argument = TurnDelta(delta, self._context, last=last)
        began = time.monotonic()
        try:
            await self._called(argument)
            changed = _taken(delta, argument)
        except TimeoutError as error:
            self._fail("slow", error, began)
        except Exception as error:  # noqa: BLE001 - border: whatever a plugin raises is its own failure
            self._fail("failed", error, began)
        else:
            self._spent += time.monotonic() - began
            if self._spent > self._active.timeout:
                self._fail("slow", None, time.monotonic())
            return changed
        return None if last else delta

    def end(self) -> None:
        """The answer is over."""
        if self._entered and not self._over:
            self._over = True
            self._chain.ran(self._active, HOOK, "ok", self._spent)

    def leave(self) -> None:
        """The turn is over, however."""
        if self._entered and not self._over:
            self._over = True
            self._active.loaded.breaker.left()

    def _may_enter(self) -> bool:
        if self._entered:
            return True
        if not self._active.loaded.breaker.enter():
            self._over = True
            self._chain.skip(self._run, self._active, HOOK, "open")
            return False
        self._entered = True
        return True

    async def _called(self, argument: TurnDelta) -> None:
        plugin = self._active.loaded.plugin
        assert plugin is not None
        try:
            returned = plugin.process_delta(argument)
            if inspect.isawaitable(returned):
                await asyncio.wait_for(settled(returned), max(0.001, self._active.timeout - self._spent))
        except (SystemExit, KeyboardInterrupt, StopIteration) as error:
            raise ordinary(error) from error

    def _fail(self, reason: str, error: BaseException | None, began: float) -> None:
        self._over = True
        seconds = self._spent + time.monotonic() - began
        self._chain.skip(self._run, self._active, HOOK, reason, error=error, seconds=seconds)


def _taken(delta: Delta, argument: TurnDelta) -> Delta | None:
    """The piece as the hook left it. A text that was changed loses its log probabilities."""
    content, reasoning, refusal = argument.content, argument.reasoning, argument.refusal
    for text, before in ((content, delta.content), (reasoning, delta.reasoning), (refusal, delta.refusal)):
        if text is not before and text is not None:
            _check(text)
    calls = argument._left_tool_calls()
    changed = content != delta.content
    taken = Delta(
        content=content,
        reasoning=reasoning,
        refusal=refusal,
        tool_calls=calls,
        index=delta.index,
        logprobs=None if changed else delta.logprobs,
        extra_content=delta.extra_content,
    )
    return None if taken == Delta(index=delta.index) else taken


def _check(text: object) -> None:
    """Raises TypeError, UnicodeEncodeError."""
    if not isinstance(text, str):
        raise TypeError("a piece of an answer is text")
    text.encode()
