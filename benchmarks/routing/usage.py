"""Who used the processors during a run, and whether its figures mean anything: a load generator or a gateway without
time to run measures itself."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import times

LATEST: Final = 0.05  # seconds by which the load may send a hundredth of its requests too late
BUSIEST: Final = 0.95  # of all processors
STRANGERS: Final = 0.1  # of a processor that others may use
SLOWER: Final = 1.3  # times what the upstreams take: the median answer without a fault, at most,
SLOWEST: Final = 3.0  # and the slowest hundredth of them


@dataclass(frozen=True)
class Usage:
    """Processors used by each, on average: 1 is a whole one. `machine` is the part of all there are that was busy,
    `starved` what the gateway waited for a processor by what it ran."""

    gateway: float
    upstreams: float
    load: float
    store: float
    others: float
    machine: float
    starved: float

    def __str__(self) -> str:
        return (
            f"gateway {self.gateway:.2f}, upstreams {self.upstreams:.2f}, load {self.load:.2f}, "
            f"store {self.store:.2f}, others {self.others:.2f}; machine {100 * self.machine:.0f} % busy, "
            f"gateway starved {self.starved:.2f}"
        )


class Meter:
    """Of this process, which is the load, and those it started: the gateway's, the upstreams' and the store's."""

    def __init__(self, gateway: int, upstreams: int) -> None:
        self._pids = (gateway, upstreams, os.getpid())
        self.start()

    def start(self) -> None:
        self._began = self._read()

    def read(self) -> Usage:
        """Since the start."""
        seconds, busy, load, gateway, upstreams, ours = (
            new - old for new, old in zip(self._read(), self._began, strict=True)
        )
        return Usage(
            gateway=gateway.ran / seconds,
            upstreams=upstreams.ran / seconds,
            load=load / seconds,
            store=(ours.ran - gateway.ran - upstreams.ran - load) / seconds,
            others=max(0.0, (busy - ours.ran) / seconds),
            machine=busy / seconds / (os.cpu_count() or 1),
            starved=gateway.waited / gateway.ran if gateway.ran else 0.0,
        )

    def _read(self) -> tuple[Any, ...]:
        gateway, upstreams, ours = (times(pid) for pid in self._pids)
        return time.monotonic(), _busy(), time.process_time(), gateway, upstreams, ours


def _busy() -> float:
    """Seconds that processors were busy since the machine started."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def complaints(usage: Usage, late: float, healthy: Sequence[float], usual: float) -> Sequence[str]:
    """Why a run does not count, if anything. `late`: seconds by which the load's latest hundredth was sent after it was
    due; `healthy`: the median answer before the fault and its slowest hundredth, where the upstreams take `usual`."""
    found = []
    if late > LATEST:
        found.append(f"the load sent 1 of 100 requests more than {late * 1e3:.0f} ms late")
    for seconds, limit, which in zip(healthy, (SLOWER, SLOWEST), ("the median", "the 99th percentile"), strict=True):
        if seconds > limit * usual:
            found.append(f"without a fault {which} was {seconds * 1e3:.0f} ms; the upstreams take {usual * 1e3:.0f}")
    if usage.machine > BUSIEST:
        found.append(f"the processors were busy {100 * usage.machine:.0f} % of the time")
    return found


def disturbance(usage: Usage) -> Sequence[str]:
    """Who else was there, if anybody."""
    return [f"others used {usage.others:.2f} processors"] if usage.others > STRANGERS else []
