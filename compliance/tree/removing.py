"""Takes rows out of the journal in transactions so short that a writer hardly notices: at most 50 ms, then a pause."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from django.db import connections, transaction

from compliance.database import ALIAS, first_file
from compliance.journal import slots

LONGEST: Final = 0.05  # seconds of a transaction
FIRST: Final = 50  # rows of the first one; later ones go by how long it took
MOST: Final = 500
BUSY: Final = 0.1  # seconds to wait for the file's writer

_TURNS: Final = """
    SELECT id, turn_id, kind, at FROM compliance_auditentry
    WHERE turn_id IN (SELECT turn_id FROM compliance_auditentry WHERE id IN ({ids}))"""
_REMOVE: Final = "DELETE FROM compliance_auditentry WHERE id IN ({ids})"
# A process seals with keys of its own only, so a key older than every living process is not used any more. Entries of
# changes do not name whom they are sealed for.
_KEYS: Final = """
    DELETE FROM compliance_subjectkey WHERE id IN (
        SELECT key.id FROM compliance_subjectkey AS key
        WHERE key.tenant_id = {0} AND key.created_at < {0}
            AND key.created_at < coalesce((SELECT min(started) FROM compliance_journalworker), key.created_at + 1)
            AND NOT EXISTS (
                SELECT 1 FROM compliance_auditentry AS entry WHERE entry.tenant_id = key.tenant_id
                    AND entry."user" = key.subject AND entry.kind = 'intent')
            AND NOT EXISTS (
                SELECT 1 FROM compliance_auditentry AS entry WHERE entry.tenant_id = key.tenant_id
                    AND entry."user" = key.subject AND entry.kind = 'session')
            AND NOT EXISTS (
                SELECT 1 FROM compliance_auditentry AS entry WHERE entry.tenant_id = key.tenant_id
                    AND entry.kind = 'change' AND entry.at >= key.created_at)
        LIMIT 200)"""


class Entry(NamedTuple):
    id: int
    turn_id: str
    kind: str
    at: float


class Remover:
    """Reads and removes entries of one source. Belongs to one thread."""

    def __init__(self, number: int, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._rows = FIRST
        self._path: Path | None = None
        first = first_file()
        if first is not None:
            self._path = slots.slot_path(first, number)

    def turns_of(self, ids: Sequence[int]) -> list[Entry]:
        """All entries of the turns that these entries belong to."""
        found = []
        for start in range(0, len(ids), MOST):
            found += [Entry(*row) for row in self._run(_TURNS, ids[start : start + MOST])]
        return list({entry.id: entry for entry in found}.values())

    def remove(self, turns: Sequence[Sequence[int]], seconds: float) -> bool:
        """The entries of these turns, a turn's all at once, for about so many seconds; whether all are gone.

        Raises django.db.Error, sqlite3.Error: the writer has the file; the rest is for later."""
        until = self._clock() + seconds
        waiting = [ids for ids in turns if ids]
        while waiting:
            chunk: list[int] = []
            while waiting and (not chunk or len(chunk) + len(waiting[0]) <= self._rows):
                chunk += waiting.pop(0)
            began = self._clock()
            self._run(_REMOVE, chunk)
            took = self._clock() - began
            self._rows = max(1, min(MOST, int(self._rows * LONGEST / 2 / max(took, 1e-4))))
            time.sleep(min(3 * took, 0.2))  # the file is its writer's
            if self._clock() > until:
                break
        return not waiting

    def remove_keys(self, tenant_id: int, before: float) -> None:
        """Data keys made before then that seal nothing any more."""
        self._run(_KEYS, (), (tenant_id, before))

    def _run(self, statement: str, ids: Sequence[int], values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._path is None:
            sql = statement.format("%s", "%s", ids=", ".join(["%s"] * len(ids)))
            with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
                cursor.execute(sql, [*ids, *values])
                return list(cursor.fetchall()) if cursor.description else []
        sql = statement.replace("{0}", "?").format(ids=", ".join("?" * len(ids)))
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None)) as database:
            # no fsync and no checkpoint in here: what is lost with the power is removed again
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA wal_autocheckpoint = 0")
            return database.execute(sql, [*ids, *values]).fetchall()


_MONTHS: Final = """
    SELECT inhrelid::regclass::text FROM pg_inherits
    WHERE inhparent = to_regclass('compliance_auditentry') AND inhrelid::regclass::text ~ '_y[0-9]{4}m[0-9]{2}"?$'
    ORDER BY 1"""


def drop_empty_months() -> int:
    """On PostgreSQL: drops past months whose entries are all gone; how many. Raises django.db.Error."""
    if first_file() is not None:
        return 0
    dropped = 0
    this_month = time.strftime("_y%Ym%m", time.gmtime())
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(_MONTHS)
        past = [name for (name,) in cursor.fetchall() if name.strip('"')[-len(this_month) :] < this_month]
        for name in past:
            with transaction.atomic(using=ALIAS):
                cursor.execute("SET LOCAL lock_timeout = '100ms'")  # turns queue behind who waits for this lock
                cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {name})")  # noqa: S608  # a name the server gave
                if not cursor.fetchone()[0]:
                    cursor.execute(f"ALTER TABLE compliance_auditentry DETACH PARTITION {name}")
                    cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {name})")  # noqa: S608  # under the lock
                    if cursor.fetchone()[0]:
                        transaction.set_rollback(True, using=ALIAS)
                    else:
                        cursor.execute(f"DROP TABLE {name}")
                        dropped += 1
    return dropped
