"""The shop of `sources.py` as real databases: a SQLite file, and a PostgreSQL server whose role may read the allowed
columns only, so that the database itself says when something else was read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from clawdbot_site.selftest.postgres import PostgresServer
from plugins.databases.catalogue import Source
from tests.plugins.databases import sources


@pytest.fixture
def folder(tmp_path: Path, settings) -> Path:
    """What DATABASE_FOLDER names; acme's own folder is in it, with its shop."""
    settings.DATABASE_FOLDER = tmp_path / "databases"
    home = settings.DATABASE_FOLDER / "acme"
    home.mkdir(parents=True)
    with sqlite3.connect(home / "shop.sqlite3") as connection:
        connection.executescript(sources.SCHEMA)
    connection.close()
    return home


@pytest.fixture
def sqlite_source(folder: Path) -> Source:
    return sources.source("sqlite", "sqlite:///shop.sqlite3")


@pytest.fixture(scope="session")
def shop_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("shop") / "server", options=["-c", "fsync=off"])
    server.start()
    with psycopg.connect(server.url, autocommit=True) as owner:
        owner.execute(sources.SCHEMA.encode())
        owner.execute("CREATE ROLE reader LOGIN PASSWORD 'secret'")
        for table in sources.TABLES:
            columns = ", ".join(f'"{column.name}"' for column in table.columns)
            owner.execute(f'GRANT SELECT ({columns}) ON "{table.name}" TO reader'.encode())
    yield server
    server.stop()


@pytest.fixture
def postgres_source(shop_server: PostgresServer) -> Source:
    url = f"postgresql://reader:secret@127.0.0.1:{shop_server.port}/postgres"
    return sources.source("postgresql", url, cost_limit=1_000_000.0)
