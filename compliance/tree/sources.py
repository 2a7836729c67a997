"""Where entries are read from, in an order that never changes once it was seen: SQLite files, or a PostgreSQL table.

On SQLite ids ascend in the order of commits within a file. On PostgreSQL they do not: a transaction that began earlier
may commit later. There an entry is read once every transaction up to its own has ended, in the order of (xid, id)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, Self

from django.db import connections

from compliance.database import ALIAS, first_file
from compliance.journal import slots, tables
from compliance.tree.leaves import READ, Columns

CHUNK: Final = 1000
MAPPED: Final = 1 << 30  # bytes of a file that are read without copying them first
_COLUMNS: Final = ", ".join(f'"{name}"' for name in READ)
_SQLITE: Final = f"SELECT {_COLUMNS} FROM compliance_auditentry WHERE"  # noqa: S608  # our own names
_BY_ID: Final = f"SELECT {_COLUMNS} FROM compliance_auditentry WHERE id IN "  # noqa: S608  # our own names


class Place(NamedTuple):
    """Up to where a source was read. `xid` is PostgreSQL's."""

    xid: int = 0
    entry_id: int = 0


class Source(Protocol):
    """Blocking; belongs to one thread. What the database raises is django.db.Error or sqlite3.Error."""

    number: int

    def after(self, place: Place) -> Iterator[tuple[Place, Columns]]:
        """Committed entries behind the place, in order; the place behind each."""

    def entries(self, tenant_id: int | None = None) -> Iterator[Columns]:
        """All entries, or a tenant's, by id."""

    def behind(self, place: Place, ids: Sequence[int]) -> set[int]:
        """Those of these ids that stand behind the place: they are not folded yet."""

    def of_ids(self, ids: Sequence[int]) -> list[Columns]:
        """Those of these ids that are there."""

    def close(self) -> None: ...


class SqliteFile:
    """One file, read only. A file that was moved or replaced is opened anew."""

    def __init__(self, number: int, path: Path) -> None:
        self.number = number
        self.path = path
        self._database: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def after(self, place: Place) -> Iterator[tuple[Place, Columns]]:
        for row in self._rows("id > ?", (place.entry_id,)):
            yield Place(0, row[0]), row

    def entries(self, tenant_id: int | None = None) -> Iterator[Columns]:
        where, values = ("true", ()) if tenant_id is None else ("tenant_id = ?", (tenant_id,))
        return self._open().execute(f"{_SQLITE} {where} ORDER BY id", values)  # the cursor itself: the fastest way

    def behind(self, place: Place, ids: Sequence[int]) -> set[int]:
        return {number for number in ids if number > place.entry_id}

    def of_ids(self, ids: Sequence[int]) -> list[Columns]:
        found: list[Columns] = []
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            found += self._open().execute(f"{_BY_ID} ({', '.join('?' * len(some))})", some).fetchall()
        return found

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _rows(self, where: str, values: Sequence[int]) -> Iterator[Columns]:
        # closing: a statement left half way would keep its snapshot, and with it the log from being checkpointed
        with closing(self._open().execute(f"{_SQLITE} {where} ORDER BY id", values)) as cursor:
            while rows := cursor.fetchmany(CHUNK):
                yield from rows

    def _open(self) -> sqlite3.Connection:
        status = os.stat(self.path)
        if self._database is None or self._identity != (status.st_dev, status.st_ino):
            self.close()
            self._database = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
            self._database.text_factory = bytearray
            self._database.execute(f"PRAGMA mmap_size = {MAPPED}")
            self._identity = status.st_dev, status.st_ino
        return self._database


class PostgresTable:
    """The table on a server, through the alias's connection. The column `xid` holds the transaction of each row."""

    number = 0
    _numbers = count(1)

    def after(self, place: Place) -> Iterator[tuple[Place, Columns]]:
        where = "xid < pg_snapshot_xmin(pg_current_snapshot()) AND (xid, id) > (%s::text::xid8, %s) ORDER BY xid, id"
        for xid, *row in self._rows(f"xid::text::bigint, {_POSTGRES}", where, [str(place.xid), place.entry_id]):
            yield Place(xid, row[0]), tuple(row)

    def entries(self, tenant_id: int | None = None) -> Iterator[Columns]:
        if tenant_id is None:
            return self._rows(_POSTGRES, "true ORDER BY id", [])
        return self._rows(_POSTGRES, "tenant_id = %s ORDER BY id", [tenant_id])

    def behind(self, place: Place, ids: Sequence[int]) -> set[int]:
        # a transaction that has not begun yet wrote nothing: such an entry would wait for its leaf for ever
        where = "id = ANY(%s) AND (xid, id) > (%s::text::xid8, %s) AND xid < pg_snapshot_xmax(pg_current_snapshot())"
        return {row[0] for row in self._rows("id", where, [list(ids), str(place.xid), place.entry_id])}

    def of_ids(self, ids: Sequence[int]) -> list[Columns]:
        return list(self._rows(_POSTGRES, "id = ANY(%s)", [list(ids)]))

    def close(self) -> None:
        pass

    def _rows(self, columns: str, where: str, values: list[Any]) -> Iterator[Columns]:
        connection = connections[ALIAS]
        connection.ensure_connection()
        name = f"entries_{next(self._numbers)}"
        with connection.connection.transaction(), connection.connection.cursor(name, binary=True) as cursor:
            cursor.itersize = CHUNK
            cursor.execute(f"SELECT {columns} FROM compliance_auditentry WHERE {where}", values)  # noqa: S608  # ours
            yield from cursor


def _as_read(name: str) -> str:
    """Texts as bytes, as SQLite hands them over."""
    numbers = {"id", "number", "tenant_id", "at", "key_id", "body"}
    return f'"{name}"' if name in numbers else f"convert_to(\"{name}\", 'UTF8')"


_POSTGRES: Final = ", ".join(map(_as_read, READ))


class Sources:
    """All there are by now. On SQLite: every slot's file that has tables."""

    def __init__(self) -> None:
        self._first = first_file()
        self._open: dict[int, Source] = {} if self._first is not None else {0: PostgresTable()}

    def all(self) -> list[Source]:
        if self._first is not None:
            for number in slots.existing(self._first):
                path = slots.slot_path(self._first, number)
                if number not in self._open and tables.migrated(path):
                    self._open[number] = SqliteFile(number, path)
        return [self._open[number] for number in sorted(self._open)]

    def close(self) -> None:
        for source in self._open.values():
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
