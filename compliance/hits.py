"""Counts what the guard found, in memory, and adds it to the database every few seconds.

A turn only adds to a dictionary of a bounded size; the thread here does the writing. While the database is away the
counts wait. What was not written yet is lost with a process that is killed: these are statistics, the journal is the
record."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from django.db import Error as DatabaseFailure
from django.db import close_old_connections, connection, connections, transaction

from engine.types import Verdict

log = logging.getLogger(__name__)

INTERVAL: Final = 2.0  # seconds between two writes
MOST: Final = 20_000  # entries told apart; those of more words share one entry a list, action, direction and day
BATCH: Final = 500  # rows a transaction: a few milliseconds
STOP_TIMEOUT: Final = 5.0
LONGEST: Final = 200

# A tenant that was deleted meanwhile (or is the platform itself) leaves no hits.
_ADD: Final = """
INSERT INTO compliance_wordhits (tenant_id, list_id, day, word, action, direction, count)
SELECT %s, %s, %s, %s, %s, %s, %s WHERE EXISTS (SELECT 1 FROM tenants_tenant WHERE id = %s)
ON CONFLICT (tenant_id, list_id, day, word, action, direction)
DO UPDATE SET count = compliance_wordhits.count + excluded.count
"""


class Hit(NamedTuple):
    tenant_id: int
    list_id: int
    day: date
    word: str
    action: str
    direction: str


class HitCounter:
    """Turns add, one thread takes. Never larger than twice `most`: what is more is counted as `lost`."""

    def __init__(self, most: int = MOST) -> None:
        self.lost = 0
        self._most = most
        self._counts: dict[Hit, int] = {}
        self._lock = threading.Lock()

    def add(self, tenant_id: int, verdicts: Sequence[Verdict]) -> None:
        day = datetime.fromtimestamp(time.time(), UTC).date()
        with self._lock:
            for each in verdicts:
                word = each.word[:LONGEST]
                self._count(Hit(tenant_id, each.list_id, day, word, each.action, each.where), 1)

    def take_lost(self) -> int:
        """How many had no room since the last time."""
        with self._lock:
            lost, self.lost = self.lost, 0
        return lost

    def take(self) -> dict[Hit, int]:
        """What was counted since the last time."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def give_back(self, counts: Iterable[tuple[Hit, int]]) -> None:
        """What could not be written."""
        with self._lock:
            for hit, count in counts:
                self._count(hit, count)

    def __len__(self) -> int:
        return len(self._counts)

    def _count(self, hit: Hit, count: int) -> None:
        counts = self._counts
        if hit not in counts and len(counts) >= self._most:
            hit = hit._replace(word="")
            if hit not in counts and len(counts) >= 2 * self._most:
                self.lost += count
                return
        counts[hit] = counts.get(hit, 0) + count


class HitWriter:
    """The thread that writes. One a process."""

    def __init__(self, counter: HitCounter, *, interval: float = INTERVAL) -> None:
        self._counter = counter
        self._interval = interval
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="word-hits", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Blocking; what was counted until now is written first, if the database is there."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT)
            self._thread = None

    def flush(self) -> None:
        """Writes what was counted. Never raises: what cannot be written waits for the next time."""
        if lost := self._counter.take_lost():
            log.error("%d hits of word lists were dropped: too many wait to be written", lost)
        waiting = sorted(self._counter.take().items())  # in one order, so that two workers never deadlock
        written = 0
        try:
            for start in range(0, len(waiting), BATCH):
                write(waiting[start : start + BATCH])
                written = start + BATCH
            if self._failing:
                log.warning("hits of word lists are written again")
            self._failing = False
        except DatabaseFailure as error:
            self._counter.give_back(waiting[written:])
            connections.close_all()
            if not self._failing:
                log.warning("hits of word lists wait, the database is away: %s", error)
            self._failing = True

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            close_old_connections()
            self.flush()
        self.flush()
        connections.close_all()


def write(counts: Sequence[tuple[Hit, int]]) -> None:
    """Adds them to the table in one transaction, together with what other workers add."""
    rows = [
        (each.tenant_id, each.list_id, str(each.day), each.word, each.action, each.direction, count, each.tenant_id)
        for each, count in counts
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(_ADD, rows)
