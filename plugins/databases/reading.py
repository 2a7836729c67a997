"""A look at a tenant's database: whether it can be reached, which tables and columns there are, and whether the role
could write, which it should not."""

from __future__ import annotations

import re
from typing import Any, Final

import psycopg
import pymysql
from sqlalchemy import Connection, inspect
from sqlalchemy.engine.reflection import Inspector, ObjectKind
from sqlalchemy.exc import SQLAlchemyError

from plugins.databases.addresses import AddressRefused
from plugins.databases.catalogue import MOST_COLUMNS, Column, Look, Source, Table
from plugins.databases.connecting import engine_of
from plugins.databases.cutting import cut
from plugins.databases.failures import QueryFailed

TIME: Final = 20.0  # seconds
MOST: Final = 500  # tables that are listed

_SYSTEM: Final = frozenset(("information_schema", "mysql", "performance_schema", "sys"))
_WRITES: Final = re.compile(
    r"GRANT .*\b(ALL PRIVILEGES|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|FILE|SUPER|TRIGGER|EXECUTE)\b.* ON ",
    re.IGNORECASE,
)
_PLACE: Final = re.compile(r" ON (?:\w+ )?`((?:[^`]|``)+)`\.")
_POSTGRES_WRITES: Final = """
SELECT current_setting('is_superuser') = 'on' OR EXISTS (
  SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))
"""


def look(source: Source) -> Look:
    """Blocking, some seconds. Raises QueryFailed."""
    try:
        engine = engine_of(source)
        try:
            with engine.connect() as connection, cut_off(connection, source):
                found = list(_tables(inspect(connection), source))
                return Look(found[:MOST], len(found) > MOST, _may_write(connection, source))
        finally:
            engine.dispose()
    except AddressRefused as error:
        raise QueryFailed("database_unreachable", str(error)) from None
    except (SQLAlchemyError, psycopg.Error, pymysql.Error, OSError, ValueError) as error:
        raise QueryFailed("database_unreachable", f"The database cannot be read: {_reason(error)}") from error


def cut_off(connection: Connection, source: Source) -> Any:
    driver: Any = connection.connection.driver_connection
    if source.dialect == "sqlite":
        return connection.begin()
    descriptor = driver.fileno() if source.dialect == "postgresql" else driver._sock.fileno()
    return cut(descriptor, TIME)


def _tables(inspector: Inspector, source: Source) -> Any:
    for schema in _schemas(inspector, source):
        columns = inspector.get_multi_columns(schema=schema, kind=ObjectKind.ANY)
        comments = {} if source.dialect == "sqlite" else inspector.get_multi_table_comment(schema=schema)
        for (_, name), described in sorted(columns.items(), key=lambda each: str(each[0][1])):
            shown = tuple(_column(each) for each in described[:MOST_COLUMNS])
            if shown:
                said: Any = comments.get((schema, name)) or {}
                about = _line(said.get("text"))
                yield Table(name=name, schema=schema or "", description=about, columns=shown)


def _schemas(inspector: Inspector, source: Source) -> list[str | None]:
    if source.dialect != "postgresql":
        return [None]
    names = [name for name in inspector.get_schema_names() if name not in _SYSTEM and not name.startswith("pg_")]
    return [None if name == "public" else name for name in sorted(names, key=lambda name: (name != "public", name))]


def _column(described: Any) -> Column:
    try:
        kind = str(described["type"])
    except Exception:  # noqa: BLE001 - border: a type of the database that the library cannot write down
        kind = ""
    return Column(name=described["name"], type=kind.lower()[:60], description=_line(described.get("comment")))


def _line(text: object) -> str:
    return " ".join(str(text or "").split())[:500]


def _may_write(connection: Connection, source: Source) -> bool:
    if source.dialect == "sqlite":
        return False  # it is opened for reading
    if source.dialect == "postgresql":
        return bool(connection.exec_driver_sql(_POSTGRES_WRITES).scalar())
    database = str(connection.exec_driver_sql("SELECT DATABASE()").scalar())
    grants = [str(row[0]) for row in connection.exec_driver_sql("SHOW GRANTS")]
    return any(_WRITES.search(grant) and _is_of(grant, database) for grant in grants)


def _is_of(grant: str, database: str) -> bool:
    """Not of another database only, as MariaDB's own `test` is, which everybody may write to."""
    place = _PLACE.search(grant)
    if place is None:
        return True
    pattern = re.sub(r"\\([%_])|([%_])|(.)", _as_regex, place.group(1).replace("``", "`"), flags=re.DOTALL)
    return re.fullmatch(pattern, database, re.DOTALL | re.IGNORECASE) is not None


def _as_regex(sign: re.Match[str]) -> str:
    """Grants name databases as LIKE does."""
    escaped, wild, plain = sign.groups()
    return {"%": ".*", "_": "."}[wild] if wild else re.escape(escaped or plain)


def _reason(error: Exception) -> str:
    """The driver's own words, without what SQLAlchemy adds, and never the password: drivers do not repeat it."""
    inner = getattr(error, "orig", None) or error
    text = str(inner.args[-1]) if isinstance(inner, pymysql.Error) and inner.args else str(inner)
    return text.strip().partition("\n")[0][:200]
