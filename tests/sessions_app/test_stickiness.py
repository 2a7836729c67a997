"""A session knows who answered last, and notes when that changes; what of it no smaller model has room for."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from engine.errors import ContextTooLong
from engine.types import Answerer, ChatRequest, Instance, Message
from sessions_app.layout import CHANGES, Home
from tenants.isolation import Stores
from tests.cast import ACME, ALICE
from tests.sessions_app.parts import patiently, sessions

HOME = Home(ACME.id, ALICE.principal.user)
QUESTION, ANSWER = Message("user", "How do I deploy?"), Message("assistant", "With one command.")
SMALL, LARGE = Answerer("small", 1, "v1"), Answerer("large", 2, "v2")


async def reopened(store, session_id="s", turn_id=""):
    """Without a turn's id only looked at."""
    request = ChatRequest(messages=[QUESTION], remember=True, session_id=session_id, create_session=True)
    return await store.open(ALICE.principal, request, turn_id)


async def turn(store, answerer, turn_id=None):
    session = await reopened(store, turn_id=turn_id)
    await store.append(session, [QUESTION, ANSWER], answerer)


async def metadata(store):
    return (await store.read(ALICE.principal, "s"))["metadata"]


async def test_it_knows_who_answered_last(store):
    assert (await reopened(store)).answerer is None
    await turn(store, SMALL)
    assert (await reopened(store)).answerer == SMALL
    await turn(store, Answerer("large", 2))
    assert (await reopened(store)).answerer == Answerer("large", 2, "")
    assert (await metadata(store))["model_version"] == ""


async def test_a_plugins_answer_changes_nothing(store):
    await turn(store, None)
    assert (await reopened(store)).answerer is None
    await turn(store, SMALL)
    await turn(store, None)
    assert (await reopened(store)).answerer == SMALL
    assert set(await metadata(store)) == {"last_active", "model_version"}


async def test_it_notes_another_model_and_not_another_instance_of_it(store):
    await turn(store, SMALL, "a" * 32)
    await turn(store, Answerer("small", 7, "v1.1"), "b" * 32)
    assert set(await metadata(store)) == {"last_active", "model_version"}
    await turn(store, LARGE, "c" * 32)
    found = await metadata(store)
    (note,) = found["model_changes"]
    assert abs(note.pop("at") - time.time()) < 5
    assert note == {"from": "small", "to": "large", "turn_id": "c" * 32}
    assert found["model_version"] == "v2"
    (row,) = (await store.list(ALICE.principal))["sessions"]
    assert set(row["metadata"]) == {"last_active", "model_version"}


async def test_it_keeps_the_last_twenty_notes(store):
    for number in range(CHANGES + 6):
        await turn(store, (SMALL, LARGE)[number % 2], f"{number:032x}")
    notes = (await metadata(store))["model_changes"]
    assert [int(note["turn_id"], 16) for note in notes] == list(range(6, CHANGES + 6))


async def test_the_same_turn_again_is_noted_once(store):
    await turn(store, SMALL, "a" * 32)
    for _ in range(2):
        await turn(store, LARGE, "b" * 32)
    assert len((await metadata(store))["model_changes"]) == 1


async def test_racing_turns_lose_no_note(store, valkey_url, tenants):
    """Each note begins where the one before ended, and the last one ends with who is asked again."""
    await turn(store, SMALL)
    other_stores = Stores([valkey_url], tenants)
    other = sessions(other_stores, tenants)
    named = [Answerer(f"m{number}", number + 10) for number in range(CHANGES - 1)]
    await asyncio.gather(
        *(
            patiently(partial(turn, (store, other)[place % 2], answerer, f"{place:032x}"))
            for place, answerer in enumerate(named)
        )
    )
    await other_stores.close()
    notes = (await metadata(store))["model_changes"]
    assert {note["to"] for note in notes} == {answerer.model for answerer in named} and len(notes) == len(named)
    assert [note["from"] for note in notes] == ["small", *(note["to"] for note in notes[:-1])]
    assert (await reopened(store)).answerer.model == notes[-1]["to"]


async def test_a_session_from_before_loads_and_is_none_the_worse(store, stores):
    await turn(store, SMALL)
    await stores.tenant(ACME.id).call("HDEL", HOME.session("s"), "model", "instance", "model_changes")
    assert (await reopened(store)).answerer is None
    await turn(store, LARGE)
    assert (await reopened(store)).answerer == LARGE
    assert set(await metadata(store)) == {"last_active", "model_version"}


@pytest.mark.parametrize("broken", [b"", b"\xff{", b"5", b"{}", b'"x"', b"[1]", b'[{"at": "x"}]', b"null", b"[" * 2000])
async def test_notes_that_make_no_sense_cost_no_turn(store, stores, broken):
    await turn(store, SMALL)
    await stores.tenant(ACME.id).call("HSET", HOME.session("s"), "model_changes", broken)
    await turn(store, LARGE)
    assert len((await store.read(ALICE.principal, "s"))["context_stack"]) == 4
    assert (await reopened(store)).answerer == LARGE


@pytest.mark.parametrize("broken", [b'{"a": 1}', b"[1, 2]", b"[null]", b'{"a": {}}', b'[{}, "x"]', b"null", b"[[1]]"])
async def test_notes_that_make_no_sense_begin_anew(store, stores, broken):
    await turn(store, SMALL)
    await stores.tenant(ACME.id).call("HSET", HOME.session("s"), "model_changes", broken)
    await turn(store, LARGE)
    [note] = (await metadata(store))["model_changes"]
    assert (note["from"], note["to"]) == ("small", "large")


@pytest.mark.parametrize("field", ["model", "instance"])
async def test_it_asks_nobody_again_where_the_last_cannot_be_read(store, stores, field):
    await turn(store, SMALL)
    await stores.tenant(ACME.id).call("HSET", HOME.session("s"), field, b"\xff")
    session = await reopened(store)
    assert session.answerer in (None, Answerer("small", 0, "v1")) and len(session.history) == 2


async def test_names_survive_as_they_are(store):
    names = ['vendor/"quoted"', "模型/型号", "back\\slash/'s", "{1}:*"]
    for number, name in enumerate(names):
        await turn(store, Answerer(name, number))
    notes = (await metadata(store))["model_changes"]
    assert [(note["from"], note["to"]) for note in notes] == list(zip(names, names[1:], strict=False))


async def test_no_smaller_window_has_room_for_what_cannot_be_trimmed(store):
    assert store.needs(None, [QUESTION]) > 0
    session = await reopened(store, turn_id=None)
    await store.append(session, [Message("system", "Be kind."), *[QUESTION, ANSWER] * 20], SMALL)
    session = await reopened(store)
    session.user_profile = {"name": "Ada"}
    asked = [Message("user", "word " * 50)]
    needed = store.needs(session, asked)
    assert (await store.window(session, asked, Instance(id=1, name="m", context_window=3 * needed)))[-1] == asked[0]
    for model in ("m", "gpt-4o", "gpt-4"):
        with pytest.raises(ContextTooLong):
            await store.window(session, asked, Instance(id=1, name="m", context_window=needed - 1), model)
    assert needed < store.needs(None, [Message("user", "word " * 500)])
