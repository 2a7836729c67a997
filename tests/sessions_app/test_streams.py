"""Events of streamed turns in the tenant's own store: whole, in order, and their owner's."""

from __future__ import annotations

import asyncio

import msgspec

from sessions_app.erasing import SessionEraser
from sessions_app.layout import Home
from sessions_app.streams import KEPT, EventStore
from tests.cast import ALICE, BOB, CHARLIE

TURN = "0" * 32


async def put(shelf, owner, place, events):
    landed = asyncio.get_running_loop().create_future()
    shelf.put(owner, TURN, place, events, landed.set_result)
    return await landed


async def test_it_adds_events_behind_the_others(stores):
    shelf = EventStore(stores)
    assert await put(shelf, ALICE.principal, 0, b"one")
    assert await put(shelf, ALICE.principal, 3, b"two")
    assert await shelf.get(ALICE.principal, TURN, 0) == b"onetwo"
    assert await shelf.get(ALICE.principal, TURN, 3) == b"two"
    assert await shelf.get(ALICE.principal, TURN, 6) == b""
    assert 0 < await stores.tenant(1).call("TTL", Home(1, "1").events(TURN)) <= KEPT


async def test_it_notices_that_the_store_lost_some(stores):
    shelf = EventStore(stores)
    await put(shelf, ALICE.principal, 0, b"one")
    await stores.tenant(1).call("FLUSHALL")
    assert not await put(shelf, ALICE.principal, 3, b"two")
    assert await put(shelf, ALICE.principal, 0, b"onetwo")
    assert await shelf.get(ALICE.principal, TURN, 0) == b"onetwo"


async def test_only_its_owner_finds_them(stores):
    shelf = EventStore(stores)
    named = msgspec.structs.replace(ALICE.key_principal, user="key:1:u")
    await put(shelf, named, 0, b"one")
    for principal in (named, ALICE.key_principal):  # the key, naming nobody, finds what its users began
        owner = await shelf.find(principal, TURN)
        assert await shelf.get(owner, TURN, 0) == b"one"
    for principal in (ALICE.principal, BOB.principal, BOB.key_principal, CHARLIE.principal, CHARLIE.key_principal):
        assert await shelf.find(principal, TURN) is None
    assert await shelf.find(ALICE.key_principal, "1" * 32) is None


async def test_they_go_when_their_user_is_erased(stores):
    shelf = EventStore(stores)
    named = msgspec.structs.replace(ALICE.key_principal, user="key:1:u")
    for owner in (named, BOB.principal):
        await put(shelf, owner, 0, b"one")
    await SessionEraser(stores).erase(1, lambda user: user == "key:1:u")
    assert [await stores.tenant(1).call("KEYS", "*")] == [[Home(1, "2").events(TURN).encode()]]


async def test_it_says_so_where_nothing_can_be_kept(stores):
    stranger = msgspec.structs.replace(ALICE.principal, tenant_id=99)
    assert not await put(EventStore(stores), stranger, 0, b"one")
