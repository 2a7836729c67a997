"""Turns that were refused while other workers may have held something unused."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final

RETURNED_MS: Final = 50
MOST_WAITING: Final = 1_000  # of one tag: a flood of refusals is refused at once


class Line:
    """One a process."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, int] = defaultdict(int)

    async def wait(self, tag: str, after: int) -> bool:
        """So many ms, and a moment for what is on its way. False: too many wait already."""
        if self._waiting[tag] >= MOST_WAITING:
            return False
        self._waiting[tag] += 1
        try:
            await asyncio.sleep((after + RETURNED_MS) / 1000)
        finally:
            self._waiting[tag] -= 1
            if not self._waiting[tag]:
                del self._waiting[tag]
        return True


def due_back(after: int) -> float:
    """In so many seconds there may be room, whatever a counter says: who does not wait is told so."""
    return (after + RETURNED_MS) / 1000
