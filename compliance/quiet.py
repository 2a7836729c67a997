"""What a list of words was found not to hold: short ends of answers, read before.

A model's pieces are a few thousand tokens again and again, so most of what a guard reads it has read before, after the
same characters. What it made of it depends on these alone."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple
from weakref import WeakSet

NEAR: Final = 4  # characters before a piece; after more of them hardly any piece comes twice
LONGEST: Final = 40  # characters with those
MOST: Final = 16_384  # texts that are kept in a process: some 3 MB of ASCII, 7 of signs that take four bytes


class Decided(NamedTuple):
    """As the channel has them then. What is neither held nor was before leaves."""

    before: str
    held: str


class Quiet:
    """Of one `WordMatcher`, whoever's answers it reads. `ends[n]` has what was decided by the text (what left before,
    what was held, what came), where `n` characters of it left before."""

    __slots__ = ("__weakref__", "ends")

    def __init__(self) -> None:
        self.ends: tuple[dict[str, Decided], ...] = tuple({} for _ in range(NEAR))
        with _lock:
            _all.add(self)

    def note(self, size: int, text: str, decided: Decided) -> None:
        """Makes room by forgetting everything, of all lists: what is used comes again soon."""
        global _count
        with _lock:
            if _count >= MOST:
                for each in _all:
                    for known in each.ends:
                        known.clear()
                _count = 0
            _count += 1
            self.ends[size][text] = decided


_lock: Final = threading.Lock()
_all: Final[WeakSet[Quiet]] = WeakSet()
_count = 0
