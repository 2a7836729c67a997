"""Runs what `checking` let pass: inside a transaction that cannot write, with the database's own limits on time and
cost, and behind a second wall of its own where it has one."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import psycopg
import pymysql
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from plugins.databases import cells, sqlite_wall
from plugins.databases.addresses import AddressRefused
from plugins.databases.catalogue import Source
from plugins.databases.checking import Checked
from plugins.databases.connecting import SLACK
from plugins.databases.cutting import cut
from plugins.databases.failures import QueryFailed, Refused

LOCK_TIME: Final = 1_000  # milliseconds that a lock is waited for


class Rows(msgspec.Struct, frozen=True):
    """`truncated`: there were more rows, or more in them, than may be given."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool
    ms: int


def run(engine: Engine, source: Source, checked: Checked) -> Rows:
    """Blocking. Raises Refused (too costly), QueryFailed."""
    began = time.monotonic()
    read = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql}[source.dialect]
    with connected(engine) as connection:
        columns, rows, more = read(connection, source, checked)
    return Rows(columns, rows, more, int((time.monotonic() - began) * 1000))


@contextmanager
def connected(engine: Engine) -> Iterator[Any]:
    """A driver's own connection. One that was lost is not given back to the pool. Raises QueryFailed."""
    try:
        pooled = engine.raw_connection()
    except AddressRefused as error:
        raise QueryFailed("database_unreachable", str(error)) from None
    except PoolTimeout:
        raise QueryFailed("too_slow", "The database is busy with other questions.") from None
    except (SQLAlchemyError, psycopg.Error, pymysql.Error, OSError) as error:
        raise QueryFailed("database_unreachable", "The database cannot be reached.") from error
    broken = True
    try:
        yield pooled.driver_connection
        broken = False
    except (Refused, QueryFailed):
        broken = False
        raise
    finally:
        if broken:
            pooled.invalidate()
        pooled.close()


def _postgresql(connection: Any, source: Source, checked: Checked) -> tuple[list[str], list[list[Any]], bool]:
    milliseconds = int(source.time_limit * 1000)
    with cut(connection.fileno(), source.time_limit + SLACK), _translated(psycopg.Error):
        try:
            with connection.cursor() as cursor:
                cursor.execute("BEGIN TRANSACTION READ ONLY" if connection.autocommit else "SET TRANSACTION READ ONLY")
                for name, value in (
                    ("statement_timeout", f"{milliseconds}ms"),
                    ("lock_timeout", f"{min(LOCK_TIME, milliseconds)}ms"),
                    ("idle_in_transaction_session_timeout", f"{milliseconds + 10_000}ms"),
                    ("search_path", "pg_catalog"),
                    ("standard_conforming_strings", "on"),
                    ("max_parallel_workers_per_gather", "0"),
                ):
                    cursor.execute("SELECT set_config(%s, %s, true)", (name, value))
                if source.cost_limit:
                    # prepared: the server itself takes one statement only
                    cursor.execute(f"EXPLAIN (FORMAT JSON) {checked.sql}", prepare=True)
                    _check_cost(_postgresql_cost(cursor.fetchone()), source)
                cursor.execute(checked.sql, prepare=True)
                return cells.table([each.name for each in cursor.description or ()], cursor, source.row_limit)
        except psycopg.errors.QueryCanceled:
            raise _slow(source) from None
        finally:
            _roll_back(connection)


def _postgresql_cost(row: Any) -> float:
    plan = row[0] if not isinstance(row[0], str) else json.loads(row[0])
    return float(plan[0]["Plan"]["Total Cost"])


def _mysql(connection: Any, source: Source, checked: Checked) -> tuple[list[str], list[list[Any]], bool]:
    maria = "mariadb" in connection.get_server_info().lower()
    seconds = source.time_limit
    limit = f"max_statement_time = {seconds:.3f}" if maria else f"max_execution_time = {int(seconds * 1000)}"
    with cut(connection._sock.fileno(), seconds + SLACK), _translated(pymysql.Error, OSError):
        cursor = connection.cursor()
        try:
            cursor.execute("SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'")
            cursor.execute(f"SET SESSION {limit}, lock_wait_timeout = 1")
            # of the session, not of one transaction: DDL ends a transaction, and would be free of what was said of it
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.execute("START TRANSACTION READ ONLY")
            if source.cost_limit:
                cursor.execute(f"EXPLAIN FORMAT=JSON {checked.sql}")
                _check_cost(_mysql_cost(cursor), source)
            cursor.execute(checked.sql)
            names = [each[0] for each in cursor.description or ()]
            return cells.table(names, cursor, source.row_limit)
        except pymysql.err.OperationalError as error:
            if error.args and error.args[0] in (3024, 1969, 1317, 1205):  # each a limit on time
                raise _slow(source) from None
            raise
        finally:
            cursor.close()
            _roll_back(connection)


def _mysql_cost(cursor: Any) -> float:
    """Of what was explained just now. Infinity where the server does not say."""
    rows = cursor.fetchall()
    try:
        told = _told_cost(str(rows[0][0]))
        if told is None:
            cursor.execute("SHOW SESSION STATUS LIKE 'Last_query_cost'")
            told = cursor.fetchall()[0][1]
        return float(told)
    except (LookupError, TypeError, ValueError):
        return math.inf


def _told_cost(plan: str) -> Any:
    """None: MariaDB before 11 has none in it, and with quotes in a query writes something that is no JSON."""
    try:
        block = json.loads(plan)["query_block"]
    except ValueError:
        return None
    return block.get("cost_info", {}).get("query_cost", block.get("cost"))


def _sqlite(connection: Any, source: Source, checked: Checked) -> tuple[list[str], list[list[Any]], bool]:
    with sqlite_wall.walled(connection, source, checked.tables), _translated(sqlite_wall.Error):
        cursor = connection.cursor()
        try:
            cursor.execute(checked.sql)
            names = [each[0] for each in cursor.description or ()]
            return cells.table(names, cursor, source.row_limit)
        except sqlite_wall.OperationalError as error:
            if "interrupted" in str(error):
                raise _slow(source) from None
            raise
        finally:
            cursor.close()


@contextmanager
def _translated(*errors: type[Exception]) -> Iterator[None]:
    """What a database says about a query is for whoever wrote it; what it says when it goes away is not."""
    try:
        yield
    except errors as error:
        lost = isinstance(
            error, OSError | psycopg.OperationalError | psycopg.InterfaceError | pymysql.err.InterfaceError
        )
        if lost and not isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise QueryFailed("database_unreachable", "The connection to the database was lost.") from error
        raise QueryFailed("database_error", _first_line(error)) from error


def _first_line(error: Exception) -> str:
    text = str(error.args[-1]) if isinstance(error, pymysql.Error) and error.args else str(error)
    return text.strip().partition("\n")[0][:300]


def _check_cost(cost: float, source: Source) -> None:
    if cost > source.cost_limit:
        raise Refused("cost", f"The query would cost {cost:.0f}, and {source.cost_limit:.0f} is allowed: read less.")


def _slow(source: Source) -> QueryFailed:
    return QueryFailed("too_slow", f"The query took longer than {source.time_limit:g} seconds: read less.")


def _roll_back(connection: Any) -> None:
    """A lost connection rolls back by itself."""
    try:
        connection.rollback()
    except (psycopg.Error, pymysql.Error, OSError):
        pass
