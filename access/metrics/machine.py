"""The processes of a machine tell each other what they have counted, through files of one folder.

    alive              a lock everybody shares: whoever gets it alone is the first, and clears an earlier start's
    door               a lock for a moment: who comes, and who agrees on names
    web-0.lock         locked as long as the process of this place lives; the kernel lets go, also at kill -9
    web-0.counts       its last word, replaced whole once a second
    gone.counts        what processes have counted whose places were taken again
    names              which names are told apart

A process that comes takes a free place of its kind, one where somebody died before any other, and first adds to
`gone.counts` what the last one there had counted: sums never go down, and at most the last second before a kill -9 is
missing. Nobody waits for anybody who reads, and a reader waits for nobody: what it found in a place counts unless
`gone.counts`, read last, includes it. So a process that hangs holds nothing up, and its last word counts.

The folder is that of one machine: in it each host has its own, since several may share a disk, and each is asked for
its metrics itself."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from access.metrics.names import admit
from access.metrics.snapshot import Snapshot, add, decode, encode

log = logging.getLogger(__name__)

PATIENCE: Final = 5.0  # seconds for the door
FORGOTTEN: Final = 86_400.0  # seconds after which another host's folder is removed
LOOKS: Final = 3
INCLUDED: Final = 64  # ids that are remembered: only of those whose file may still lie there

_names: Final = msgspec.json.Decoder(dict[str, list[str]])


class Stuck(OSError):
    """Somebody holds the door."""


def folder_of(path: Path) -> Path:
    return path / os.uname().nodename


@contextlib.contextmanager
def kept(path: Path) -> Iterator[None]:
    """Inside, what processes count is kept though none of them may be alive: for whoever starts them again."""
    try:
        held = _stay(folder_of(path))
    except OSError as error:
        log.warning("what this machine's processes count is not kept together: %s", error)
        yield
        return
    try:
        yield
    finally:
        os.close(held)


class Machine:
    """A process's place among those of its machine. Blocking; every method may raise OSError."""

    def __init__(self, path: Path, kind: str) -> None:
        self._folder = folder_of(path)
        self._kind = kind
        self._locks: list[int] = []
        self._read: dict[str, tuple[tuple[int, int, int], Snapshot]] = {}
        self.id = uuid4().hex
        self.worker = f"{kind}-0"

    def join(self) -> None:
        _clear_old(self._folder)
        self._locks.append(_stay(self._folder))
        with self._door():
            self._locks.append(self._take_place())

    def leave(self) -> None:
        """Its place is free; what it said last stays."""
        while self._locks:
            os.close(self._locks.pop())

    def tell(self, said: bytes) -> None:
        _replace(self._folder / f"{self.worker}.counts", said)

    def others(self) -> list[Snapshot]:
        """The last words of all, but for this process's own."""
        found = []
        for file in sorted(self._folder.glob("*-*.counts")):
            said = self._said(file)
            if said is not None and said.id != self.id:
                said.alive = not _is_free(file.with_suffix(".lock"))
                found.append(said)
        gone = self._said(self._folder / "gone.counts")
        if gone is None:
            return found
        return [gone, *(each for each in found if each.id not in gone.included)]

    def agree(self, fresh: dict[str, list[str]], limits: dict[str, int]) -> dict[str, list[str]]:
        """By label, the names that are told apart: the machine's, with as many of the fresh as there is room for."""
        file = self._folder / "names"
        with self._door():
            try:
                known = _names.decode(file.read_bytes())
            except (FileNotFoundError, msgspec.MsgspecError):
                known = {}
            admitted = admit(known, fresh, limits)
            if any(admitted[label] != known.get(label) for label in admitted):
                _replace(file, msgspec.json.encode({**known, **admitted}))
        return admitted

    def _take_place(self) -> int:
        places = chain(self._mourned(), count())
        number = next(places)
        while (lock := _vacant(self._folder / f"{self._kind}-{number}.lock")) is None:
            number = next(places)
        self.worker = f"{self._kind}-{number}"
        file = self._folder / f"{self.worker}.counts"
        last = self._said(file)
        if last is not None:
            self._include(last)
            file.unlink(missing_ok=True)
        return lock

    def _mourned(self) -> list[int]:
        """Places of those who did not end well, dead or alive: whoever is taken for dead has a successor there."""
        found = []
        for file in self._folder.glob(f"{self._kind}-*.counts"):
            number = file.stem.rpartition("-")[2]
            if number.isdecimal() and (last := self._said(file)) is not None and not last.ended:
                found.append(int(number))
        return sorted(found)

    def _include(self, last: Snapshot) -> None:
        file = self._folder / "gone.counts"
        gone = self._said(file) or Snapshot()
        if last.id in gone.included:
            return
        add(gone, last)
        gone.included = [*gone.included[1 - INCLUDED :], last.id]
        _replace(file, encode(gone))

    def _said(self, file: Path) -> Snapshot | None:
        try:
            with file.open("rb") as stream:
                about = os.fstat(stream.fileno())
                stamp = (about.st_ino, about.st_mtime_ns, about.st_size)
                known = self._read.get(file.name)
                if known is not None and known[0] == stamp:
                    return known[1]
                said = decode(stream.read())
        except FileNotFoundError:
            return None
        if said is not None:
            self._read[file.name] = stamp, said
        return said

    @contextlib.contextmanager
    def _door(self) -> Iterator[None]:
        lock = _patiently(self._folder / "door", fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(lock)


def _stay(folder: Path) -> int:
    """A part of the lock `alive`. Whoever is the first finds the folder empty."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    alone = _only(folder / "alive")
    if alone is None:
        return _patiently(folder / "alive", fcntl.LOCK_SH)
    for file in folder.iterdir():
        if file.name not in ("alive", "door"):
            file.unlink(missing_ok=True)
    fcntl.flock(alone, fcntl.LOCK_SH)
    return alone


def _clear_old(folder: Path) -> None:
    """What hosts have left that are gone: their folders do not change any more."""
    with contextlib.suppress(OSError):
        for other in folder.parent.iterdir():
            if other != folder and other.is_dir() and time.time() - other.stat().st_mtime > FORGOTTEN:
                shutil.rmtree(other, ignore_errors=True)


def _patiently(path: Path, how: int) -> int:
    """A lock of this kind. Raises Stuck."""
    deadline = time.monotonic() + PATIENCE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise Stuck(f"{path} is held by another process") from None
            time.sleep(0.01)
        except BaseException:
            os.close(descriptor)
            raise
        else:
            return descriptor


def _only(path: Path) -> int | None:
    """The lock for this process alone; None: another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _vacant(path: Path) -> int | None:
    """The same; who only looks at it holds it for no time at all."""
    for _ in range(LOOKS):
        lock = _only(path)
        if lock is not None:
            return lock
        time.sleep(0.005)
    return None


def _is_free(path: Path) -> bool:
    lock = _only(path)
    if lock is None:
        return False
    os.close(lock)
    return True


def _replace(file: Path, content: bytes) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(file)
