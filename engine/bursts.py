"""Deltas that arrived together go through the turn together: the guard reads them once instead of one by one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

from engine.types import Burst, Delta

Other = TypeVar("Other")


async def singly(upstream: AsyncGenerator[Delta | Burst | Other, None]) -> AsyncGenerator[Delta | Other, None]:
    """The same events one by one, for whoever looks at each."""
    async with aclosing(upstream):
        async for event in upstream:
            if type(event) is Burst:
                for delta in event.deltas:
                    yield delta
            else:
                yield event


def deltas_of(event: object) -> Sequence[Delta]:
    """What an event says of an answer, piece by piece."""
    if type(event) is Delta:
        return (event,)
    return event.deltas if type(event) is Burst else ()
