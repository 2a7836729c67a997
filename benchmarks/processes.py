"""Processes under measurement: pinned to a core, their CPU time and memory as the kernel counts them."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
GATEWAY_CORE = {CORES[0]}
LOAD_CORE = {CORES[-1]}  # with one core only, both are it


def wait_for_port(port: int, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on port {port} after {seconds:.0f} s")
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    pids = [pid]
    for each in pids:
        pids += children(each)
    return pids


def pin(pid: int, cores: set[int]) -> None:
    """Every thread of the process and of those below it; what they start later inherits it."""
    for each in tree(pid):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                os.sched_setaffinity(int(task.name), cores)


@dataclass(frozen=True)
class Times:
    """Seconds: on a core, and ready to run but without one (what others took)."""

    ran: float
    waited: float

    def __sub__(self, other: Times) -> Times:
        return Times(self.ran - other.ran, self.waited - other.waited)


def times(pid: int) -> Times:
    """Of all threads of the process and of those below it, to the nanosecond where the kernel keeps schedstat."""
    ran = waited = 0.0
    for each in tree(pid):
        for schedule in _schedules(each):
            ran += schedule[0]
            waited += schedule[1]
    return Times(ran, waited)


def _schedules(pid: int) -> Iterator[tuple[float, float]]:
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                ran, waited, _ = map(int, (task / "schedstat").read_text().split())
                yield ran / 1e9, waited / 1e9
            except OSError:
                fields = (task / "stat").read_text().rpartition(")")[2].split()
                yield (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 0.0


def resident(pid: int) -> float:
    """MiB of memory of the process and of those below it."""
    pages = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
