"""Destroys the keys of a subject, in every file of the journal: from then on nobody can read what they sealed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from django.db import Error as DatabaseFailure
from django.db import connections

from compliance.database import ALIAS, first_file
from compliance.journal import slots, tables
from compliance.journal.store import StoreAway

GUEST: Final = 0.1  # seconds this may make the file's own writer wait
PATIENCE: Final = 10.0  # seconds until the file is free
PAUSE: Final = 0.05

_DELETE: Final = """
    DELETE FROM compliance_subjectkey WHERE tenant_id = {0} AND subject = {0} AND created_at <= {0} RETURNING id"""
_DELETE_ALL: Final = "DELETE FROM compliance_subjectkey WHERE tenant_id = {0} RETURNING id"


def destroy(tenant_id: int, subject: str, *, before: float) -> list[str]:
    """The ids of the keys that are no more; `before` (Unix seconds) is when the last of them was made. Blocking, safe
    to repeat. Raises StoreAway: some may be left."""
    return _destroyed(_DELETE, (tenant_id, subject, before))


def destroy_all(tenant_id: int) -> list[str]:
    """The same for every subject of a tenant that is deleted."""
    return _destroyed(_DELETE_ALL, (tenant_id,))


def _destroyed(statement: str, place: tuple[int | str | float, ...]) -> list[str]:
    first = first_file()
    if first is None:
        return _destroy_on_server(statement, place)
    paths = [slots.slot_path(first, number) for number in slots.existing(first)]
    return [key for path in paths if tables.migrated(path) for key in _destroy_in_file(path, statement, place)]


def _destroy_in_file(path: Path, statement: str, place: Sequence[object]) -> list[str]:
    """SQLite overwrites what it deletes (`secure_delete`), and the write-ahead log, which has the pages as they were,
    is cut off. The writer of the file is held up for moments only."""
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
        ) as database:
            database.execute("PRAGMA secure_delete = ON")
            database.execute("PRAGMA synchronous = FULL")
            database.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000:.0f}")
            gone = database.execute(statement.format("?"), place).fetchall()
            cut(database, path)
    except sqlite3.Error as error:
        raise StoreAway(f"{path}: {error}") from error
    return [key for (key,) in gone]


def cut(database: sqlite3.Connection, path: Path) -> None:
    """Takes the write-ahead log, with what it has of earlier pages, off the disk. Raises StoreAway, sqlite3.Error."""
    database.execute(f"PRAGMA busy_timeout = {GUEST * 1000:.0f}")
    until = time.monotonic() + PATIENCE
    while True:
        database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()  # the most of it, and nobody waits
        busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return
        if time.monotonic() > until:
            raise StoreAway(f"{path}: somebody reads it for so long that its write-ahead log cannot be cut off")
        time.sleep(PAUSE)


def _destroy_on_server(statement: str, place: tuple[int | str | float, ...]) -> list[str]:
    """PostgreSQL leaves the rows to VACUUM; older copies in its archives are the operator's (`docs/erasure.md`)."""
    try:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(statement.format("%s"), place)
            gone = [key for (key,) in cursor.fetchall()]
            if gone and connections[ALIAS].vendor == "postgresql" and not connections[ALIAS].in_atomic_block:
                cursor.execute("VACUUM compliance_subjectkey")
    except DatabaseFailure as error:
        raise StoreAway(str(error)) from error
    return gone
