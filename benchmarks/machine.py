"""The machine a figure was taken on, and what else it was doing then."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """`addition` nanoseconds of one in a Python loop, `fdatasync` milliseconds (p50): how fast it was just then."""

    processor: str
    cores: int
    memory: int  # GiB
    kernel: str
    python: str
    commit: str
    date: str
    load: float
    addition: float
    fdatasync: float


def machine() -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory=round(memory / 2**30),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        commit=commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        load=os.getloadavg()[0],
        addition=_addition(),
        fdatasync=_fdatasync(),
    )


def commit() -> str:
    """Short; `+` behind it where files differ from it; empty outside of a repository."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return f"{head}+" if _git("status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _addition(count: int = 1_000_000) -> float:
    best = float("inf")
    for _ in range(5):
        total, began = 0, time.process_time_ns()
        for number in range(count):
            total += number
        best = min(best, (time.process_time_ns() - began) / count)
    return best


def _fdatasync(count: int = 50) -> float:
    took: list[float] = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(count):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e3
