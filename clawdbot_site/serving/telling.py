"""What processes that answer no turns tell of themselves in their machine's metrics."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from access.metrics import families as f
from access.metrics.machine import Machine
from access.metrics.names import Labels
from access.metrics.processes import Process
from access.metrics.series import Book, Values
from access.metrics.snapshot import encode
from access.metrics.telling import EVERY, Aside, Teller

log = logging.getLogger(__name__)


def folder() -> Path:
    """Where a machine's processes tell each other. Asked for late: Celery imports this before there are settings."""
    path: Path = settings.VAR_DIR
    return path / "metrics"


def teller(kind: str) -> tuple[Book, Aside]:
    book = Book(Labels(0, 0))
    return book, Aside(Teller(book, folder(), kind))


@contextmanager
def told(kind: str) -> Iterator[Book]:
    """Inside, a thread tells what is counted in the book, CPU and memory."""
    book, aside = teller(kind)
    aside.start()
    try:
        yield book
    finally:
        aside.stop()


class Folding:
    """How far the sequencer is: what it has folded, and when there was nothing left to fold."""

    def __init__(self, book: Book) -> None:
        self._folded = book.counts(f.FOLDED)
        self._caught_up: float | None = None
        book.watch(f.LAG, self._lag)

    def folded(self, entries: int) -> None:
        """The next entries of the journal; 0: there were none."""
        if entries:
            self._folded.add(number=entries)
        if not entries or self._caught_up is None:
            self._caught_up = time.monotonic()

    def _lag(self) -> Values:
        caught_up = self._caught_up
        return {} if caught_up is None else {(): time.monotonic() - caught_up}

    def stands_by(self) -> None:
        """Another one leads."""
        self._caught_up = None


class Jobs:
    """Background tasks, which end in several threads."""

    def __init__(self, book: Book) -> None:
        self._lock = threading.Lock()
        self._ended, self._seconds = book.counts(f.JOBS), book.durations(f.JOB_SECONDS)
        self._began: dict[str, float] = {}

    def begin(self, task_id: str, **_: object) -> None:
        """Celery's signal `task_prerun`."""
        with self._lock:
            self._began[task_id] = time.monotonic()

    def end(self, task_id: str, task: Any, state: str | None = None, **_: object) -> None:
        """Celery's signal `task_postrun`."""
        now = time.monotonic()
        with self._lock:
            self._ended.add(task.name, (state or "unknown").lower())
            self._seconds.observe_at_once(task.name, now - self._began.pop(task_id, now))


class Occasional:
    """For a process that may have no thread, since it forks: `tell` whenever it comes by. It tells of itself, and of
    programs it started that do not tell of themselves."""

    def __init__(self, kind: str, besides: Callable[[], Sequence[Process]]) -> None:
        self._machine: Machine | None = Machine(folder(), kind)
        self._teller = Teller(Book(Labels(0, 0)), None, kind, besides=besides)
        self._due = 0.0
        self._joined = False

    def tell(self, *, ended: bool = False) -> None:
        if self._machine is None or (time.monotonic() < self._due and not ended):
            return
        self._due = time.monotonic() + EVERY
        try:
            if not self._joined:
                self._machine.join()
                self._joined = True
            said = self._teller.snapshot(ended=ended)
            said.id, said.worker = self._machine.id, self._machine.worker
            self._machine.tell(encode(said))
        except OSError as error:
            log.warning("this process is not among the machine's metrics: %s", error)
            self._machine = None
