"""Whether what a request costs has grown: figures of one run against the committed ones, without measuring anything.

A row is too dear when its ratio to the yardstick is above 1.3 times the committed one and the surplus is more than the
noise of so small a row; or when it makes 1.3 times as many calls, which no neighbour on the machine can change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

COMMITTED = Path(__file__).with_name("committed.json")
LINE = 1.3  # times the committed figure
ELSEWHERE = 3.0  # on another kind of processor or Python, whose ratios differ, and on a machine that is full
LEAST_SURPLUS = 2.0  # µs above the committed figure, at this run's pace
LEAST_CALLS = 10.0
MUCH_LESS = 0.75  # of the committed figure: time to commit anew


class Figure(msgspec.Struct, frozen=True):
    """Of one row: CPU microseconds a request (the least), the same in yardsticks, calls a request."""

    cpu: float
    ratio: float
    calls: float

    def least(self, other: Figure) -> Figure:
        """Of two measurements of a row the one that was disturbed less."""
        return self if self.ratio <= other.ratio else other


class Committed(msgspec.Struct, frozen=True):
    """The file: what was measured, and on what."""

    processor: str
    python: str
    commit: str
    date: str
    rows: dict[str, Figure]

    def line(self, processor: str, python: str) -> float:
        return LINE if (self.processor, self.python) == (processor, python) else ELSEWHERE


def read(path: Path = COMMITTED) -> Committed:
    return msgspec.json.decode(path.read_bytes(), type=Committed)


def write(committed: Committed, path: Path = COMMITTED) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(committed), indent=1) + b"\n")


def slower(now: Figure, then: Figure, line: float = LINE) -> bool:
    """By CPU: to be measured again, since a neighbour may be the reason."""
    pace = now.cpu / now.ratio if now.ratio else 0.0
    return now.ratio > line * then.ratio and (now.ratio - then.ratio) * pace > LEAST_SURPLUS


def busier(now: Figure, then: Figure) -> bool:
    """By calls: no matter of luck."""
    return now.calls > LINE * then.calls and now.calls - then.calls > LEAST_CALLS


def judged(now: Mapping[str, Figure], committed: Committed, line: float = LINE) -> list[str]:
    """One sentence for each row that is too dear or that nobody committed; empty where all is well."""
    reasons = []
    for name, figure in now.items():
        then = committed.rows.get(name)
        if then is None:
            reasons.append(f"{name}: not in the committed file.")
            continue
        more = f"{figure.calls / then.calls:.2f} times the calls" if then.calls else f"{figure.calls:.0f} calls"
        if slower(figure, then, line):
            reasons.append(f"{name}: {figure.ratio / then.ratio:.2f} times the committed CPU, {more}.")
        elif busier(figure, then):
            reasons.append(f"{name}: {more}.")
    return reasons


def much_less(now: Mapping[str, Figure], committed: Committed) -> list[str]:
    """Rows that have become so much cheaper that the old figure holds nobody to anything."""
    return [
        name
        for name, figure in now.items()
        if (then := committed.rows.get(name)) and figure.ratio < MUCH_LESS * then.ratio
    ]
