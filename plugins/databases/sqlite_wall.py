"""SQLite's own wall: its authorizer is asked about every table, column and function while a statement is compiled, and
clocks stop one that runs too long (https://www.sqlite.org/c3ref/set_authorizer.html)."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from plugins.databases.catalogue import Source, Table

Error = sqlite3.Error
OperationalError = sqlite3.OperationalError

STEPS: Final = 5_000  # of SQLite's machine between two looks at the clock

FUNCTIONS: Final = frozenset(
    ("abs", "avg", "ceil", "ceiling", "coalesce", "concat", "concat_ws", "count", "cume_dist", "current_date",
     "current_time", "current_timestamp", "date", "datetime", "dense_rank", "exp", "first_value", "floor",
     "group_concat", "ifnull", "iif", "instr", "julianday", "lag", "last_value", "lead", "length", "like", "ln", "log",
     "lower", "ltrim", "max", "min", "nth_value", "ntile", "nullif", "percent_rank", "pow", "power", "rank", "replace",
     "round", "row_number", "rtrim", "sign", "sqrt", "strftime", "string_agg", "substr", "substring", "sum", "time",
     "timediff", "total", "trim", "trunc", "typeof", "unixepoch", "upper", "->", "->>", "json_extract")
)  # fmt: skip


@contextmanager
def walled(connection: Any, source: Source, tables: Sequence[Table]) -> Iterator[None]:
    """While the block runs, the connection reads the allowed columns of these tables and nothing else."""
    until = time.monotonic() + source.time_limit
    views = {row[0].lower() for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")}
    connection.set_authorizer(_authorizer(tables, views))
    connection.set_progress_handler(lambda: time.monotonic() > until, STEPS)
    bell = threading.Timer(
        source.time_limit, connection.interrupt
    )  # seen between two rows, also where each is long work
    bell.daemon = True
    bell.start()
    try:
        yield
    finally:
        bell.cancel()
        bell.join()  # it must not ring in the next query
        connection.set_authorizer(None)
        connection.set_progress_handler(None, 0)


def _authorizer(tables: Sequence[Table], views: set[str]) -> Any:
    readable = {table.name.lower(): {column.name.lower() for column in table.columns} for table in tables}

    def decide(action: int, first: str | None, second: str | None, place: str | None, view: str | None) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ:
            if view is not None and view.lower() in views & readable.keys():
                return sqlite3.SQLITE_OK  # what an allowed view reads is its owner's choice
            columns = readable.get((first or "").lower())
            known = columns is not None and ((second or "").lower() in columns or not second)
            return sqlite3.SQLITE_OK if known or not first else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION:
            return sqlite3.SQLITE_OK if (second or "").lower() in FUNCTIONS else sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_DENY

    return decide
