"""The journal on SQLite: a raw connection, WAL, synchronous=FULL, one multi-row INSERT a batch, one writer a file."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from compliance.journal import slots
from compliance.journal.claims import Denials, Turnstile, grant_in_file, held_elsewhere, nothing
from compliance.journal.records import (
    COLUMNS,
    COMPLETION,
    KEY_COLUMNS,
    ClaimRow,
    KeyRow,
    Row,
    aborted_row,
    probe_row,
)
from compliance.journal.slots import Slot
from compliance.journal.store import Backlog, NoBacklog, RecordRefused, StoreAway
from compliance.usage.storing import count_in_file, prepare_file

log = logging.getLogger(__name__)

BUSY_TIMEOUT: Final = 0.25  # seconds; whoever else locks the file is a guest there
DEAD_AFTER: Final = 5.0  # seconds without a heartbeat
SWEEP_CHUNK: Final = 256
STATEMENTS: Final = 64  # prepared ones, one a number of rows: about 1.5 KiB a row each, 2 ms to prepare again
IDS_PER_SLOT_BITS: Final = 48  # the number of the slot stands above: ids are unique over all files

# A record's own fault; everything else sqlite3 raises is the database's. Bindings raise Overflow- and UnicodeErrors.
_REFUSALS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    ValueError,
)
_PASSING: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL}  # the connection itself is still good

_NAMES: Final = ", ".join(f'"{column}"' for column in COLUMNS)
# What is wrong with one row rolls back the whole transaction. To take back this statement alone SQLite would copy every
# page before it changes it, from 64 KiB on into a file that it makes and removes for each batch.
_INSERT: Final = f"INSERT OR ROLLBACK INTO compliance_auditentry ({_NAMES}) VALUES "  # noqa: S608  # our own names
_VALUES: Final = f"({', '.join('?' * len(COLUMNS))})"
_INSERT_ONCE: Final = (
    f"INSERT INTO compliance_auditentry ({_NAMES}) VALUES {_VALUES} "  # noqa: S608  # our own names
    "ON CONFLICT (turn_id, kind, number) DO NOTHING"
)
_INSERT_KEY: Final = (
    f"INSERT OR IGNORE INTO compliance_subjectkey ({', '.join(KEY_COLUMNS)}) "  # noqa: S608  # our own names
    f"VALUES ({', '.join('?' * len(KEY_COLUMNS))})"
)
# A migration that makes the table anew leaves a counter of 0 for an empty one.
_LEAST_ID: Final = (
    "UPDATE sqlite_sequence SET seq = max(seq, :least) WHERE name = 'compliance_auditentry'",
    "INSERT INTO sqlite_sequence (name, seq) SELECT 'compliance_auditentry', :least "
    "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'compliance_auditentry')",
)
_BEAT: Final = """
    INSERT INTO compliance_journalworker (worker, slot, started, heartbeat, oldest_open) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (worker) DO UPDATE SET heartbeat = excluded.heartbeat, oldest_open = excluded.oldest_open"""
_WHOSE: Final = "SELECT worker FROM compliance_auditentry WHERE turn_id = ? AND kind = ? AND number = ?"
_DEAD: Final = "SELECT worker, oldest_open FROM compliance_journalworker WHERE worker <> ? AND heartbeat <= ?"
_OPEN_TURNS: Final = """
    SELECT turn_id, tenant_id, session_id, model, instance, key_id FROM compliance_auditentry AS entry
    WHERE turn_id >= ? AND kind = 'intent' AND worker = ? AND NOT EXISTS (
        SELECT 1 FROM compliance_auditentry AS end WHERE end.turn_id = entry.turn_id AND end.kind = 'completion')
    ORDER BY turn_id LIMIT ?"""


class SqliteStore:
    """Writes the file of `slot`, which it holds from now on and releases with `close`."""

    def __init__(self, slot: Slot, worker: str) -> None:
        self.slot = slot
        self.worker = worker
        self.home = f"slot-{slot.number}"
        self.backlog: Backlog = NoBacklog()
        self.started = time.time()
        self._database: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._statements: dict[int, str] = {}
        self._turnstile = Turnstile(slot.first)

    def open(self) -> None:
        try:
            self._connect()
            self.end_abandoned(before=time.time(), backlog=self.backlog)
        except sqlite3.Error as error:
            raise StoreAway(f"{self.slot.path}: {error}") from error

    def append(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> None:
        if not keys and not any(row[1] == COMPLETION for row in rows):
            self._execute(*self._insertion(rows))
            return
        with self._transaction(keys):
            self._insert(rows)

    def claim(self, rows: Sequence[Row], keys: Sequence[KeyRow], claims: Sequence[ClaimRow]) -> Denials:
        with self._turnstile.passed() as passed:
            try:
                elsewhere = held_elsewhere(self.slot.first, self.slot.number, claims) if passed else None
            except sqlite3.Error as error:
                log.error("who holds idempotency keys cannot be read: %s", error)
                elsewhere = None
            if elsewhere is None:
                self.append(rows, keys)
                return nothing(claims)
            with self._transaction(keys):
                assert self._database is not None
                with self._blamed():
                    denied = grant_in_file(self._database, claims, elsewhere)
                self._insert(rows)
        return denied

    def restore(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> list[Row]:
        foreign: list[Row] = []
        new: list[Row] = []
        with self._transaction(keys):
            for row in rows:
                if self._run(_INSERT_ONCE, row).rowcount:
                    new.append(row)
                    continue
                (worker,) = self._run(_WHOSE, row[:3]).fetchone()
                if worker != row[COLUMNS.index("worker")]:
                    foreign.append(row)
            self._count(new)
        return foreign

    def _insert(self, rows: Sequence[Row]) -> None:
        self._run(*self._insertion(rows))
        self._count(rows)

    def _count(self, rows: Sequence[Row]) -> None:
        assert self._database is not None
        with self._blamed():
            count_in_file(self._database, rows)

    @contextlib.contextmanager
    def _transaction(self, keys: Sequence[KeyRow]) -> Iterator[None]:
        self._execute("BEGIN IMMEDIATE", ())
        try:
            for key in keys:
                self._run(_INSERT_KEY, key)
            yield
            self._run("COMMIT", ())
        except (RecordRefused, StoreAway):
            self._roll_back()
            raise

    def _insertion(self, rows: Sequence[Row]) -> tuple[str, list[object]]:
        count = len(rows)
        statement = self._statements.get(count)
        if statement is None:
            statement = self._statements[count] = _INSERT + ", ".join([_VALUES] * count)
        return statement, list(chain.from_iterable(rows))

    def beat(self, oldest_open: str) -> None:
        self._execute(_BEAT, (self.worker, self.slot.number, self.started, time.time(), oldest_open))

    def probe(self) -> None:
        self._execute("BEGIN IMMEDIATE", ())
        try:
            self._run(*self._insertion([probe_row(self.worker)]))
        except RecordRefused as error:
            raise StoreAway(str(error)) from error
        finally:
            self._roll_back()

    def sweep(self) -> int:
        return sweep_files(self.slot.first, self.worker, self.backlog, but=self.slot.number)

    def close(self, *, finished: bool) -> None:
        try:
            if finished:
                self._execute("DELETE FROM compliance_journalworker WHERE worker = ?", (self.worker,))
        except (StoreAway, RecordRefused) as error:
            log.warning("the journal worker %s could not take its leave: %s", self.worker, error)
        finally:
            self._disconnect()
            self.slot.release()

    def end_abandoned(self, *, before: float, backlog: Backlog) -> int:
        """Ends as `aborted` what workers that fell silent before then left open in this file. This process holds the
        file's lock, so they are dead. Short transactions: readers and a coming writer are not held up."""
        lowest = backlog.replay(self, self.home)
        if lowest is None:
            return 0
        ended, done = 0, False
        assert self._database is not None
        try:
            silent = dict(self._database.execute(_DEAD, (self.worker, before)).fetchall())
            for worker in {**silent, **lowest}.keys() - {self.worker}:
                bound = min(bounds[worker] for bounds in (silent, lowest) if worker in bounds)
                while open_turns := self._database.execute(_OPEN_TURNS, (bound, worker, SWEEP_CHUNK)).fetchall():
                    self.append([aborted_row(turn, self.worker) for turn in open_turns])
                    ended += len(open_turns)
                self._execute("DELETE FROM compliance_journalworker WHERE worker = ?", (worker,))
                log.warning("journal worker %s is dead; %d open turns so far were ended as aborted", worker, ended)
            done = True
        finally:
            backlog.release(self.home, ended=done)
        return ended

    def _execute(self, statement: str, parameters: Sequence[object]) -> None:
        try:
            if self._database is None or self._identity() != self._file:
                self._connect()  # SQLite would go on writing a file that was moved or deleted
        except sqlite3.Error as error:
            self._disconnect()
            raise StoreAway(f"{self.slot.path}: {error}") from error
        self._run(statement, parameters)

    def _run(self, statement: str, parameters: Sequence[object]) -> sqlite3.Cursor:
        """On the connection as it is, whose transaction may be open."""
        assert self._database is not None
        with self._blamed():
            return self._database.execute(statement, parameters)

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        """Turns what goes wrong inside into RecordRefused, StoreAway."""
        try:
            yield
        except _REFUSALS as error:
            raise RecordRefused(str(error)) from error
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSING:
                self._disconnect()
            raise StoreAway(f"{self.slot.path}: {error}") from error

    def _roll_back(self) -> None:
        """A connection that was closed meanwhile has rolled back by itself."""
        if self._database is not None and self._database.in_transaction:
            try:
                self._database.execute("ROLLBACK")
            except sqlite3.Error:
                self._disconnect()

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self.slot.path)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _connect(self) -> None:
        """Raises sqlite3.Error. Never makes a file: a journal that vanished is an outage, not a fresh start."""
        self._disconnect()
        database = sqlite3.connect(
            f"{self.slot.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
        try:
            (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise sqlite3.OperationalError(f"no write-ahead log here, but {mode}")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA cache_size = -8000")  # KiB; the pages of the indexes stay in memory
            prepare_file(database)
            for statement in _LEAST_ID:
                database.execute(statement, {"least": self.slot.number << IDS_PER_SLOT_BITS})
        except sqlite3.Error:
            database.close()
            raise
        self._database, self._file = database, self._identity()

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def sweep_files(first: Path, worker: str, backlog: Backlog, *, but: int | None = None) -> int:
    """Ends, in the name of `worker`, what dead workers left open in all files but one. Raises StoreAway."""
    ended = 0
    for number in slots.existing(first):
        slot = slots.take(first, number) if number != but else None
        if slot is None:
            continue  # its writer lives: the kernel frees the lock of a dead one
        store = SqliteStore(slot, worker)
        try:
            store._connect()
            ended += store.end_abandoned(before=time.time() - DEAD_AFTER, backlog=backlog)
        except sqlite3.Error as error:
            raise StoreAway(f"{slot.path}: {error}") from error
        finally:
            store.close(finished=False)
    return ended
