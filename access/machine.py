"""How busy the machine is, as Linux counts it."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Final

STAT: Final = Path("/proc/stat")
SAMPLES: Final = 13  # of every five seconds: a minute
_IDLE: Final = (3, 4)  # idle and waiting for a disk


class MachineCpu:
    """One a process; asked at even intervals."""

    def __init__(self, stat: Path = STAT) -> None:
        self._stat = stat
        self._seen: deque[tuple[int, int]] = deque(maxlen=SAMPLES)

    def share(self) -> float | None:
        """Of all cores, 0 to 1, over the last SAMPLES times it was asked; None where that cannot be known."""
        try:
            ticks = [int(each) for each in self._stat.read_text().split("\n", 1)[0].split()[1:9]]
            idle = sum(ticks[place] for place in _IDLE)
        except (OSError, ValueError, IndexError):
            return None
        self._seen.append((sum(ticks), idle))
        total, unused = (last - first for last, first in zip(self._seen[-1], self._seen[0], strict=True))
        return round(1 - unused / total, 4) if total > 0 else None
