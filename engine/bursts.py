"""Deltas that arrived together go through the turn together: the guard reads them once instead of one by one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from engine.types import Burst, Delta, End


async def singly(upstream: AsyncGenerator[Delta | Burst | End, None]) -> AsyncGenerator[Delta | End, None]:
    """The same events one by one, for whoever looks at each."""
    async with aclosing(upstream):
        async for event in upstream:
            if type(event) is Burst:
                for delta in event.deltas:
                    yield delta
            else:
                yield event
