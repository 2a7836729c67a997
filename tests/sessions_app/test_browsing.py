"""What people do with their sessions: list, name, describe, delete; and what broken records do."""

from __future__ import annotations

import pytest

from engine.errors import InvalidRequest, SessionNotFound, StoreUnavailable
from engine.types import Answerer, ChatRequest, Message
from sessions_app.layout import Home
from tests.cast import ACME, ALICE, BOB, CHARLIE

HOME = Home(ACME.id, ALICE.principal.user)


async def talk(store, person, session_id):
    request = ChatRequest(messages=[], remember=True, session_id=session_id, create_session=True)
    session = await store.open(person.principal, request)
    await store.append(session, [Message("user", "hello"), Message("assistant", session_id)], Answerer("m", 1, "v1"))


async def listed(store, person, **paging):
    page = await store.list(person.principal, **paging)
    return [row["session_id"] for row in page["sessions"]], page["next_cursor"]


async def test_it_lists_the_last_active_first(store):
    for name in ("a", "b", "c", "a"):
        await talk(store, ALICE, name)
    await talk(store, BOB, "bobs")
    await talk(store, CHARLIE, "charlies")
    assert await listed(store, ALICE) == (["a", "c", "b"], None)
    assert await listed(store, BOB) == (["bobs"], None)
    assert await listed(store, CHARLIE) == (["charlies"], None)
    (row,) = (await store.list(BOB.principal))["sessions"]
    assert row["state"] == "live" and row["version"] == 1 and row["metadata"]["model_version"] == "v1"
    assert "context_stack" not in row


async def test_it_pages_through_a_long_list(store):
    names = [f"s{number}" for number in range(25)]
    for name in names:
        await talk(store, ALICE, name)
    seen, cursor, pages = [], None, 0
    while True:
        rows, cursor = await listed(store, ALICE, limit=10, cursor=cursor)
        seen += rows
        pages += 1
        if cursor is None:
            break
    assert seen == names[::-1] and pages == 3


@pytest.mark.parametrize("cursor", ["x", "-1", "1e9", "(5", "9" * 30, "１"])
async def test_it_refuses_a_cursor_it_never_gave(store, cursor):
    with pytest.raises(InvalidRequest):
        await store.list(ALICE.principal, cursor=cursor)


async def test_it_sets_profile_and_name(store):
    await talk(store, ALICE, "a")
    read = await store.patch(ALICE.principal, "a", {"user_profile": {"name": "Ada"}, "name": "第一"})
    assert (read["user_profile"], read["name"], read["version"]) == ({"name": "Ada"}, "第一", 2)
    read = await store.patch(ALICE.principal, "a", {"name": "Second"})
    assert (read["user_profile"], read["name"], read["version"]) == ({"name": "Ada"}, "Second", 3)
    assert (await store.patch(ALICE.principal, "a", {}))["version"] == 3
    session = await store.open(ALICE.principal, ChatRequest(messages=[], session_id="a", remember=True))
    assert session.user_profile == {"name": "Ada"}


async def test_it_deletes_every_trace(store, stores):
    await talk(store, ALICE, "a")
    await store.delete(ALICE.principal, "a")
    with pytest.raises(SessionNotFound):
        await store.delete(ALICE.principal, "a")
    grave = Home(ACME.id, ALICE.principal.user).grave("a")  # says for an hour that no older version may be brought back
    assert await stores.tenant(ACME.id).call("KEYS", "*") == [grave.encode()]
    assert 0 < await stores.tenant(ACME.id).call("PTTL", grave) <= 3_600_000


@pytest.mark.parametrize("broken", [b"not json", b'{"role": "user"}', b"\xff\xfe", b'[{"content": 5}]', b""])
async def test_it_skips_a_turn_it_cannot_read(store, stores, broken):
    await talk(store, ALICE, "a")
    await stores.tenant(ACME.id).call("RPUSH", HOME.keys("a")[1], broken)
    await talk(store, ALICE, "a")
    read = await store.read(ALICE.principal, "a")
    assert len(read["context_stack"]) == 4


@pytest.mark.parametrize("field", ["version", "last_active", "model_version", "user_profile", "name", "system"])
async def test_it_reads_on_past_a_broken_field(store, stores, field):
    await talk(store, ALICE, "a")
    await stores.tenant(ACME.id).call("HSET", HOME.session("a"), field, b"\xff{")
    assert len((await store.read(ALICE.principal, "a"))["context_stack"]) == 2
    assert len((await store.list(ALICE.principal))["sessions"]) == 1


async def test_it_calls_a_record_of_another_kind_unavailable(store, stores):
    await stores.tenant(ACME.id).call("SET", HOME.session("a"), "a string")
    with pytest.raises(StoreUnavailable):
        await store.read(ALICE.principal, "a")
    with pytest.raises(StoreUnavailable):
        await talk(store, ALICE, "a")
