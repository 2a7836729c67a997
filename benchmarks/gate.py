"""Fails when a request has become dearer than committed: `python -m benchmarks.gate`; `--commit` writes the figures.

The rows are those of `benchmarks.inprocess`. Each sample stands between two of a fixed piece of work
(`benchmarks.yardstick`), and what is compared is a row's least sample over the least of the yardsticks: neighbours on
the machine slow both. A row above the line is measured again, up to five times with pauses between; the least counts,
since nothing makes code faster than it is. Besides, calls a request are counted, which is the same on every machine:
they say whether more is done or the same more slowly. `benchmarks.judging` has the lines."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
from collections.abc import Collection
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvloop

from benchmarks import judging, workload
from benchmarks.inprocess import TOGETHER, Work, cost, layers, nothing, prepared, started, whole
from benchmarks.judging import ELSEWHERE, Committed, Figure
from benchmarks.machine import machine
from benchmarks.processes import times
from benchmarks.yardstick import Yardstick
from clawdbot_site.wiring import Application

ROUNDS: Final = 4
COUNTED: Final = TOGETHER * workload.TURNS  # requests whose calls are counted: whole conversations
BATCH: Final = 2 * COUNTED  # requests a sample
AGAIN: Final = 5
PAUSES: Final = (1.0, 2.0, 3.0, 4.0, 5.0)  # seconds before a row is measured again
YARDS: Final = 4  # each side of a sample
FULL: Final = 0.5  # seconds of waiting for a core for each on one: the machine is too full to judge CPU strictly
FAILURES: Final = 20  # samples that may fail in a row: on a full machine a store may be out of reach for a moment


class Rows:
    """The rows of one running application, measured as often as one likes."""

    def __init__(self, application: Application, keys: dict[str, str], batch: int) -> None:
        self._application = application
        self._keys = keys
        self._batch = batch
        self._yardstick = Yardstick()
        self._works: dict[str, list[Work]] = {}
        self._drivers: dict[str, list[Work]] = {}
        self.room = True
        """Whether others left this process a core while it measured the last time."""

    async def begin(self) -> list[str]:
        """Makes the works; conversations begin anew. Returns the names."""
        self._works = {
            **whole(self._application.app, self._keys),
            **await layers(self._application, self._keys["full"]),
        }
        self._drivers = whole(nothing, self._keys)
        return [name for name in self._works if not name.startswith("yardstick")]

    async def warm(self, names: Collection[str]) -> None:
        for name in names:
            await self._sample(name)

    async def measure(self, names: Collection[str], rounds: int) -> dict[str, Figure]:
        """Each in turn, round after round."""
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        self._yardstick.begin()
        began = times(os.getpid())
        for _ in range(rounds):
            for name in names:
                samples[name].append(await self._sample(name))
        used = times(os.getpid()) - began
        self.room = used.waited < FULL * used.ran
        yard = self._yardstick.least() * 1e6
        return {name: _least(samples[name], yard, await self._calls(name)) for name in names}

    async def _sample(self, name: str) -> tuple[float, float]:
        """Microseconds of a request and of its driver. Raises AssertionError if it fails every time."""
        for place in range(FAILURES):
            try:
                await self._yard()
                sample = await cost(self._works[name], self._batch)
                await self._yard()
                break
            except AssertionError:
                if place + 1 == FAILURES:
                    raise
                await asyncio.sleep(0.5)
                await self.begin()
        driver = await cost(self._drivers[name], self._batch) if name in self._drivers else 0.0
        return sample, driver

    async def _yard(self) -> None:
        for _ in range(YARDS):
            await self._yardstick.measure()

    async def _calls(self, name: str) -> float:
        """Calls a request of the event loop's thread, of Python and C functions; resumed coroutines count as calls."""
        driven = await _counted(self._drivers[name]) if name in self._drivers else 0
        return (await _counted(self._works[name]) - driven) / COUNTED


async def _counted(works: list[Work]) -> int:
    count = 0

    def seen(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    sys.setprofile(seen)
    try:
        await cost(works, COUNTED)
    finally:
        sys.setprofile(None)
    return count


def _least(samples: list[tuple[float, float]], yard: float, calls: float) -> Figure:
    cpu = min(sample for sample, _ in samples) - min(driver for _, driver in samples)
    return Figure(round(cpu, 2), round(cpu / yard, 5), round(calls, 1))


async def measured(
    application: Application, keys: dict[str, str], asked: argparse.Namespace, committed: Committed | None, line: float
) -> tuple[dict[str, Figure], bool]:
    """All rows; those above the line again and again, where there is something to compare with. And whether the machine
    had room for this process each time: where it had none, only what is far above is measured again."""
    async with started(application):
        rows = Rows(application, keys, asked.batch)
        names = [name for name in await rows.begin() if asked.only in name]
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)  # as a web worker does
        await rows.warm(names)
        found = await rows.measure(names, asked.rounds)
        room = rows.room
        for pause in PAUSES[: AGAIN if committed else 0]:
            above = [name for name in names if _above(found[name], committed, name, line if room else ELSEWHERE)]
            if not above:
                break
            print(f"Above the line, measured again in {pause:.0f} s: {', '.join(above)}", flush=True)
            await asyncio.sleep(pause)
            again = await rows.measure(above, asked.rounds)
            found.update({name: found[name].least(figure) for name, figure in again.items()})
            room = room and rows.room
    return found, room


def _above(figure: Figure, committed: Committed | None, name: str, line: float) -> bool:
    then = committed.rows.get(name) if committed else None
    return then is not None and judging.slower(figure, then, line)


def table(found: dict[str, Figure], committed: Committed | None) -> str:
    lines = [f"{'CPU µs':>8} {'yards':>9} {'times':>6} {'calls':>7} {'times':>6}"]
    for name, now in found.items():
        then = committed.rows.get(name) if committed else None
        by_cpu = f"{now.ratio / then.ratio:6.2f}" if then and then.ratio else f"{'':6}"
        by_calls = f"{now.calls / then.calls:6.2f}" if then and then.calls else f"{'':6}"
        lines.append(f"{now.cpu:8.1f} {now.ratio:9.5f} {by_cpu} {now.calls:7.1f} {by_calls}  {name}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=0, help=f"{ROUNDS}; {4 * ROUNDS} with --commit")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--only", default="", help="part of a name")
    parser.add_argument("--commit", action="store_true", help="writes the committed figures instead of judging")
    parser.add_argument("--file", type=Path, default=judging.COMMITTED, help="the committed figures")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (4 * ROUNDS if asked.commit else ROUNDS)
    here = machine()
    before = judging.read(asked.file) if asked.file.exists() else None
    compared = None if asked.commit else before
    line = before.line(here.processor, here.python) if before else judging.LINE
    if before and line != judging.LINE:
        print(f"Committed on {before.processor}, Python {before.python}: CPU is judged at {line:g} times.")
    logging.disable(logging.ERROR)  # a store that is out of reach for a moment on a full machine
    with prepared() as (application, keys):
        found, room = uvloop.run(measured(application, keys, asked, compared, line))
    print(table(found, before))
    if asked.commit:
        kept = {
            name: figure
            for name, figure in (before.rows if before else {}).items()
            if asked.only and asked.only not in name
        }
        judging.write(Committed(here.processor, here.python, here.commit, here.date, {**kept, **found}), asked.file)
        return 0
    if not room:
        print(f"Others had the cores half of the time: CPU is judged at {ELSEWHERE:g} times.")
        line = ELSEWHERE
    return verdict(found, compared, line)


def verdict(found: dict[str, Figure], committed: Committed | None, line: float) -> int:
    if committed is None:
        print("Nothing is committed: python -m benchmarks.gate --commit", file=sys.stderr)
        return 1
    if cheaper := judging.much_less(found, committed):
        print(f"Much cheaper than committed, to be committed anew: {', '.join(cheaper)}")
    if reasons := judging.judged(found, committed, line):
        print("Dearer than committed. If that is meant: python -m benchmarks.gate --commit", file=sys.stderr)
        print(*reasons, sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
