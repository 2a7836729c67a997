"""Snapshots: names for versions, given by people and by the session itself."""

from __future__ import annotations

import asyncio

import pytest

from engine.errors import AuditUnavailable, Conflict, InvalidRequest, VersionNotFound
from engine.snapshots import Cell
from sessions_app import replaying, snapshots
from tenants.isolation import Stores
from tests.cast import ACME, ALICE, tenant_table
from tests.engine.journal import MemoryJournal
from tests.sessions_app.conversing import turn
from tests.sessions_app.parts import MemoryPast, sessions

ME = ALICE.principal


@pytest.fixture
def store(stores, tenants):
    journal = MemoryJournal()
    return sessions(stores, tenants, journal, MemoryPast(journal), every=5)


async def talk(store, count):
    for number in range(count):
        await turn(store, ME, "s", f"q{number}")
        await store.snapshots.drain()


async def listed(store, **paging):
    return (await store.snapshots.list(ME, "s", **paging))["snapshots"]


async def test_it_names_the_version_of_now(store):
    await talk(store, 2)
    made = await store.snapshots.make(ME, "s", "Before the move", ["good", "第一"])
    assert (made["version"], made["name"], made["tags"], made["automatic"]) == (
        2, "Before the move", ["good", "第一"], False,
    )  # fmt: skip
    await talk(store, 1)
    assert await store.snapshots.read(ME, "s", made["id"]) == made
    read = await store.read(ME, "s")
    assert (read["version"], read["metadata"]["snapshots"]) == (3, 1)
    assert len((await store.versions.read(ME, "s", made["id"]))["context_stack"]) == 4


async def test_it_is_renamed_and_tagged(store):
    await talk(store, 1)
    made = await store.snapshots.make(ME, "s", "a", ["x"])
    assert (await store.snapshots.change(ME, "s", made["id"], {"name": "b"}))["tags"] == ["x"]
    assert (await store.snapshots.change(ME, "s", made["id"], {"tags": []}))["name"] == "b"
    assert await store.snapshots.change(ME, "s", made["id"], {}) == {**made, "name": "b", "tags": []}
    for unknown in ("0" * 32, "", "é"):
        with pytest.raises(VersionNotFound):
            await store.snapshots.change(ME, "s", unknown, {"name": "c"})
    assert (await store.read(ME, "s"))["version"] == 1


async def test_it_makes_one_every_so_many_versions(store):
    await talk(store, 12)
    assert [(each["version"], each["automatic"]) for each in await listed(store)] == [(10, True), (5, True)]
    await talk(store, 2)
    await store.snapshots.make(ME, "s", "14")
    await talk(store, 5)
    assert [each["version"] for each in await listed(store)] == [19, 14, 10, 5]


@pytest.mark.parametrize(("every", "expected"), [(0, []), (3, [6, 3])])
async def test_a_tenant_has_its_own_number(valkey_url, every, expected):
    tenants = Cell(tenant_table(ACME.view(snapshot_every=every)))
    stores, journal = Stores([valkey_url], tenants), MemoryJournal()
    store = sessions(stores, tenants, journal, MemoryPast(journal), every=5)
    await talk(store, 7)
    assert [each["version"] for each in await listed(store)] == expected
    await stores.close()


async def test_a_turn_does_not_wait_for_it_nor_fail_with_it(store):
    await talk(store, 4)
    gate = store.journal.gate = asyncio.Event()
    session_entry = store.journal.session
    store.journal.gate = None
    store.journal.session = lambda entry: asyncio.ensure_future(_after(gate, session_entry, entry))
    await turn(store, ME, "s", "fifth")
    await turn(store, ME, "s", "sixth")  # the snapshot is not there yet: it is not made twice
    gate.set()
    await store.snapshots.drain()
    assert len(await listed(store)) == 1
    store.journal.session = lambda entry: asyncio.ensure_future(_broken())
    for number in range(5):
        await turn(store, ME, "s", f"more {number}")
        await store.snapshots.drain()
    assert (await store.read(ME, "s"))["version"] == 11
    assert len(await listed(store)) == 1


async def _after(gate, do, entry):
    await gate.wait()
    await do(entry)


async def _broken():
    raise AuditUnavailable


async def test_what_the_journal_does_not_have_is_not_made(store):
    await talk(store, 1)
    store.journal.broken = True
    with pytest.raises(AuditUnavailable):
        await store.snapshots.make(ME, "s", "a")
    assert await listed(store) == []


async def test_racing_ones_are_all_there(store):
    await talk(store, 1)
    made = await asyncio.gather(*(store.snapshots.make(ME, "s", f"n{number}") for number in range(12)))
    assert {each["id"] for each in await listed(store)} == {each["id"] for each in made}


async def test_it_pages(store):
    await talk(store, 1)
    for number in range(7):
        await store.snapshots.make(ME, "s", f"n{number}")
    seen, cursor = [], None
    while True:
        page = await store.snapshots.list(ME, "s", 3, cursor)
        seen += [each["name"] for each in page["snapshots"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"n{number}" for number in reversed(range(7))]
    for odd in ("x", "0" * 32, ""):
        with pytest.raises(InvalidRequest):
            await store.snapshots.list(ME, "s", 3, odd)


async def test_a_full_list_loses_automatic_ones_only(store, monkeypatch):
    monkeypatch.setattr(replaying, "MAX_SNAPSHOTS", 3)
    monkeypatch.setattr(snapshots, "MAX_SNAPSHOTS", 3)
    await talk(store, 5)
    for number in range(3):
        await store.snapshots.make(ME, "s", f"n{number}")
    assert [each["name"] for each in await listed(store)] == ["n2", "n1", "n0"]
    with pytest.raises(Conflict):
        await store.snapshots.make(ME, "s", "one more")
    await talk(store, 5)
    assert [each["name"] for each in await listed(store)] == ["n2", "n1", "n0"]
    automatic = [entry for entry in store.journal.entries if getattr(entry, "detail", {}).get("automatic")]
    assert len(automatic) == 1  # nothing is made for a list that cannot take it
