"""How long to wait before a lost connection is tried again."""

from __future__ import annotations

import asyncio
import random

FIRST = 0.1
LONGEST = 5.0
TRIES = 8  # without anything heard in between


class Backoff:
    """Doubling pauses with jitter; `heard` begins anew."""

    def __init__(self, tries: int = TRIES) -> None:
        self._tries = tries
        self._failed = 0

    def heard(self) -> None:
        self._failed = 0

    async def pause(self) -> bool:
        """False: it was tried often enough."""
        if self._failed >= self._tries:
            return False
        longest = min(LONGEST, FIRST * 2**self._failed)
        self._failed += 1
        await asyncio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
        return True
