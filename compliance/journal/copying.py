"""Entries into PostgreSQL: binary COPY, one transaction a batch; a month's partition is made when it is missing.

PostgreSQL refuses COPY to whoever row-level security binds, whatever the policies let pass: the writer's own role, and
the owner where it is no superuser. For those a batch is one INSERT."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import psycopg

from compliance.journal.answering import ANSWER, Answering
from compliance.journal.claims import Denials, grant_on_server
from compliance.journal.records import COLUMNS, COMPLETION, INTENT, KEY_COLUMNS, ClaimRow, KeyRow, Row
from compliance.journal.store import RecordRefused, StoreAway
from compliance.usage.storing import count_on_server, number_of

_TABLE: Final = "compliance_auditentry"
_NAMES: Final = ", ".join(f'"{column}"' for column in COLUMNS)
_COPY: Final = f"COPY {_TABLE} ({_NAMES}) FROM STDIN (FORMAT BINARY)"
_TYPES: Final = (
    "text", "text", "int4", "int8", "float8", "text", "text", "text", "int8", "text", "text", "text", "bytea",
)  # fmt: skip
_WALLED: Final = f"SELECT row_security_active('{_TABLE}')"
_INSERT_ALL: Final = (
    f"INSERT INTO {_TABLE} ({_NAMES}) "  # noqa: S608  # our own names
    f"SELECT * FROM unnest({', '.join(f'%b::{kind}[]' for kind in _TYPES)})"
)
_WORKER: Final = COLUMNS.index("worker")
_AT: Final = COLUMNS.index("at")
INSERT: Final = (
    f"INSERT INTO {_TABLE} ({_NAMES}) VALUES ({', '.join(['%s'] * len(COLUMNS))}) "  # noqa: S608  # our own names
    "ON CONFLICT DO NOTHING"
)
_WHOSE: Final = f"SELECT worker FROM {_TABLE} WHERE turn_id = %s AND kind = %s AND number = %s"  # noqa: S608  # our own names
_INSERT_KEY: Final = (
    f"INSERT INTO compliance_subjectkey ({', '.join(KEY_COLUMNS)}) "  # noqa: S608  # our own names
    f"VALUES ({', '.join(['%s'] * len(KEY_COLUMNS))}) ON CONFLICT DO NOTHING"
)
_BAD_VALUES: Final = (TypeError, ValueError, OverflowError, struct.error, AttributeError)

MONTH_PAUSES: Final = (0.0, 0.01, 0.1)  # seconds before each further try at a month that was missing
UNSURE: Final = 600.0  # seconds in which a commit whose answer was lost may still be seen

Key = tuple[str, str, int]


class Entries:
    """One connection, made when it is needed and made anew after a failure; `connected` is told of every new one.
    `answer`: seconds that everything in one `asked` may take. `name`: no other `Entries` of any process has it."""

    def __init__(
        self,
        address: str,
        name: str,
        *,
        connected: Callable[[Answering], None] = lambda _: None,
        answer: float = ANSWER,
    ) -> None:
        self._address = address
        self._number = number_of(name)
        self._connected = connected
        self._answer = answer
        self._connection: Answering | None = None
        self._walled: bool | None = None  # whether row-level security binds the connection's role
        self._uncertain: set[Key] = set()  # sent, and lost sight of: they may be there

    def append(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> None:
        self.claim(rows, keys, ())

    def claim(self, rows: Sequence[Row], keys: Sequence[KeyRow], claims: Sequence[ClaimRow]) -> Denials:
        if self._uncertain and not self._uncertain.isdisjoint(map(_key, rows)):
            if self.restore(rows, keys):
                raise RecordRefused("another worker has written this entry")
            denied = self._grant(rows, claims) if claims else {}
        else:
            with self._sent(rows):
                denied = self._copy_into_months(rows, keys, claims)
        self._uncertain.difference_update(map(_key, rows))
        return denied

    def restore(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> list[Row]:
        """One statement an entry: for the few after a failure, and for what waited on a disk."""
        foreign: list[Row] = []
        new: list[Row] = []
        with self._sent(rows):
            self._make_months(rows)
            database = self.database()
            with database.transaction(), database.cursor() as cursor:
                if keys:
                    cursor.executemany(_INSERT_KEY, keys)
                for row in rows:
                    cursor.execute(INSERT, row)
                    if cursor.rowcount:
                        new.append(row)
                        continue
                    cursor.execute(_WHOSE, _key(row))
                    if cursor.fetchone() != (row[_WORKER],):
                        foreign.append(row)
                count_on_server(cursor, new, self._number)
        return foreign

    def end(self, rows: Sequence[Row]) -> None:
        """Ends of others' turns, where they have none yet. Inside `asked`, in an open transaction or a new one. Raises
        psycopg.Error."""
        database = self.database()
        with database.transaction(), database.cursor() as cursor:
            new = [row for row in rows if cursor.execute(INSERT, row).rowcount]
            count_on_server(cursor, new, self._number)

    def probe(self, row: Row) -> None:
        """Tries an entry and takes it back. Raises StoreAway."""
        try:
            with self.asked():
                self._make_months([row])
                with self.database().transaction(force_rollback=True):
                    self.database().execute(INSERT, row)
        except RecordRefused as error:
            raise StoreAway(str(error)) from error

    def unsure(self, before: str) -> list[str]:
        """Turns with lower ids whose intents may be there although nobody was told so, as far as `UNSURE` back."""
        since = f"{int((time.time() - UNSURE) * 1000):012x}"
        intents = [key for key in self._uncertain if key[1] == INTENT and key[0] < before]
        self._uncertain.difference_update(key for key in intents if key[0] < since)
        return [turn_id for turn_id, *_ in intents if turn_id >= since]

    def database(self) -> Answering:
        """For use inside `asked`. Raises psycopg.Error."""
        if self._connection is None or self._connection.closed:
            self.disconnect()
            connection = Answering.to(self._address)
            connection.allow(self._answer)
            self._connection = connection
            self._connected(connection)
        return self._connection

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """Turns what goes wrong inside into RecordRefused, StoreAway."""
        if self._connection is not None:
            self._connection.allow(self._answer)
        try:
            yield
        except (psycopg.DataError, psycopg.IntegrityError, *_BAD_VALUES) as error:
            raise RecordRefused(str(error)) from error
        except psycopg.Error as error:
            self.disconnect()
            raise StoreAway(str(error).strip()) from error

    def disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._walled = None

    @contextlib.contextmanager
    def _sent(self, rows: Sequence[Row]) -> Iterator[None]:
        try:
            with self.asked():
                yield
        except StoreAway:
            self._uncertain.update(map(_key, rows))
            raise

    def _copy_into_months(self, rows: Sequence[Row], keys: Sequence[KeyRow], claims: Sequence[ClaimRow]) -> Denials:
        """Makes a month that is missing. One that another writer has made can be seen a moment before PostgreSQL tells
        this connection that the table has it (a transaction is visible before its invalidations are sent)."""
        for pause in MONTH_PAUSES:
            try:
                return self._copy(rows, keys, claims)
            except psycopg.errors.CheckViolation as error:
                if error.diag.constraint_name is not None:
                    raise
                time.sleep(pause)
                self._make_months(rows)
        return self._copy(rows, keys, claims)

    def _copy(self, rows: Sequence[Row], keys: Sequence[KeyRow], claims: Sequence[ClaimRow]) -> Denials:
        database = self.database()
        walled = self._walled
        if walled is None:
            (walled,) = database.execute(_WALLED).fetchone() or (False,)
            self._walled = bool(walled)
        alone = not keys and not claims and not any(row[1] == COMPLETION for row in rows)
        with contextlib.nullcontext() if alone else database.transaction(), database.cursor() as cursor:
            if keys:
                cursor.executemany(_INSERT_KEY, keys)
            if walled:
                columns: list[list[object]] = [list(column) for column in zip(*rows, strict=True)]
                columns[_AT] = [float(at) for _, _, _, _, at, *_ in rows]  # an array is of one type
                cursor.execute(_INSERT_ALL, columns)
            else:
                with cursor.copy(_COPY) as copy:
                    copy.set_types(_TYPES)
                    for row in rows:
                        copy.write_row(row)
            count_on_server(cursor, rows, self._number)
            return grant_on_server(cursor, claims)  # last: who waits for a key waits for the rest of this

    def _grant(self, rows: Sequence[Row], claims: Sequence[ClaimRow]) -> Denials:
        """For entries that are there already: a turn does nothing before it hears that it has its key."""
        with self._sent(rows), self.database().transaction(), self.database().cursor() as cursor:
            return grant_on_server(cursor, claims)

    def _make_months(self, rows: Sequence[Row]) -> None:
        database = self.database()
        months = {time.gmtime(int(row[0][:12], 16) // 1000)[:2]: row[0] for row in rows}
        for turn_id in months.values():
            database.execute("SELECT compliance_journal_month(%s)", (turn_id,))


def _key(row: Row) -> Key:
    return row[0], row[1], row[2]
