"""One turn for a caller who stays until it is over, whatever the format of the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from access.parts import Parts
from access.turns import Running
from engine.types import Burst, ChatRequest, Done, Event, Principal, Start


@asynccontextmanager
async def answering(
    parts: Parts, principal: Principal, request: ChatRequest
) -> AsyncIterator[tuple[Start, AsyncGenerator[Event | Burst, None]]]:
    """Begins the turn: its Start and the events that follow, together what leaves together. Whoever
    may can cancel it meanwhile, and so does leaving early. Raises EngineError."""
    with parts.running.running(principal, request) as running:
        async with aclosing(parts.engine.bursts(principal, request)) as turn:
            start = await anext(turn)
            assert type(start) is Start
            running.begun(start)
            yield start, _counted(running, turn)


async def _counted(running: Running, turn: AsyncGenerator[Event | Burst, None]) -> AsyncGenerator[Event | Burst, None]:
    """The same events; who looks at what runs sees how many there were."""
    async for event in turn:
        running.pieces += len(event.deltas) if type(event) is Burst else 1
        yield event


async def answer_whole(parts: Parts, principal: Principal, request: ChatRequest) -> tuple[Start, Done]:
    """The same turn for an answer that leaves in one piece. Who watches its session is told."""
    with parts.running.running(principal, request) as running:
        done = await parts.engine.complete(principal, request, running.begun)
    start = running.start
    assert start is not None
    parts.watching.tell(principal, start)
    return start, done
