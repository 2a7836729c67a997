"""Fewer, larger pieces of a stream: what comes within a few milliseconds of the last one is joined and leaves together.

The first piece is never held, nor one that comes later than the interval: pieces leave at least so far apart, and none
is more than one interval late. What comes meanwhile is only read; the guard, the edge and the client have the joined
piece: 50 a second for who wants 20 ms, however fast the model is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from types import coroutine
from typing import Any, Final

import msgspec

from engine.errors import EngineError
from engine.folding import Fold
from engine.tracing import Upstream
from engine.turn import Turn
from engine.types import Burst, Delta, End, Json

LONGEST: Final = 50  # milliseconds
MOST: Final = 256  # deltas that are held at once, where a source has them all already

Pull = Generator[Any, Any, Delta | Burst | End]


def spacing(turn: Turn, interval: Callable[[int], int]) -> int:
    """The milliseconds between two pieces of the turn's answer, 0: as they come. `interval`: those a tenant wants where
    its request does not say."""
    request = turn.request
    if not request.stream or turn.needs_full_response:
        return 0
    wanted = request.stream_interval
    return interval(turn.principal.tenant_id) if wanted is msgspec.UNSET else wanted


def spaced(turn: Turn, upstream: Upstream) -> Upstream | Spaced:
    """What leaves in fewer pieces where that is wanted."""
    return Spaced(upstream, turn.spaced / 1000, turn.fold) if turn.spaced else upstream


class Spaced:
    """The events of `upstream`, which it owns from now on, `interval` seconds apart once anything of the answer, which
    grows in `said`, has left."""

    def __init__(self, upstream: Any, interval: float, said: Fold) -> None:
        self._upstream = upstream
        self._interval = interval
        self._loop = loop = asyncio.get_running_loop()
        self._said = said
        self._due = loop.time() + interval
        self._pull: Pull | None = None  # has had its first step and waits
        self._waits_for: Any = None
        self._waiting: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._end: End | Exception | None = None  # what is left to say

    def __aiter__(self) -> Spaced:
        return self

    async def __anext__(self) -> Delta | Burst | End:
        """Raises what `upstream` raises, once what came before has left."""
        held: list[Delta] = []
        if self._end is None:
            try:
                self._end = await self._hold(held)
            except Exception as error:  # noqa: BLE001  # whatever it is, what came before it leaves first
                self._end = error
            finally:
                self._stop_timer()
        if held:
            self._due = self._loop.time() + self._interval
            deltas = joined(held)
            return deltas[0] if len(deltas) == 1 else Burst(deltas)
        if isinstance(self._end, End):
            return self._end
        assert self._end is not None
        raise self._end

    async def _hold(self, held: list[Delta]) -> End | None:
        """Adds what is to leave next, and gives the end where that follows."""
        while True:
            late = not self._said.size or self._loop.time() >= self._due
            event = self._there()
            if event is None:
                if late and held:
                    return None
                event = await (self._arrival() if late else self._pause())
            if isinstance(event, End):
                return event
            if event is not None:
                held += event.deltas if isinstance(event, Burst) else (event,)
            if len(held) >= MOST:
                return None

    def _there(self) -> Delta | Burst | End | None:
        """What `upstream` has already; None: it waits for something."""
        pull = self._pull
        if pull is None:
            pull = self._upstream.__anext__().__await__()
        elif self._waits_for is not None and not self._waits_for.done():
            return None
        self._pull = None
        try:
            self._waits_for = pull.send(None)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        self._pull = pull
        return None

    async def _pause(self) -> Delta | Burst | End | None:
        """Until `upstream` has more or the next piece is due. Who is cancelled meanwhile is cancelled where `upstream`
        waits."""
        self._waiting = waiting = self._loop.create_future()
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._ring)
        source = self._waits_for
        if source is None:  # for its next turn in the loop
            self._loop.call_soon(self._wake)
        else:
            source.add_done_callback(self._wake)
        try:
            await waiting
        except asyncio.CancelledError as error:
            return await self._arrival(error)
        finally:
            if source is not None:
                source.remove_done_callback(self._wake)
        return None

    def _ring(self) -> None:
        self._timer = None
        self._due = 0.0  # whatever the clock says: uvloop counts milliseconds, and is early by a part of one
        self._wake()

    def _wake(self, _: object = None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _arrival(self, error: BaseException | None = None) -> Delta | Burst | End:
        """`upstream`'s next event; `error` is raised where it waits."""
        pull, self._pull = self._pull, None
        assert pull is not None
        return await _gone_on(pull, self._waits_for, error)

    async def aclose(self) -> None:
        if self._pull is not None:
            ours = asyncio.CancelledError()  # a generator that waits can be left in no other way
            try:
                await self._arrival(ours)
            except (EngineError, StopAsyncIteration):
                pass
            except asyncio.CancelledError as error:
                if error is not ours:
                    raise
        await self._upstream.aclose()


@coroutine
def _gone_on(pull: Pull, waits_for: Any, error: BaseException | None) -> Pull:
    """Goes on with a coroutine that has had its first step."""
    while True:
        if error is None:
            try:
                yield waits_for
            except BaseException as thrown:  # noqa: BLE001  # a cancellation: it is the coroutine's to answer
                error = thrown
        try:
            waits_for = pull.send(None) if error is None else pull.throw(error)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        error = None


def joined(deltas: list[Delta]) -> list[Delta]:
    """The same with fewer pieces: neighbours that say more of one text, or of the arguments of one call, are one. What
    has log probabilities, or says several things, stays as it is."""
    found: list[Delta] = []
    kind: tuple[object, ...] | None = None
    texts: list[str] = []
    for delta in deltas:
        own = _kind(delta)
        if own is None or own != kind:
            _close(found, kind, texts)
            found.append(delta)
            kind, texts = own, []
        if own is not None:
            texts.append(_text(delta, own))
    _close(found, kind, texts)
    return found


def _kind(delta: Delta) -> tuple[object, ...] | None:
    """Of which text this is a piece: those with the same answer belong together. None: of none alone."""
    if delta.logprobs is not None or delta.extra_content is not None:
        return None
    said = [name for name in ("content", "reasoning", "refusal", "tool_calls") if getattr(delta, name) is not None]
    if len(said) != 1:
        return None
    if said[0] != "tool_calls":
        return said[0], delta.index
    call = delta.tool_calls[0] if delta.tool_calls and len(delta.tool_calls) == 1 else None
    if call is None or call.keys() != {"index", "function"} or call["function"].keys() != {"arguments"}:
        return None
    return "tool_calls", delta.index, call["index"]


def _text(delta: Delta, kind: tuple[object, ...]) -> str:
    if kind[0] == "tool_calls":
        assert delta.tool_calls is not None
        return delta.tool_calls[0]["function"]["arguments"]  # type: ignore[no-any-return]
    return getattr(delta, str(kind[0]))  # type: ignore[no-any-return]


def _close(found: list[Delta], kind: tuple[object, ...] | None, texts: list[str]) -> None:
    """The last delta says all of its text."""
    if kind is None or len(texts) < 2:
        return
    text = "".join(texts)
    if kind[0] == "tool_calls":
        calls: list[Json] = [{"index": kind[2], "function": {"arguments": text}}]
        found[-1] = msgspec.structs.replace(found[-1], tool_calls=calls)
    else:
        found[-1] = msgspec.structs.replace(found[-1], **{str(kind[0]): text})
