"""Which file a process writes: SQLite takes one writer a file well and two badly, so every process claims its own.

Slot 0 is the file of the database alias, slot n stands beside it as `<stem>-n<suffix>`. A slot is held by an flock on
its lock file, which the kernel gives back when the process dies, however it dies. The lock belongs to the process that
claimed: claim after forking, not before."""

from __future__ import annotations

import fcntl
import os
import re
import time
from pathlib import Path
from typing import Final

SLOTS: Final = 8  # SQLite attaches at most ten files to one connection, and readers attach them all
SEQUENCER: Final = SLOTS  # the number of one more file, which only the leading sequencer writes


class NoSlot(RuntimeError):
    """All files have a living writer: more processes than SQLite is good for."""


class Slot:
    """A held slot. `path` is its database file; `release` gives it back."""

    def __init__(self, first: Path, number: int, lock: int) -> None:
        self.first = first
        self.number = number
        self.path = slot_path(first, number)
        self._lock: int | None = lock

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def slot_path(first: Path, number: int) -> Path:
    return first if number == 0 else first.with_name(f"{first.stem}-{number}{first.suffix}")


def existing(first: Path) -> list[int]:
    """The slots that have a file, in order."""
    pattern = re.compile(rf"{re.escape(first.stem)}-([1-9]\d*){re.escape(first.suffix)}")
    try:
        names = os.listdir(first.parent)
    except FileNotFoundError:
        return []
    numbers = [int(match[1]) for name in names if (match := pattern.fullmatch(name))]
    return sorted([0, *numbers] if first.name in names else numbers)


def take(first: Path, number: int) -> Slot | None:
    """The slot if nobody holds it."""
    path = slot_path(first, number)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return Slot(first, number, lock)


def claim(first: Path, *, patience: float = 1.0) -> Slot:
    """The lowest free slot. A sweeper may hold one for a moment, so a full house is looked at again for `patience` s.

    Raises NoSlot."""
    first.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + patience
    while True:
        for number in range(SLOTS):
            slot = take(first, number)
            if slot is not None:
                return slot
        if time.monotonic() >= until:
            raise NoSlot(
                f"all {SLOTS} journal files beside {first} have a writer: start fewer processes (WORKERS), "
                "or move the journal to PostgreSQL (JOURNAL_URL)"
            )
        time.sleep(0.05)
