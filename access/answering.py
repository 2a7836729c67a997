"""One turn for a caller who stays until it is over, whatever the format of the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType

from access.parts import Parts
from access.turns import Running
from engine.types import Burst, ChatRequest, Done, Event, Principal, Start


class answering:  # noqa: N801  # a block, like `contextlib.closing`
    """`async with answering(...) as (start, turn):` begins the turn; `async for event in turn.events` is what follows,
    together what leaves together. Whoever may can cancel it meanwhile, and so does leaving early. Who sends an event
    calls `turn.sent(event)`, for whoever looks at what runs. Raises EngineError.

    A stream keeps this as long as it lasts: written with generators, what it does took a thousand bytes."""

    __slots__ = ("_running", "events")

    def __init__(self, parts: Parts, principal: Principal, request: ChatRequest) -> None:
        self._running: Running = parts.running.running(principal, request)
        self.events: AsyncGenerator[Event | Burst, None] = parts.engine.bursts(principal, request)

    async def __aenter__(self) -> tuple[Start, answering]:
        self._running.__enter__()
        try:
            start = await anext(self.events)
            assert type(start) is Start
            self._running.begun(start)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return start, self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.events.aclose()
        except BaseException as late:
            self._running.__exit__(type(late), late, late.__traceback__)
            raise
        self._running.__exit__(kind, error, traceback)

    def sent(self, event: Event | Burst) -> None:
        self._running.pieces += len(event.deltas) if type(event) is Burst else 1


async def answer_whole(parts: Parts, principal: Principal, request: ChatRequest) -> tuple[Start, Done]:
    """The same turn for an answer that leaves in one piece. Who watches its session is told."""
    with parts.running.running(principal, request) as running:
        done = await parts.engine.complete(principal, request, running.begun)
    start = running.start
    assert start is not None
    parts.watching.tell(principal, start)
    return start, done
