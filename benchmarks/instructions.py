"""Processor instructions a request: `python -m benchmarks.instructions [--row NAME] [--requests N]`.

A row of `benchmarks.inprocess` under Valgrind's callgrind, which has to be installed (Debian: valgrind), after a
warm-up. What is counted is the event loop's thread: instructions, and what a simulated processor misses in its caches
of the first level (32 KiB for instructions, 48 for data) and of the second (2 MiB), and mispredicts. A busy machine
changes times, and these little. A request takes a hundred times as long as otherwise, so what is done once in so many
seconds weighs a hundred times as much: compare counts with counts."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.inprocess import Work, cost, nothing, prepared, started, whole
from clawdbot_site.wiring import Application

WARM: Final = 640  # requests before the counting
REQUESTS: Final = 320
CACHES: Final = ("--I1=32768,8,64", "--D1=49152,12,64", "--LL=2097152,16,64")
SHOWN: Final = {
    "instructions": ("Ir",),
    "first-level misses, instructions": ("I1mr",),
    "first-level misses, data": ("D1mr", "D1mw"),
    "second-level misses": ("ILmr", "DLmr", "DLmw"),
    "mispredicted branches": ("Bcm", "Bim"),
}
"""What is printed, as sums of callgrind's events (Valgrind's manual, 6.2)."""


def counts(dump: str) -> dict[str, int]:
    """Events of a dump of callgrind by name. Raises ValueError: it is none."""
    events = re.search(r"^events: (.+)$", dump, re.MULTILINE)
    summary = re.search(r"^summary: (.+)$", dump, re.MULTILINE)
    if events is None or summary is None:
        raise ValueError("no dump of callgrind")
    return dict(zip(events[1].split(), map(int, summary[1].split()), strict=False))


def table(found: Mapping[str, int], requests: int) -> str:
    """A request's share of each."""
    each = ((name, sum(found.get(event, 0) for event in events) / requests) for name, events in SHOWN.items())
    return "\n".join(f"{share:12,.0f}  {name}" for name, share in each)


def busiest(folder: Path) -> str:
    """The dump of the thread that did most: the event loop's."""
    dumps = [path.read_text(errors="replace") for path in folder.glob("out.*.1-*")]
    return max((dump for dump in dumps if "\nsummary: " in dump), key=lambda dump: counts(dump).get("Ir", 0))


async def counted(application: Application, keys: dict[str, str], row: str, requests: int) -> None:
    """In the process that callgrind watches: it is told when to begin and to end."""
    async with started(application):
        works: list[Work] = whole(application.app, keys)[row]
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)  # as a web worker does
        await cost(works, WARM)
        await asyncio.to_thread(_tell, "-i", "on")
        await cost(works, requests // 5)  # its caches are empty
        await asyncio.to_thread(_tell, "-z")
        await cost(works, requests)
        await asyncio.to_thread(_tell, "-d")
        await asyncio.to_thread(_tell, "-i", "off")


def _tell(*what: str) -> None:
    subprocess.run(["callgrind_control", *what, str(os.getpid())], check=True, stdout=subprocess.DEVNULL)  # noqa: S603, S607


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--row", default="/v1, everything on")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--watched", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.watched:
        with prepared() as (application, keys):
            uvloop.run(counted(application, keys, asked.row, asked.requests))
        return 0
    if asked.row not in (rows := whole(nothing, {"full": "", "plain": ""})):
        print("There is no such row. There are:", *rows, sep="\n", file=sys.stderr)
        return 2
    if shutil.which("valgrind") is None:
        print("There is no valgrind (Debian: apt-get install valgrind).", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        watched = [
            "valgrind", "--tool=callgrind", "--separate-threads=yes", "--instr-atstart=no", "--cache-sim=yes",
            "--branch-sim=yes", *CACHES, f"--callgrind-out-file={folder}/out.%p", sys.executable, "-m",
            "benchmarks.instructions", "--watched", "--row", asked.row, "--requests", str(asked.requests),
        ]  # fmt: skip
        ended = subprocess.run(watched, stderr=subprocess.PIPE, text=True)  # noqa: S603
        if ended.returncode:
            print(ended.stderr, file=sys.stderr)
            print("Turns may have become too late for the journal: the machine is too full for this.", file=sys.stderr)
            return ended.returncode
        print(table(counts(busiest(Path(folder))), asked.requests))
    return 0


if __name__ == "__main__":
    sys.exit(main())
