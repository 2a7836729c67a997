"""The journal on PostgreSQL, with any number of writers.

Every worker has a connection of its own and, for as long as that lives, a lock by which others know that it does. The
table is partitioned by month (migration 0003); the column `xid` is the transaction that wrote an entry, so whoever
reads entries in the order of (`xid`, `id`) up to `pg_snapshot_xmin(pg_current_snapshot())` misses none."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from typing import Final

from compliance.journal.answering import ANSWER, Answering
from compliance.journal.claims import Denials
from compliance.journal.copying import Entries
from compliance.journal.records import ClaimRow, KeyRow, Row, aborted_row, probe_row
from compliance.journal.store import Backlog, NoBacklog, RecordRefused, StoreAway

log = logging.getLogger(__name__)

DEAD_AFTER: Final = 15.0  # seconds without a heartbeat, and without its lock, while the sweeper was connected
GIVEN_UP: Final = 3600.0  # the same for a worker whose disk may hold more, for who does not have that disk
SWEEP_CHUNK: Final = 256
DAY: Final = 86_400.0

_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"  # the server's: workers' clocks differ
_BEAT: Final = f"""
    INSERT INTO compliance_journalworker (worker, slot, started, heartbeat, oldest_open, spool)
    VALUES (%s, 0, {_NOW}, {_NOW}, %s, %s)
    ON CONFLICT (worker) DO UPDATE SET heartbeat = {_NOW}, oldest_open = excluded.oldest_open"""  # noqa: S608
_LEAVE: Final = "DELETE FROM compliance_journalworker WHERE worker = %s"
_LOCK: Final = "SELECT pg_try_advisory_lock(%s)"
_LOCK_FOR_NOW: Final = "SELECT pg_try_advisory_xact_lock(%s)"
_MONTHS: Final = """
    SELECT compliance_journal_month(lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0'))
    FROM generate_series(now(), now() + interval '2 months', interval '1 month') AS moment"""
_SILENT: Final = f"""
    SELECT worker FROM compliance_journalworker
    WHERE worker <> %s AND heartbeat <= {_NOW} - %s AND (NOT spool OR heartbeat <= {_NOW} - %s)"""  # noqa: S608
_OLDEST: Final = "SELECT oldest_open FROM compliance_journalworker WHERE worker = %s"
_OPEN_TURNS: Final = """
    SELECT turn_id, tenant_id, session_id, model, instance, key_id FROM compliance_auditentry AS entry
    WHERE turn_id >= %s AND kind = 'intent' AND worker = %s AND NOT EXISTS (
        SELECT 1 FROM compliance_auditentry AS ending
        WHERE ending.turn_id = entry.turn_id AND ending.kind = 'completion')
    ORDER BY turn_id LIMIT %s"""
_THERE: Final = """
    SELECT turn_id, tenant_id, session_id, model, instance, key_id FROM compliance_auditentry AS entry
    WHERE kind = 'intent' AND worker = %s AND turn_id = ANY(%s) AND NOT EXISTS (
        SELECT 1 FROM compliance_auditentry AS ending
        WHERE ending.turn_id = entry.turn_id AND ending.kind = 'completion')"""


class PostgresStore:
    """`dead_after`: seconds of silence after which a worker without its lock is dead. `answer`: seconds the server may
    take for a batch."""

    def __init__(self, address: str, worker: str, *, dead_after: float = DEAD_AFTER, answer: float = ANSWER) -> None:
        self.worker = worker
        self.home = worker
        self.backlog: Backlog = NoBacklog()
        self._entries = Entries(address, worker, connected=self._connected, answer=answer)
        self._locked = False
        self._sweeper = Sweeper(address, worker, dead_after=dead_after)

    def open(self) -> None:
        with self._entries.asked():
            self._entries.database().execute(_MONTHS)
        self._sweeper.take_over(self.backlog)

    def append(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> None:
        self._entries.append(rows, keys)

    def claim(self, rows: Sequence[Row], keys: Sequence[KeyRow], claims: Sequence[ClaimRow]) -> Denials:
        return self._entries.claim(rows, keys, claims)

    def restore(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> list[Row]:
        return self._entries.restore(rows, keys)

    def beat(self, oldest_open: str) -> None:
        with self._entries.asked():
            database = self._entries.database()
            database.execute(_BEAT, (self.worker, oldest_open, self.backlog.kept))
            if not self._locked:
                self._locked = self._lock(database)
            if not self.backlog.kept:  # else nothing is given up
                self._end_given_up(database, oldest_open)

    def _end_given_up(self, database: Answering, bound: str) -> None:
        """An intent that was committed without an answer, and given up before it could be sent again, is there and has
        nobody to end it: its turn would seem to run, and hold its idempotency key, for as long as this worker lives."""
        if asked := self._entries.unsure(bound):
            found = database.execute(_THERE, (self.worker, asked)).fetchall()
            self._entries.end([aborted_row(turn, self.worker) for turn in found])

    def probe(self) -> None:
        self._entries.probe(probe_row(self.worker))

    def sweep(self) -> int:
        return self._sweeper.sweep(self.backlog)

    def close(self, *, finished: bool) -> None:
        try:
            if finished:
                with self._entries.asked():
                    self._entries.database().execute(_LEAVE, (self.worker,))
        except (StoreAway, RecordRefused) as error:
            log.warning("the journal worker %s could not take its leave: %s", self.worker, error)
        finally:
            self._entries.disconnect()
            self._sweeper.close()

    def _connected(self, database: Answering) -> None:
        self._locked = self._lock(database)

    def _lock(self, database: Answering) -> bool:
        """Held by the connection. Not had at once: the server has not noticed yet that an earlier one is gone."""
        (had,) = database.execute(_LOCK, (lock_of(self.worker),)).fetchone() or (False,)
        return bool(had)


class Sweeper:
    """Ends what dead workers left open, and makes the months to come. Has a connection of its own, so that a worker's
    `sweep` may come from another thread, and a process that writes no turns may have one too."""

    def __init__(self, address: str, worker: str, *, dead_after: float = DEAD_AFTER) -> None:
        self.worker = worker
        self._dead_after = dead_after
        self._entries = Entries(address, f"{worker} sweeps", connected=self._connected, answer=4 * ANSWER)
        self._since = 0.0
        self._months_made = float("-inf")

    def sweep(self, backlog: Backlog | None = None) -> int:
        """How many turns were ended. Raises StoreAway."""
        ended = self.take_over(backlog) if backlog is not None else 0
        with self._entries.asked():
            database = self._entries.database()
            if time.monotonic() - self._months_made > DAY:
                database.execute(_MONTHS)
                self._months_made = time.monotonic()
            if time.monotonic() - self._since < self._dead_after:
                return ended  # the server may have been away: those who live need a moment to say so
            found = database.execute(_SILENT, (self.worker, self._dead_after, GIVEN_UP)).fetchall()
            return ended + sum(self._end(database, worker) or 0 for (worker,) in found)

    def take_over(self, backlog: Backlog) -> int:
        """What dead workers left on this machine's disk goes in, then their turns are ended. Raises StoreAway."""
        ended = 0
        for home in backlog.homes():
            lowest = backlog.replay(self._entries, home)
            if lowest is None:
                continue  # its worker lives
            done = False
            try:
                with self._entries.asked():
                    found = [self._end(self._entries.database(), each, lowest.get(each)) for each in {home, *lowest}]
                ended += sum(filter(None, found))
                done = None not in found
            finally:
                backlog.release(home, ended=done)
        return ended

    def close(self) -> None:
        self._entries.disconnect()

    def _connected(self, database: Answering) -> None:
        self._since = time.monotonic()

    def _end(self, database: Answering, worker: str, lowest: str | None = None) -> int | None:
        """None: it seems to live, for somebody holds its lock."""
        known = database.execute(_OLDEST, (worker,)).fetchone()
        bounds = [bound for bound in (lowest, known[0] if known else None) if bound is not None]
        ended, more = 0, bool(bounds)
        while more:
            with database.transaction():
                (dead,) = database.execute(_LOCK_FOR_NOW, (lock_of(worker),)).fetchone() or (False,)
                if not dead:
                    return None
                turns = database.execute(_OPEN_TURNS, (min(bounds), worker, SWEEP_CHUNK)).fetchall()
                self._entries.end([aborted_row(turn, self.worker) for turn in turns])
                more = bool(turns)
                if not more:
                    database.execute(_LEAVE, (worker,))
            ended += len(turns)
        if known:
            log.warning("journal worker %s is dead; %d open turns were ended as aborted", worker, ended)
        return ended


def lock_of(worker: str) -> int:
    """Which of the server's advisory locks is the worker's."""
    return int.from_bytes(hashlib.blake2b(worker.encode(), digest_size=8).digest(), signed=True)
