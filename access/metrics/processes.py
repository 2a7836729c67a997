"""CPU time and memory of processes, read from /proc: what `prometheus_client`'s own collector knows only of one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import msgspec

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Process(msgspec.Struct, frozen=True):
    """CPU seconds since it began, bytes in RAM (0: the system does not say)."""

    worker: str
    kind: str
    cpu: float
    memory: float


def own(worker: str, kind: str) -> Process:
    try:
        memory = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        memory = 0
    return Process(worker, kind, time.process_time(), memory)


def of(pid: int, worker: str, kind: str) -> Process | None:
    """Another one; None: it is gone, or the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        ticks, pages = int(fields[11]) + int(fields[12]), int(fields[21])
    except (OSError, ValueError, IndexError):
        return None
    return Process(worker, kind, ticks / _TICKS, pages * _PAGE)
