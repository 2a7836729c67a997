"""All sessions of a user go, whoever else's stay, however many keys the store has."""

from __future__ import annotations

import msgspec

from engine.snapshots import Cell
from engine.types import ChatRequest, Message
from sessions_app.erasing import BATCH, SessionEraser
from tenants.isolation import Stores
from tests.cast import ACME, ALICE, BOB, CHARLIE, tenant_table
from tests.services.valkey import ValkeyServer
from tests.sessions_app.parts import sessions

NAMES = ["alice", "a:b", "{x}", "*", "ü%", "alice/2"]


async def begin(store, principal, text="Hello", session_id=None):
    request = ChatRequest(messages=[], session_id=session_id, create_session=True)
    session = await store.open(principal, request)
    await store.append(session, [Message("user", text)], None)
    return session.id


async def test_it_deletes_a_members_sessions_and_nobody_elses(store, stores):
    for person in (ALICE, ALICE, BOB, CHARLIE):
        await begin(store, person.principal)
    eraser = SessionEraser(stores)
    assert await eraser.erase(1, lambda user: user == "1") == 2
    assert await eraser.erase(1, lambda user: user == "1") == 0
    assert (await store.list(ALICE.principal))["sessions"] == []
    for person in (BOB, CHARLIE):
        assert len((await store.list(person.principal))["sessions"]) == 1
    assert [key async for key in keys(stores, "*{1:1}*")] == []


async def test_it_finds_every_name_and_its_keys_notes(store, stores):
    for name in NAMES:
        await begin(store, msgspec.structs.replace(ALICE.key_principal, user=f"key:1:{name}"))
    await begin(store, ALICE.key_principal)
    eraser = SessionEraser(stores)
    for left, name in zip(range(len(NAMES) - 1, -1, -1), NAMES, strict=True):
        assert await eraser.erase(1, lambda user, name=name: user == f"key:1:{name}") == 1, name
        assert len([key async for key in keys(stores, "owner:*")]) == left
    assert len((await store.list(ALICE.key_principal))["sessions"]) == 1


async def test_it_finds_sessions_the_list_has_forgotten(store, stores):
    session = await begin(store, ALICE.principal)
    await stores.tenant(1).call("DEL", "sessions:{1:1}")
    for number in range(3 * BATCH // 500):
        await stores.tenant(1).call("MSET", *(word for at in range(500) for word in (f"other:{number}:{at}", "x")))
    assert await SessionEraser(stores).erase(1, lambda user: user == "1") == 1
    assert await stores.tenant(1).call("EXISTS", f"session:{{1:1}}:{session}", f"session:{{1:1}}:{session}:turns") == 0
    assert await stores.tenant(1).call("DBSIZE") == 3 * BATCH


async def keys(stores, pattern):
    for name in await stores.tenant(1).call("KEYS", pattern):
        yield name


async def test_it_erases_in_a_tenants_own_server(tmp_path, valkey_url):
    own = ValkeyServer(tmp_path / "own")
    own.start()
    tenants = Cell(tenant_table(ACME.view(store_url=own.url)))
    stores = Stores([valkey_url], tenants)
    store = sessions(stores, tenants)
    for person in (ALICE, BOB):
        await begin(store, person.principal)
    assert await SessionEraser(stores).erase(1, lambda user: user == "1") == 1
    assert [len((await store.list(person.principal))["sessions"]) for person in (ALICE, BOB)] == [0, 1]
    await stores.close()
    own.stop()
