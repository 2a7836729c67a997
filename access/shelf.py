"""Where a streamed turn's events are kept for readers at other workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.types import Principal


class Shelf(Protocol):
    """Where events are kept for other workers (see `sessions_app.streams.EventStore`)."""

    def put(
        self, owner: Principal, turn_id: str, place: int, events: bytes, landed: Callable[[bool], None]
    ) -> None: ...

    def prolong(self, owner: Principal, turn_id: str) -> None: ...

    async def find(self, principal: Principal, turn_id: str) -> Principal | None: ...

    async def get(self, owner: Principal, turn_id: str, place: int) -> bytes:
        """Whole events from `place` on, not all of them if they are many; none: there are no more."""


class NoShelf:
    """Keeps nothing: readers come back to the same worker, or read the journal."""

    def put(self, owner: Principal, turn_id: str, place: int, events: bytes, landed: Callable[[bool], None]) -> None:
        landed(True)

    def prolong(self, owner: Principal, turn_id: str) -> None:
        pass

    async def find(self, principal: Principal, turn_id: str) -> Principal | None:
        return None

    async def get(self, owner: Principal, turn_id: str, place: int) -> bytes:
        return b""
