"""Connections to tenants' databases: a small pool a data source, each connection to one looked-up address.

Imported only where a tenant has a database: SQLAlchemy takes tens of MiB."""

from __future__ import annotations

import os
import sqlite3
import ssl
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import psycopg
import pymysql
from django.conf import settings
from pymysql.cursors import SSCursor
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import QueuePool

from engine.addresses import check_peer_of
from plugins.databases import addresses
from plugins.databases.addresses import Address
from plugins.databases.catalogue import Source
from plugins.databases.services import own_files

CONNECTIONS: Final = 2
CONNECT_TIME: Final = 5.0  # seconds
RECYCLE: Final = 300  # seconds until a connection is made anew
SLACK: Final = 3.0  # seconds that the network may add to the database's own limit
NAME: Final = "clawdbot"

DRIVERS: Final = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}


def engine_of(source: Source) -> Engine:
    """Opens nothing yet. Raises AddressRefused where the address is no good; so do its connections."""
    address = addresses.parse(source.url)
    return create_engine(
        f"{DRIVERS[source.dialect]}://",
        creator=_creator(source, address),
        poolclass=QueuePool,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=source.time_limit,
        pool_recycle=RECYCLE,
        pool_pre_ping=True,
        pool_reset_on_return="rollback",
        hide_parameters=True,
    )


def _creator(source: Source, address: Address) -> Callable[[], Any]:
    make = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql}[source.dialect]
    return lambda: make(source, address)


def _sqlite(source: Source, address: Address) -> sqlite3.Connection:
    file = addresses.file_of(address.database, tenant=source.tenant, folder=settings.DATABASE_FOLDER, ours=own_files())
    connection = sqlite3.connect(
        f"file:{quote(str(file))}?mode=ro", uri=True, check_same_thread=False, timeout=1.0, isolation_level=None
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA temp_store = MEMORY")
    for limit, most in _SQLITE_LIMITS:
        connection.setlimit(limit, most)
    return connection


_SQLITE_LIMITS: Final = (
    (sqlite3.SQLITE_LIMIT_LENGTH, 250_000),  # bytes of one value: to look for one long text in another takes both
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),  # lengths multiplied, and no clock is looked at meanwhile
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 100_000),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)


def _postgresql(source: Source, address: Address) -> Any:
    """Every place a driver looks for more (files of passwords and certificates, services) is closed."""
    verify: dict[str, Any] = {"sslrootcert": "system"} if address.tls == "verify-full" else {}
    connection = psycopg.connect(
        host=address.host,
        hostaddr=addresses.resolve(address, private=source.private, timeout=CONNECT_TIME),
        port=address.port,
        user=address.user,
        password=address.password or "-",  # an empty one would be looked for elsewhere
        dbname=address.database,
        sslmode=address.tls,
        passfile=os.devnull,
        gssencmode="disable",
        connect_timeout=int(CONNECT_TIME),
        application_name=NAME,
        client_encoding="utf8",
        tcp_user_timeout=int((source.time_limit + CONNECT_TIME) * 1000),
        **verify,
    )
    try:
        check_peer_of(connection.fileno(), private=source.private)
    except BaseException:
        connection.close()
        raise
    return connection


def _mysql(source: Source, address: Address) -> Any:
    connection: Any = pymysql.connections.Connection(
        host=address.host,  # the name that certificates are checked for
        port=address.port,
        user=address.user,
        password=address.password,
        database=address.database,
        charset="utf8mb4",
        connect_timeout=CONNECT_TIME,
        read_timeout=source.time_limit + SLACK,
        write_timeout=CONNECT_TIME,
        local_infile=False,
        cursorclass=SSCursor,
        program_name=NAME,
        autocommit=True,
        defer_connect=True,
        **_mysql_tls(address.tls),
    )
    plain = addresses.connect(address, private=source.private, timeout=CONNECT_TIME)
    try:
        connection.connect(sock=plain)
    except BaseException:
        plain.close()
        raise
    return connection


def _mysql_tls(tls: str) -> dict[str, Any]:
    """`prefer` is what the driver does untold: encrypted where the server can, whoever it is."""
    if tls == "prefer":
        return {}
    if tls == "disable":
        return {"ssl_disabled": True}
    context = ssl.create_default_context()
    if tls == "require":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return {"ssl": context}
