"""A journal of its own in a temporary folder, for the suites of the journal, and entries to put into it."""

from __future__ import annotations

import functools
import itertools
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from clawdbot_site.databases import sql
from compliance.journal.postgres import PostgresStore
from compliance.journal.slots import claim
from compliance.journal.sqlite import SqliteStore
from compliance.journal.store import Store
from compliance.journal.writer import JournalWriter
from compliance.sealing.sealer import Sealer
from engine.entries import Completion, Intent
from engine.snapshots import Cell
from engine.turn import new_turn_id
from engine.types import Choice, Message, Usage
from tenants.keyring import KeyTable, TenantKeys
from tests.conftest import VAR_DIR
from tests.services.postgres import PostgresServer

# Where a journal is: the first SQLite file, or the address of a PostgreSQL database.
Place = Path | str

# The same in every process of a test.
KEYS: KeyTable = {number: TenantKeys(bytes([number + 1]) * 16, [bytes([number + 1]) * 32]) for number in range(20)}
KEYS[1 << 63] = TenantKeys.fresh()  # of the tenant that no database can store


@pytest.fixture(scope="session")
def empty_journal(django_db_blocker) -> Path:
    """A migrated file to copy: migrating takes longer than most tests."""
    with django_db_blocker.unblock():
        return _migrated()


@functools.cache  # each module that imports the fixture has one of its own
def _migrated() -> Path:
    path = Path(tempfile.mkdtemp(prefix="journal-", dir=VAR_DIR)) / "journal.sqlite3"
    with named(path):
        call_command("migrate", database="journal", verbosity=0, skip_checks=True)
        with connections["journal"].cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


class named:  # noqa: N801  # used as a statement: with named(path)
    """The alias `journal` is this file for a while."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        connections["journal"].close()
        self.before = connections["journal"].settings_dict["NAME"]
        connections["journal"].settings_dict["NAME"] = str(self.path)

    def __exit__(self, *_: object) -> None:
        connections["journal"].close()
        connections["journal"].settings_dict["NAME"] = self.before


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all suites; not for tests that stop it. Each module that imports the fixture has one of its own."""
    server = PostgresServer(
        Path(tempfile.mkdtemp(prefix="postgres-", dir=VAR_DIR)),
        options=["-c", "fsync=off", "-c", "full_page_writes=off"],
    )
    server.start()
    yield server
    server.kill()  # nobody needs what is in it any more


@contextmanager
def on_postgres(address: str) -> Iterator[None]:
    """The alias `journal` is this database for a while."""
    before = connections.databases["journal"]
    connections["journal"].close()
    del connections["journal"]
    connections.databases["journal"] = {**before, **sql("JOURNAL_URL", address), "CONN_MAX_AGE": 0}
    try:
        yield
    finally:
        connections["journal"].close()
        del connections["journal"]
        connections.databases["journal"] = before


@pytest.fixture(scope="session")
def empty_database(postgres: PostgresServer, django_db_blocker) -> str:
    """The name of a migrated database to copy."""
    with django_db_blocker.unblock(), on_postgres(postgres.database("empty")):
        call_command("migrate", database="journal", verbosity=0, skip_checks=True)
    return "empty"


_numbers = itertools.count(1)


@pytest.fixture
def journal_database(postgres: PostgresServer, empty_database: str) -> str:
    """The address of a new journal on PostgreSQL, without Django."""
    return postgres.database(f"journal{next(_numbers)}", empty_database)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    """A new journal on each kind of database."""
    return request.getfixturevalue("journal_file" if request.param == "sqlite" else "journal_database")


@pytest.fixture
def place_alias(place: Place, django_db_blocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The same, and the ORM reads it, in a test's own event loop too; sealed with `KEYS`, not with those of the other
    database, which is not there."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    monkeypatch.setattr("tenants.stored_keys.stored", KEYS.get)
    with django_db_blocker.unblock(), on_postgres(place) if isinstance(place, str) else named(place):
        yield place


@pytest.fixture
def journal_file(tmp_path: Path, empty_journal: Path) -> Path:
    """The first file of a new journal, without Django."""
    return Path(shutil.copy(empty_journal, tmp_path / "journal.sqlite3"))


@pytest.fixture
def journal_alias(journal_file: Path, django_db_blocker, monkeypatch: pytest.MonkeyPatch):
    """SQLite's alone."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    monkeypatch.setattr("tenants.stored_keys.stored", KEYS.get)
    with django_db_blocker.unblock(), named(journal_file):
        yield journal_file


@pytest.fixture
async def journal(place: Place):
    """A started writer."""
    writer = writer_on(place)
    await writer.start()
    yield writer
    await writer.stop()


def store_on(place: Place, worker: str = "w1") -> Store:
    return PostgresStore(place, worker) if isinstance(place, str) else SqliteStore(claim(place), worker)


def writer_on(place: Place, worker: str = "w1", **options: float) -> JournalWriter:
    return JournalWriter(store_on(place, worker), sealer(), **options)


def sealer(**options: int) -> Sealer:
    return Sealer(Cell(KEYS), **options)


def intent(turn_id: str | None = None, **fields: object) -> Intent:
    now = time.time()
    given = {"tenant_id": 1, "at": now, "edge": "openai", "request_id": "r", "subject": "key:1", "user": "key:1"}
    given["messages"] = [Message(role="user", content="Hi")]
    return Intent(turn_id=turn_id or new_turn_id(now), **{**given, **fields})


def completion(of: Intent, state: str = "completed", text: str = "Hello", **fields: object) -> Completion:
    choices = [Choice(message=Message(role="assistant", content=text), finish_reason="stop")]
    given = {"tenant_id": of.tenant_id, "at": time.time(), "state": state, "session_id": of.session_id}
    given["usage"] = Usage(prompt_tokens=1, completion_tokens=1)
    return Completion(turn_id=of.turn_id, choices=choices, **{**given, **fields})


def run(place: Place, statement: str) -> list[tuple]:
    """What another process sees, or does."""
    if isinstance(place, str):
        with psycopg.connect(place) as database:
            done = database.execute(statement)
            return done.fetchall() if done.description else []
    with closing(sqlite3.connect(f"{place.as_uri()}?mode=rw", uri=True)) as database, database:
        return database.execute(statement).fetchall()


def rows(place: Place, columns: str = "turn_id, kind, state") -> list[tuple]:
    return run(place, f"SELECT {columns} FROM compliance_auditentry ORDER BY id")


def kinds(path: Place) -> dict[str, list[str]]:
    """The kinds of the entries (states, for ends) by turn."""
    found: dict[str, list[str]] = {}
    for turn_id, kind, state in rows(path):
        found.setdefault(turn_id, []).append(state or kind)
    return found
