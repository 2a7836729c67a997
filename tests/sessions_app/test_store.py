from __future__ import annotations

import asyncio
import time
from functools import partial

import msgspec
import pytest

from engine.errors import SessionNotFound, StoreUnavailable
from engine.types import Answerer, ChatRequest, Instance, Message
from sessions_app.layout import Home, idle_member
from tenants.isolation import Stores
from tests.cast import ACME, ALICE, BOB, CHARLIE
from tests.sessions_app.parts import patiently, sessions

V1 = Answerer("m", 1, "v1")
QUESTION, ANSWER = Message("user", "How do I deploy?"), Message("assistant", "With one command.")


def asking(session_id=None, **fields):
    return ChatRequest(messages=[QUESTION], remember=True, session_id=session_id, **fields)


async def converse(store, person=ALICE, session_id=None, said=(QUESTION, ANSWER), **fields):
    """One whole turn; the session's id."""
    principal = getattr(person, "principal", person)
    session = await store.open(principal, asking(session_id, **fields))
    await store.append(session, list(said), Answerer("m", 1, "v1.2"))
    return session.id


async def test_it_writes_nothing_before_the_turn_is_over(store, stores):
    session = await store.open(ALICE.principal, asking())
    assert session.created and not session.history
    while not (keys := await stores.tenant(ACME.id).call("KEYS", "*")):  # a server that is new to the script is told it
        await asyncio.sleep(0.01)
    assert keys == [session.home.lease(session.id).encode()]
    await store.close(session)
    while await stores.tenant(ACME.id).call("DBSIZE"):
        await asyncio.sleep(0.002)


async def test_it_reads_out_exactly_the_structure_of_a_session(store):
    system = Message("system", "You are a helpful assistant")
    session_id = await converse(store, said=[system, QUESTION, ANSWER], user_profile={"name": "Ada"})
    read = await store.read(ALICE.principal, session_id)
    last_active = read["metadata"].pop("last_active")
    assert isinstance(last_active, int) and abs(last_active - time.time()) < 5
    assert read == {
        "session_id": session_id,
        "user_profile": {"name": "Ada"},
        "context_stack": [
            {"role": "system", "content": "You are a helpful assistant"},
            {"role": "user", "content": "How do I deploy?"},
            {"role": "assistant", "content": "With one command."},
        ],
        "metadata": {"model_version": "v1.2"},
        "version": 1,
        "state": "live",
    }


async def test_it_remembers_what_was_said(store):
    session_id = await converse(store, user_profile={"name": "Ada"})
    session = await store.open(ALICE.principal, asking(session_id))
    assert list(session.history) == [QUESTION, ANSWER]
    assert (session.created, session.version, session.user_profile) == (False, 1, {"name": "Ada"})
    sent = await store.window(session, [QUESTION], Instance(id=1, name="m"))
    assert sent[1:] == [QUESTION, ANSWER, QUESTION] and "Ada" in sent[0].content
    assert await store.window(None, [QUESTION], Instance(id=1, name="m")) == [QUESTION]


async def test_it_keeps_every_form_of_message(store):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = [
        Message("user", [{"type": "text", "text": "看图"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]),
        Message("assistant", None, tool_calls=[call]),
        Message("tool", "42", tool_call_id="c1"),
        Message("assistant", "\u0001 \U0001f600", reasoning_content="hm"),
    ]
    session_id = await converse(store, said=said)
    assert list((await store.open(ALICE.principal, asking(session_id))).history) == said
    assert (await store.read(ALICE.principal, session_id))["context_stack"][1]["content"] is None


async def test_it_replaces_the_system_message_by_a_new_one(store):
    session_id = await converse(store, said=[Message("system", "Be kind."), QUESTION, ANSWER])
    await converse(store, session_id=session_id, said=[Message("system", "Be brief."), QUESTION, ANSWER])
    await converse(store, session_id=session_id)
    stack = (await store.read(ALICE.principal, session_id))["context_stack"]
    assert [message["role"] for message in stack] == ["system", *["user", "assistant"] * 3]
    assert stack[0]["content"] == "Be brief."


async def test_it_keeps_fifty_racing_turns_whole(store, valkey_url, tenants):
    session_id = await converse(store)
    other_stores = Stores([valkey_url], tenants)
    other = sessions(other_stores, tenants)
    await asyncio.gather(
        *(
            patiently(
                partial(
                    converse,
                    (store, other)[number % 2],
                    session_id=session_id,
                    said=[
                        Message("user", f"q{number}"),
                        Message("tool", f"t{number}"),
                        Message("assistant", f"a{number}"),
                    ],
                )
            )
            for number in range(50)
        )
    )
    read = await store.read(ALICE.principal, session_id)
    texts = [message["content"] for message in read["context_stack"][2:]]
    turns = [tuple(texts[start : start + 3]) for start in range(0, len(texts), 3)]
    assert len(turns) == 50 and set(turns) == {(f"q{n}", f"t{n}", f"a{n}") for n in range(50)}
    assert read["version"] == 51
    await other_stores.close()


async def test_it_starts_one_session_for_racing_turns_that_may_create_it(store):
    turn = partial(converse, store, session_id="mine", create_session=True)
    await asyncio.gather(*(patiently(turn) for _ in range(20)))
    assert (await store.read(ALICE.principal, "mine"))["version"] == 20


@pytest.mark.parametrize("session_id", ["unknown", "", "a b", "x" * 129, "a:turns", "{1:2}", "\x00", "中"])
async def test_it_knows_no_other_session(store, session_id):
    for work in (
        store.open(ALICE.principal, asking(session_id)),
        store.read(ALICE.principal, session_id),
        store.patch(ALICE.principal, session_id, {"name": "x"}),
        store.delete(ALICE.principal, session_id),
    ):
        with pytest.raises(SessionNotFound):
            await work


async def test_it_hides_a_session_from_everybody_else(store):
    session_id = await converse(store)
    for stranger in (BOB.principal, CHARLIE.principal, ALICE.key_principal, BOB.key_principal, CHARLIE.key_principal):
        for work in (
            store.open(stranger, asking(session_id)),
            store.read(stranger, session_id),
            store.patch(stranger, session_id, {"name": "mine"}),
            store.delete(stranger, session_id),
        ):
            with pytest.raises(SessionNotFound):
                await work
        assert (await store.list(stranger))["sessions"] == []
        await converse(store, stranger, session_id, create_session=True, said=[Message("user", "other")])
    assert len((await store.read(ALICE.principal, session_id))["context_stack"]) == 2


async def test_it_lets_a_key_reach_the_sessions_of_the_users_it_named_and_no_other(store):
    ada = msgspec.structs.replace(ALICE.key_principal, user=f"{ALICE.key_principal.subject}:ada")
    eve = msgspec.structs.replace(ALICE.key_principal, user=f"{ALICE.key_principal.subject}:eve")
    session_id = await converse(store, ada)
    await converse(store, ALICE.key_principal, session_id)
    assert (await store.read(ALICE.key_principal, session_id))["version"] == 2
    assert (await store.read(ada, session_id))["version"] == 2
    assert [row["session_id"] for row in (await store.list(ada))["sessions"]] == [session_id]
    for stranger in (eve, BOB.key_principal, CHARLIE.key_principal, ALICE.principal):
        with pytest.raises(SessionNotFound):
            await store.read(stranger, session_id)
    await store.delete(ALICE.key_principal, session_id)
    with pytest.raises(SessionNotFound):
        await store.read(ada, session_id)


async def test_it_keeps_users_apart_whose_names_look_like_keys(store):
    plain = msgspec.structs.replace(ALICE.key_principal, subject="u", user="u")
    tricky = msgspec.structs.replace(ALICE.key_principal, subject="u}:x", user="u}:x")
    await converse(store, plain, "x", create_session=True)
    with pytest.raises(SessionNotFound):
        await store.read(tricky, "x")
    assert Home(1, "u}:x").tag.count("}") == 1


async def test_a_session_stays_until_it_is_archived(store, stores):
    session_id = await converse(store)
    await converse(store, session_id=session_id)
    home = Home(ACME.id, ALICE.principal.user)
    for key in (*home.keys(session_id), home.index, home.idle):
        assert await stores.tenant(ACME.id).call("PTTL", key) == -1
    score = await stores.tenant(ACME.id).call("ZSCORE", home.idle, idle_member(home.user, session_id))
    assert abs(int(score) - time.time()) < 5


async def test_it_does_not_revive_a_session_deleted_during_a_turn(store, stores):
    session_id = await converse(store)
    session = await store.open(ALICE.principal, asking(session_id))
    await store.delete(ALICE.principal, session_id)
    await store.append(session, [QUESTION, ANSWER], V1)
    with pytest.raises(SessionNotFound):
        await store.read(ALICE.principal, session_id)
    keys = await stores.tenant(ACME.id).call("KEYS", "*")
    home = session.home
    assert keys == [home.grave(session_id).encode()]


async def test_it_says_when_the_store_is_away(tenants, tmp_path):
    away = Stores([f"unix://{tmp_path}/nobody.sock"], tenants)
    store = sessions(away, tenants)
    session = await store.open(ALICE.principal, asking())
    for work in (
        store.open(ALICE.principal, asking("known")),
        store.append(session, [QUESTION], None),
        store.list(ALICE.principal),
    ):
        with pytest.raises(StoreUnavailable):
            await work
    await away.close()


async def test_it_takes_the_same_turn_once(store):
    first = await store.open(ALICE.principal, asking(), "1" * 32)
    for _ in range(3):
        await store.append(first, [QUESTION, ANSWER], V1)
    second = await store.open(ALICE.principal, asking(first.id), "2" * 32)
    await store.append(first, [QUESTION, ANSWER], V1)
    await store.append(second, [QUESTION, ANSWER], V1)
    await store.append(first, [QUESTION, ANSWER], V1)
    read = await store.read(ALICE.principal, first.id)
    assert (len(read["context_stack"]), read["version"]) == (4, 2)
