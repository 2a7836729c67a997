"""A tally into the database, in the transaction of the completions it counts.

On SQLite a file has one writer; on PostgreSQL a writer's rows are its own, and one statement brings them all."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from compliance.journal.records import Row
from compliance.usage import buckets
from compliance.usage.counting import SUMS, Sum, Tally, tally

ROWS: Final = "compliance_usagerow"
TOTALS: Final = "compliance_usagetotal"
TIMINGS: Final = "compliance_usagetiming"
MERGED: Final = "compliance_usage_merged"

_ROW_KEY: Final = ("tenant_id", "hour", "key_id", "member_id", "model", "instance_id", "edge", "writer")
_TOTAL_KEY: Final = ("tenant_id", "hours", "start", "model", "instance_id", "writer")
_TIMING_KEY: Final = ("tenant_id", "hour", "model", "writer")
_SUMMED: Final = (*SUMS, "last_at")
_TIMED: Final = ("durations", "first_tokens")
_TYPES: Final = {"model": "text", "edge": "text", "hours": "int2", "hour": "int4", "start": "int4", "last_at": "float8"}


def _upsert(table: str, key: Sequence[str], values: Sequence[str], given: str, latest: str) -> str:
    """`given` stands for the rows, `latest` is the function that gives the larger of two."""
    adding = [
        f"{name} = {latest}({table}.{name}, excluded.{name})"
        if name == "last_at"
        else f"{name} = {MERGED}({table}.{name}, excluded.{name})"
        if name in _TIMED
        else f"{name} = {table}.{name} + excluded.{name}"
        for name in values
    ]
    return (
        f"INSERT INTO {table} ({', '.join((*key, *values))}) {given} "  # noqa: S608  # our own names
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(adding)}"
    )


def _in_file(table: str, key: Sequence[str], values: Sequence[str]) -> str:
    return _upsert(table, key, values, f"VALUES ({', '.join('?' * (len(key) + len(values)))})", "max")


def _on_server(table: str, key: Sequence[str], values: Sequence[str]) -> str:
    names = (*key, *values)
    types = [_TYPES.get(name, "text" if name in _TIMED else "int8") for name in names]
    arrays = ", ".join(f"%s::{kind}[]" for kind in types)
    return _upsert(table, key, values, f"SELECT * FROM unnest({arrays})", "greatest")  # noqa: S608  # our own names


_PARTS: Final = ((ROWS, _ROW_KEY, _SUMMED), (TOTALS, _TOTAL_KEY, _SUMMED), (TIMINGS, _TIMING_KEY, _TIMED))
_IN_FILE: Final = [_in_file(*part) for part in _PARTS]
_ON_SERVER: Final = "WITH a AS ({}), b AS ({}) {}".format(*(_on_server(*part) for part in _PARTS))
_WIDTHS: Final = [len(key) + len(values) for _, key, values in _PARTS]


def prepare_file(database: sqlite3.Connection) -> None:
    """Every connection that `count_in_file` is given needs it once."""
    database.create_function(MERGED, 2, buckets.merged, deterministic=True)


def count_in_file(database: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """In an open transaction. Raises sqlite3.Error, and what `tally` does."""
    if (told := tally(rows)) is not None:
        for statement, values in zip(_IN_FILE, _values(told, 0), strict=True):
            database.executemany(statement, values)


def count_on_server(cursor: Any, rows: Iterable[Row], writer: int) -> None:
    """In an open transaction. Raises psycopg.Error, and what `tally` does."""
    if (told := tally(rows)) is not None:
        columns: list[list[object]] = []
        for values, width in zip(_values(told, writer), _WIDTHS, strict=True):
            columns += [list(column) for column in zip(*values, strict=True)] or [[] for _ in range(width)]
        cursor.execute(_ON_SERVER, columns)


def number_of(writer: str) -> int:
    """Which of the sums on a server are this writer's: a number that hardly any two have."""
    return int.from_bytes(hashlib.blake2b(writer.encode(), digest_size=8, person=b"usage").digest(), signed=True)


def _values(told: Tally, writer: int) -> tuple[list[tuple[object, ...]], ...]:
    timings: list[tuple[object, ...]] = [
        (*key, writer, buckets.encode(timing.durations).decode(), buckets.encode(timing.first_tokens).decode())
        for key, timing in told.timings
    ]
    return (
        [(*key, writer, *_sums(sums)) for key, sums in told.rows],
        [(*key, writer, *_sums(sums)) for key, sums in told.totals],
        timings,
    )


def _sums(sums: Sum) -> tuple[object, ...]:
    return (*sums.counts, sums.last_at)
