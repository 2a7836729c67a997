"""An API key that names nobody reaches the sessions of the users it named, and has some of its own."""

from __future__ import annotations

import msgspec
import pytest

from sessions_app.layout import Home, idle_member
from tests.cast import ACME, ALICE
from tests.engine.journal import MemoryJournal
from tests.sessions_app.conversing import turn
from tests.sessions_app.parts import MemoryPast, sessions

KEY = ALICE.key_principal
ANN = msgspec.structs.replace(KEY, user=f"{KEY.subject}:ann")


@pytest.fixture
def store(stores, tenants):
    journal = MemoryJournal()
    return sessions(stores, tenants, journal, MemoryPast(journal))


async def lose(stores):
    await stores.tenant(ACME.id).call("FLUSHALL")


async def said(store, principal):
    read = await store.read(principal, "a")
    return [message["content"] for message in read["context_stack"] if message["role"] == "user"]


async def test_the_keys_own_session_comes_before_those_of_its_users(store, stores):
    await turn(store, KEY, "a", "own")
    await turn(store, ANN, "a", "of ann")
    assert await said(store, KEY) == ["own"]
    await lose(stores)
    assert await said(store, KEY) == ["own"]
    assert await said(store, ANN) == ["of ann"]


async def test_a_key_begins_anew_where_the_session_of_its_user_was_deleted(store, stores):
    await turn(store, ANN, "a", "of ann")
    await store.delete(KEY, "a")
    await turn(store, KEY, "a", "own")
    assert await said(store, KEY) == ["own"]
    await lose(stores)
    assert await said(store, KEY) == ["own"]


async def test_a_keys_new_session_counts_on_from_its_own_and_not_from_its_users(store, stores):
    """Else its turns would be from before its deletion, and gone when it is rebuilt."""
    for text in ("1", "2", "3"):
        await turn(store, KEY, "a", text)
    await store.delete(KEY, "a")
    await turn(store, ANN, "a", "of ann")
    await store.delete(ANN, "a")
    await lose(stores)
    assert await turn(store, KEY, "a", "own") == 5
    await lose(stores)
    assert await said(store, KEY) == ["own"]


async def test_what_is_noted_of_a_session_that_came_back_does_not_stay_for_ever(store, stores):
    await turn(store, ANN, "a", "of ann")
    await lose(stores)
    assert await said(store, KEY) == ["of ann"]
    note = Home(ACME.id, KEY.user).owner("a")
    assert await stores.tenant(ACME.id).call("PTTL", note) > 0


async def test_of_an_id_that_nobody_had_nothing_is_read(stores, tenants):
    past = MemoryPast(journal := MemoryJournal())
    store = sessions(stores, tenants, journal, past)
    await turn(store, KEY, "a", "own")
    assert past.asked == 0
    await lose(stores)
    assert await said(store, KEY) == ["own"]
    assert past.asked > 0


async def test_a_turn_soon_after_another_one_leaves_the_notes_beside_the_session_alone(store, stores):
    """Who finds idle sessions goes by them, and a key that looks for its users'."""
    home, kept = Home(ACME.id, ANN.user), stores.tenant(ACME.id)
    note, member = Home(ACME.id, KEY.user).owner("a"), idle_member(ANN.user, "a")

    async def forget():
        await kept.call("DEL", note)
        await kept.call("ZADD", home.idle, 5, member)

    async def noted():
        return await kept.call("GET", note), float(await kept.call("ZSCORE", home.idle, member))

    await turn(store, ANN, "a", "first")
    owner, first = await noted()
    assert owner == ANN.user.encode()
    await forget()
    session = home.session("a")
    now = int((await kept.call("TIME"))[0])
    if now % 60 < 50:  # else a minute might begin in between
        await turn(store, ANN, "a", "soon after")
        assert await noted() == (None, 5)
    await kept.call("HSET", session, "last_active", now - 61)
    await turn(store, ANN, "a", "a minute later")
    owner, last = await noted()
    assert owner == ANN.user.encode() and last >= first
