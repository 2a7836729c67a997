"""What a process says of itself to the others of its machine, and how all of it becomes one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from access.metrics.families import CPU, FAMILIES, MEMORY, RATIO, WORKER_UP
from access.metrics.processes import Process
from access.metrics.series import Spreads, Values, combine

HUNG: Final = 10.0  # seconds after its last word a process counts as one that hangs


class Totals(msgspec.Struct):
    """By the names of families."""

    counts: dict[str, Values] = {}
    spreads: dict[str, Spreads] = {}
    gauges: dict[str, Values] = {}


class Snapshot(Totals, kw_only=True):
    """`id` is a process's own, `worker` its place, which the next one may take; empty: what processes counted that are
    gone, whose ids are `included`. Counters and histograms hold as long as any process of the machine lives, the rest
    while this one does. `ended`: it went as it should. `recent` are the turns of the last minutes: completed, and lost.

    The reader notes whether it is `alive`."""

    id: str = ""
    worker: str = ""
    at: float = 0.0
    ended: bool = False
    recent: tuple[int, int] = (0, 0)
    processes: list[Process] = []
    included: list[str] = []
    alive: bool = True


encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Snapshot)


def decode(raw: bytes) -> Snapshot | None:
    """None: another version wrote it."""
    try:
        return _decoder.decode(raw)
    except msgspec.MsgspecError:
        return None


def add(into: Totals, other: Totals) -> None:
    """The counters and histograms of another. What another version has cut differently is left out."""
    for name, values in other.counts.items():
        mine = into.counts.setdefault(name, {})
        for key, value in values.items():
            mine[key] = mine.get(key, 0.0) + value
    for name, spreads in other.spreads.items():
        observed = into.spreads.setdefault(name, {})
        for key, spread in spreads.items():
            had = observed.get(key)
            if had is None:
                observed[key] = spread
            elif len(had) == len(spread):
                observed[key] = [a + b for a, b in zip(had, spread, strict=True)]


def total(snapshots: Iterable[Snapshot], now: float) -> Totals:
    """Of a machine: what its processes have counted, and how those that live are doing."""
    found = Totals()
    completed = lost = 0
    sayings: dict[str, dict[tuple[str, ...], int]] = {}
    up, cpu, memory = (found.gauges.setdefault(each.name, {}) for each in (WORKER_UP, CPU, MEMORY))
    for each in snapshots:
        add(found, each)
        if not each.worker or each.ended:
            continue
        up[(each.worker,)] = float(each.alive and now - each.at < HUNG)
        if each.alive:
            _add_gauges(found.gauges, each.gauges, sayings)
            completed, lost = completed + each.recent[0], lost + each.recent[1]
            for process in each.processes:
                cpu[process.worker, process.kind] = process.cpu
                memory[process.worker, process.kind] = process.memory
    for name, counted in sayings.items():
        values = found.gauges[name]
        values.update({key: values[key] / number for key, number in counted.items()})
    if completed + lost:
        found.gauges[RATIO.name] = {(): completed / (completed + lost)}
    return found


def _add_gauges(
    into: dict[str, Values], gauges: dict[str, Values], sayings: dict[str, dict[tuple[str, ...], int]]
) -> None:
    for name, values in gauges.items():
        family = FAMILIES.get(name)
        if family is None:
            continue
        mine, mean = into.setdefault(name, {}), family.merged == "mean"
        for key, value in values.items():
            combine(mine, key, value, "sum" if mean else family.merged)
            if mean:
                counted = sayings.setdefault(name, {})
                counted[key] = counted.get(key, 0) + 1
