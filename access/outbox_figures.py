"""What the publisher says of the outbox, for the metrics of a web worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from engine.errors import StoreUnavailable
from plugins.outbox.figures import KEY, Figure, read
from tenants.handles import Store

PATIENCE: Final = 0.5  # seconds


class OutboxReader:
    """Nothing is known where the store is away."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def figures(self) -> Sequence[Figure]:
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._store.call("GET", KEY)
        except (StoreUnavailable, TimeoutError, OSError):
            return ()
        return read(found if isinstance(found, bytes) else None)
