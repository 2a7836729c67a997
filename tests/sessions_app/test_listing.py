"""A list of sessions survives what its store forgets."""

from __future__ import annotations

import pytest

from engine.entries import Intent
from sessions_app.layout import Home
from tests.cast import ACME, ALICE, BOB, CHARLIE
from tests.engine.journal import MemoryJournal
from tests.sessions_app.conversing import turn
from tests.sessions_app.parts import MemoryPast, sessions

HOME = Home(ACME.id, ALICE.principal.user)


@pytest.fixture
def journal():
    return MemoryJournal()


@pytest.fixture
def past(journal):
    return MemoryPast(journal)


@pytest.fixture
def store(stores, tenants, journal, past):
    return sessions(stores, tenants, journal, past)


async def listed(store, person=ALICE, **paging):
    page = await store.list(person.principal, **paging)
    return [row["session_id"] for row in page["sessions"]]


async def talk(store, *names):
    for name in names:
        await turn(store, ALICE.principal, name, f"hello {name}")


async def test_it_lists_what_the_store_lost_as_it_was(store, stores, journal):
    await talk(store, "a", "b", "c", "a")
    before = await store.list(ALICE.principal)
    await stores.tenant(ACME.id).call("FLUSHALL")
    after = await store.list(ALICE.principal)
    assert [row["session_id"] for row in after["sessions"]] == ["a", "c", "b"]
    assert [row["version"] for row in after["sessions"]] == [row["version"] for row in before["sessions"]]
    assert await listed(store, BOB) == await listed(store, CHARLIE) == []


async def test_it_lists_the_lost_ones_beside_a_new_one(store, stores, journal):
    await talk(store, "a", "b")
    await listed(store)
    await stores.tenant(ACME.id).call("FLUSHALL")
    await talk(store, "c")
    assert await listed(store) == ["c", "b", "a"]
    assert await listed(store, limit=1) == ["c"]


async def test_a_deleted_one_stays_away(store, stores, journal):
    await talk(store, "a", "b")
    await store.delete(ALICE.principal, "a")
    await stores.tenant(ACME.id).call("FLUSHALL")
    assert await listed(store) == ["b"]


async def test_it_asks_the_journal_once_a_life_of_the_server(store, stores, journal, past):
    await talk(store, "a")
    await listed(store)
    asked = past.asked
    assert await listed(store) == ["a"] and past.asked == asked
    await stores.tenant(ACME.id).call("SET", HOME.listed, "another life")
    await stores.tenant(ACME.id).call("ZREM", HOME.index, "a")
    assert await listed(store) == ["a"] and past.asked == asked + 1


async def test_a_turn_that_came_to_nothing_is_no_session(store, stores, journal):
    await talk(store, "a")
    journal.entries[:] = [entry for entry in journal.entries if isinstance(entry, Intent)]
    await stores.tenant(ACME.id).call("FLUSHALL")
    assert await listed(store) == []
    assert await stores.tenant(ACME.id).call("ZCARD", HOME.index) == 0
