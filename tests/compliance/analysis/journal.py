"""A journal with sealed turns, and what its analysis says of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connections

from clawdbot_site.databases import sql
from compliance.analysis import running
from compliance.journal import slots, tables
from compliance.journal.postgres import PostgresStore
from compliance.journal.sqlite import SqliteStore
from compliance.models.insights import InsightCount
from compliance.sealing import splitting
from compliance.tree.folding import Folder
from compliance.tree.leading import lead
from compliance.tree.sources import Sources
from engine.entries import Completion, Intent
from engine.turn import new_turn_id
from engine.types import Message
from tests.compliance.journals import KEYS, Place, completion, intent, sealer

HOUR = 3600
NOON = 1_800_000_000.0  # the beginning of an hour


class Journal:
    """Of `place`; turns are written without a server."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.sealer = sealer()

    def write(self, *entries: Intent | Completion, slot: int = 0, fold: bool = True) -> None:
        rows, users = [], {}
        for entry in entries:
            if isinstance(entry, Intent):
                users[entry.turn_id] = entry.user
                rows.append(splitting.intent_row(entry, "w"))
            else:
                rows.append(splitting.completion_row(entry, "w"))
        sealed, keys = self.sealer.seal(rows, users)
        self.sealer.durable(keys)
        self.append(sealed, keys, slot)
        if fold:
            self.fold()

    def append(self, rows, keys=(), slot: int = 0) -> None:
        if isinstance(self.place, Path):
            if slot:
                tables.migrate_slot(self.place, slot)
            held = slots.take(self.place, slot)
            assert held is not None
            store: SqliteStore | PostgresStore = SqliteStore(held, f"w{slot}")
        else:
            store = PostgresStore(self.place, f"w{slot}")
        store.open()
        for start in range(0, len(rows), 500):
            store.append(rows[start : start + 500], keys if start == 0 else ())
        store.close(finished=True)

    def fold(self) -> None:
        leader = lead()
        assert leader is not None
        with leader, Sources() as sources:
            folder = Folder(leader.alias)
            while folder.fold(sources.all()):
                pass

    def analyse(self, **options) -> running.Ran:
        return running.run(**options)


def turn(
    text: str = "How do I return it?", state: str = "completed", *, at: float = NOON, seconds: float = 1.0,
    tenant_id: int = 1, user: str = "ann", session: str | None = None, parent: int = 0, features=None, answer=None,
    **asked,
) -> tuple[Intent, Completion]:  # fmt: skip
    """`answer` are fields of the completion, `asked` of the intent."""
    given = {"messages": [Message(role="user", content=text)], "edge": "rest", "model": "gpt", "instance": "gpt"}
    begun = intent(
        new_turn_id(at), tenant_id=tenant_id, at=at, user=user, session_id=session, parent=parent,
        decision={"features": features} if features is not None else {}, **{**given, **asked},
    )  # fmt: skip
    told = {"model": "gpt", "instance": "gpt", "instance_id": 7, "edge": begun.edge, "duration": seconds, "ttft": 0.1}
    return begun, completion(begun, state, at=at + seconds, **{**told, **(answer or {})})


def counts(tenant_id: int = 1, what: str | None = None) -> dict[tuple, int]:
    """By hour after `NOON`, kind, name and state."""
    rows = InsightCount.objects.for_tenant(tenant_id)
    if what is not None:
        rows = rows.filter(what=what)
    found = {}
    for hour, kind, name, state, count in rows.values_list("hour", "what", "name", "state", "count"):
        key = (hour - int(NOON // HOUR), kind, name, state)
        found[key if what is None else (key[0], *key[2:])] = count
    return found


@contextmanager
def aliased(place: Place) -> Iterator[Journal]:
    """The alias `journal` is this database for a while, beside the transaction that a test has open on the other."""
    before, settings = connections["journal"], connections.databases["journal"]
    there = sql("JOURNAL_URL", place) if isinstance(place, str) else {"NAME": str(place)}
    connections.databases["journal"] = {**settings, **there, "CONN_MAX_AGE": 0}
    del connections["journal"]
    try:
        yield Journal(place)
    finally:
        connections["journal"].close()
        connections.databases["journal"] = settings
        connections["journal"] = before


@pytest.fixture
def kept(db, cast, journal_file, empty_journal, django_db_blocker, monkeypatch):
    """A journal in files, and the cast's tenants."""
    monkeypatch.setattr("tenants.stored_keys.stored", KEYS.get)
    shutil.copy(empty_journal, slots.slot_path(journal_file, slots.SEQUENCER))  # migrating it takes far longer
    with django_db_blocker.unblock(), aliased(journal_file) as journal:
        yield journal


@pytest.fixture
def kept_on_server(db, cast, journal_database, django_db_blocker, monkeypatch):
    """The same on PostgreSQL."""
    monkeypatch.setattr("tenants.stored_keys.stored", KEYS.get)
    with django_db_blocker.unblock(), aliased(journal_database) as journal:
        yield journal
