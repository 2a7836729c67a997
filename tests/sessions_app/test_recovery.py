"""What was acknowledged is there on the next touch, whatever became of the store."""

from __future__ import annotations

import asyncio
import random
import time

import msgspec
import pytest

from engine.entries import Completion, Intent, SessionEntry
from engine.errors import AuditUnavailable, NotFound, SessionNotFound, StoreUnavailable
from engine.turn import new_turn_id
from engine.types import Answerer, ChatRequest, Choice, Message
from sessions_app.layout import Home
from sessions_app.replaying import contents
from sessions_app.writing import SessionFiles
from tenants.isolation import Stores
from tests.cast import ACME, ALICE, BOB, CHARLIE
from tests.engine.journal import MemoryJournal
from tests.services.valkey import ValkeyServer
from tests.sessions_app.conversing import turn
from tests.sessions_app.parts import MemoryPast, sessions


@pytest.fixture
def journal():
    return MemoryJournal()


@pytest.fixture
def past(journal):
    return MemoryPast(journal)


@pytest.fixture
def store(stores, tenants, journal, past):
    return sessions(stores, tenants, journal, past)


async def lose(stores):
    await stores.tenant(ACME.id).call("FLUSHALL")


async def said(store, session_id="a", principal=ALICE.principal):
    read = await store.read(principal, session_id)
    return [message["content"] for message in read["context_stack"] if message["role"] == "user"]


async def test_a_lost_session_comes_back_as_it_was(store, stores):
    me = ALICE.principal
    await turn(store, me, "a", "one", system="Be brief.", profile={"name": "Ada"})
    await turn(store, me, "a", "two", model="other")
    before = await store.patch(me, "a", {"name": "第一"})
    await turn(store, me, "b", "elsewhere")
    await lose(stores)
    assert await store.read(me, "a") == before
    listed = (await store.list(me))["sessions"]
    assert [each["session_id"] for each in listed] == ["b", "a"]
    assert await said(store, "b") == ["elsewhere"]


async def test_a_turn_goes_on_where_a_lost_session_was(store, stores, past):
    await turn(store, ALICE.principal, "a", "one")
    await lose(stores)
    assert await turn(store, ALICE.principal, "a", "two") == 2
    assert await said(store) == ["one", "two"]
    asked = past.asked
    await said(store)
    assert past.asked == asked  # the store has it: nobody asks again


async def test_nobody_elses_touch_finds_it(store, stores):
    await turn(store, ALICE.principal, "a", "mine")
    await lose(stores)
    for other in (BOB, CHARLIE):
        with pytest.raises(SessionNotFound):
            await store.read(other.principal, "a")
    assert await said(store) == ["mine"]


async def test_a_deleted_session_stays_deleted_when_all_is_lost(store, stores):
    await turn(store, ALICE.principal, "a", "one")
    await store.delete(ALICE.principal, "a")
    await lose(stores)
    for _ in range(2):
        with pytest.raises(SessionNotFound):
            await store.read(ALICE.principal, "a")
    assert await stores.tenant(ACME.id).call("DBSIZE") == 0


async def test_a_session_begun_anew_after_a_deletion_counts_on_from_it(store, stores):
    await turn(store, ALICE.principal, "a", "old")
    await turn(store, ALICE.principal, "a", "older")
    await store.delete(ALICE.principal, "a")
    assert await turn(store, ALICE.principal, "a", "new") == 4
    assert await turn(store, ALICE.principal, "a", "newer") == 5
    for _ in range(2):
        read = await store.read(ALICE.principal, "a")
        assert (read["version"], await said(store)) == (5, ["new", "newer"])
        await lose(stores)


async def test_a_deletion_wins_over_the_turn_that_runs(store, stores, journal):
    await turn(store, ALICE.principal, "a", "one")
    session = await store.open(ALICE.principal, ChatRequest(messages=[], session_id="a", remember=True))
    await store.delete(ALICE.principal, "a")
    await store.append(session, [Message("user", "late")], Answerer("m", 1, "v1"))
    await lose(stores)
    with pytest.raises(SessionNotFound):
        await store.read(ALICE.principal, "a")


async def test_a_deletion_holds_for_turns_that_came_between_look_and_deletion(store, stores, journal, monkeypatch):
    """One that was made upon a later version than the deletion was said of: said again, of that one."""
    me, home = ALICE.principal, Home(ACME.id, ALICE.principal.user)
    await turn(store, me, "a", "one")
    record = (await store.changes._files.load(home, "a")).record
    await turn(store, me, "a", "two")
    late = await store.open(me, ChatRequest(messages=[], session_id="a", remember=True))
    assert late.version == 2
    await store.changes.delete(me, home, "a", record)
    deletions = [entry for entry in journal.entries if isinstance(entry, SessionEntry)]
    assert [entry.parent for entry in deletions] == [1, 2]
    await lose(stores)
    with pytest.raises(SessionNotFound) as missing:
        await store.read(me, "a")
    assert missing.value.version == 3


async def test_what_was_read_before_a_deletion_is_not_written_after_it(store, stores, tenants, journal, past):
    """A worker that brings a session back is slow; meanwhile another one deletes it."""
    me, home = ALICE.principal, Home(ACME.id, ALICE.principal.user)
    await turn(store, me, "a", "one")
    found = await store._finder.recovery.rebuild(home, "a")
    await store.delete(me, "a")
    files = SessionFiles(stores)
    assert not await files.put(home, "a", found.record, found.recent, era="", score=1.0)
    with pytest.raises(SessionNotFound):
        await store.read(me, "a")


async def test_what_was_read_early_does_not_replace_what_is_newer(store, stores):
    me, home = ALICE.principal, Home(ACME.id, ALICE.principal.user)
    await turn(store, me, "a", "one")
    found = await store._finder.recovery.rebuild(home, "a")
    await turn(store, me, "a", "two")
    assert not await SessionFiles(stores).put(home, "a", found.record, found.recent, era="", score=1.0)
    assert await said(store) == ["one", "two"]


async def test_a_turn_whose_session_is_lost_while_it_runs_is_kept(store, stores, journal):
    me = ALICE.principal
    await turn(store, me, "a", "one")

    async def losing(entry, commit=journal._commit):
        await commit(entry)
        if getattr(entry, "state", "") == "completed":
            await lose(stores)
            await said(store)  # somebody else looks: the session is back, with this turn

    journal._commit = losing
    await turn(store, me, "a", "two")
    assert await said(store) == ["one", "two"]


async def test_a_turn_that_is_sent_again_after_the_loss_is_there_once(store, stores):
    me = ALICE.principal
    await turn(store, me, "a", "one")
    await lose(stores)
    assert await said(store) == ["one"]
    home = Home(ACME.id, me.user)
    stored = await SessionFiles(stores).load(home, "a")
    assert len(stored.recent) == 1  # by which the store knows it again


async def test_many_touches_of_a_lost_session_ask_once_or_twice(store, stores, past):
    await turn(store, ALICE.principal, "a", "one")
    await lose(stores)
    before = past.asked
    found = await asyncio.gather(*(said(store) for _ in range(50)))
    assert found == [["one"]] * 50 and past.asked - before <= 2


async def test_the_key_finds_the_session_of_the_user_it_named(store, stores):
    key = ALICE.key_principal
    named = msgspec.structs.replace(key, user=f"{key.subject}:ann")
    await turn(store, named, "a", "of ann")
    await lose(stores)
    assert await said(store, "a", key) == ["of ann"]
    assert await turn(store, key, "a", "more") == 2
    await lose(stores)
    assert await said(store, "a", named) == ["of ann", "more"]


async def test_nothing_is_changed_where_the_journal_is_away(store, stores, journal):
    await turn(store, ALICE.principal, "a", "one")
    journal.broken = True
    for doing in (store.patch(ALICE.principal, "a", {"name": "x"}), store.delete(ALICE.principal, "a")):
        with pytest.raises(AuditUnavailable):
            await doing
    read = await store.read(ALICE.principal, "a")
    assert "name" not in read and read["version"] == 1


async def test_a_change_counts_when_its_asker_is_gone(store, stores, journal):
    await turn(store, ALICE.principal, "a", "one")
    journal.gate = asyncio.Event()
    asking = asyncio.ensure_future(store.patch(ALICE.principal, "a", {"name": "kept"}))
    await asyncio.sleep(0.05)
    asking.cancel()
    journal.gate.set()
    journal.gate = None
    await asyncio.sleep(0.05)
    assert (await store.read(ALICE.principal, "a"))["name"] == "kept"


async def test_names_given_under_racing_turns_all_count(store, stores):
    me = ALICE.principal
    await turn(store, me, "a", "0")
    await asyncio.gather(
        *(turn(store, me, "a", str(number)) for number in range(1, 6)),
        *(store.patch(me, "a", {"name": f"n{number}"}) for number in range(5)),
    )
    read = await store.read(me, "a")
    assert read["version"] == 11 and sorted(await said(store)) == [str(number) for number in range(6)]


# A store that came back with less than it had ---------------------------------------------------------------------


@pytest.fixture
def saving(tmp_path):
    """A server of the test's own, that keeps its last save only."""
    server = ValkeyServer(tmp_path / "valkey")
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def shaky(saving, tenants, journal, past):
    stores = Stores([saving.url], tenants)
    yield sessions(stores, tenants, journal, past), stores
    await stores.close()


async def back_in_time(saving, stores):
    """Killed and started again: it has what it last saved."""
    saving.kill()
    saving.start()
    for _ in range(200):
        try:
            await stores.tenant(ACME.id).call("PING")
            return
        except StoreUnavailable:
            await asyncio.sleep(0.02)


async def save(stores):
    await stores.tenant(ACME.id).call("SAVE")


async def test_a_stale_session_is_mended_when_it_is_opened(shaky, saving):
    store, stores = shaky
    me = ALICE.principal
    for text in ("one", "two"):
        await turn(store, me, "a", text)
    await save(stores)
    for number in range(12):  # more than it knows again
        await turn(store, me, "a", f"lost {number}")
    await store.patch(me, "a", {"name": "lost name"})
    before = await store.read(me, "a")
    await back_in_time(saving, stores)
    after = await store.read(me, "a")
    assert after == before
    await save(stores)
    await back_in_time(saving, stores)
    assert await turn(store, me, "a", "on") == 16
    assert await said(store) == ["one", "two", *(f"lost {number}" for number in range(12)), "on"]


async def test_a_stale_session_that_lacks_nothing_stays_as_it_is(shaky, saving, past):
    store, stores = shaky
    for number in range(20):
        await turn(store, ALICE.principal, "a", str(number))
    before = await store.read(ALICE.principal, "a")
    await save(stores)
    await back_in_time(saving, stores)
    asked = past.asked
    assert await store.read(ALICE.principal, "a") == before
    assert await store.read(ALICE.principal, "a") == before
    assert past.asked == asked + 1


async def test_a_deletion_the_store_forgot_still_holds(shaky, saving):
    store, stores = shaky
    me = ALICE.principal
    await turn(store, me, "a", "one")
    await turn(store, me, "b", "one")
    await save(stores)
    await store.delete(me, "a")
    await store.delete(me, "b")
    await turn(store, me, "b", "anew")
    await back_in_time(saving, stores)
    with pytest.raises(SessionNotFound):
        await store.read(me, "a")
    assert await said(store, "b") == ["anew"]


async def test_a_change_made_under_a_turn_and_lost_with_it_is_found(shaky, saving):
    """The turn was made upon a version before that of the name the store still has."""
    store, stores = shaky
    me = ALICE.principal
    await turn(store, me, "a", "one")
    turn_id = new_turn_id(time.time())
    session = await store.open(me, ChatRequest(messages=[], session_id="a", remember=True), turn_id)
    await store.patch(me, "a", {"name": "named"})
    await save(stores)
    asked, answer = Message("user", "two"), Message("assistant", "To two")
    await store.journal.intent(
        Intent(turn_id=turn_id, tenant_id=ACME.id, at=time.time(), edge="rest", request_id="r", subject=me.subject,
               user=me.user, session_id="a", messages=[asked], parent=session.version)
    )  # fmt: skip
    await store.journal.completion(
        Completion(turn_id=turn_id, tenant_id=ACME.id, at=time.time(), state="completed", session_id="a",
                   choices=[Choice(answer, "stop")])
    )  # fmt: skip
    await store.append(session, [asked, answer], None, turn_id)
    assert await said(store) == ["one", "two"]
    await back_in_time(saving, stores)
    assert await said(store) == ["one", "two"]
    assert (await store.read(me, "a"))["name"] == "named"


async def test_a_name_that_is_lost_under_a_turn_is_found_after_it(shaky, saving):
    """What the turn writes is written in a server that has not been compared with the journal."""
    store, stores = shaky
    me = ALICE.principal
    await turn(store, me, "a", "one")
    session = await store.open(me, ChatRequest(messages=[], session_id="a", remember=True))
    await save(stores)
    await store.patch(me, "a", {"name": "named"})
    await back_in_time(saving, stores)
    await store.append(session, [Message("user", "two"), Message("assistant", "To two")], None)
    assert (await store.read(me, "a"))["name"] == "named"


# Any sequence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_done_the_journal_tells_the_same(shaky, saving, seed):
    """Turns, names, profiles, deletions, losses of all or of the last of it, in any order: the store is what a replay
    says, and so are both after a loss."""
    chance, (store, stores) = random.Random(seed), shaky
    me, home = ALICE.principal, Home(ACME.id, ALICE.principal.user)
    await save(stores)
    alive = []
    for step in range(40):
        done = chance.choice(["turn"] * 6 + ["name", "profile", "delete", "lose", "save", "back"])
        if done == "turn":
            profile = {"step": step} if chance.random() < 0.2 else None
            system = f"system {step}" if chance.random() < 0.2 else None
            await turn(store, me, "a", str(step), system=system, model=chance.choice("mn"), profile=profile)
            alive.append(str(step))
        elif done in {"name", "profile"} and alive:
            await store.patch(me, "a", {"name": f"n{step}"} if done == "name" else {"user_profile": {"at": step}})
        elif done == "delete" and alive:
            await store.delete(me, "a")
            alive = []
        elif done == "lose":
            await lose(stores)
        elif done == "save":
            await save(stores)
        elif done == "back" and step % 3 == 0:
            await back_in_time(saving, stores)
        if not alive:
            continue
        assert await said(store) == alive, (seed, step, done)
        stored = (await SessionFiles(stores).load(home, "a")).record
        replayed = (await store._finder.recovery.rebuild(home, "a")).record
        assert timeless(stored) == timeless(replayed), (seed, step, done)
    if not alive:
        with pytest.raises(NotFound):
            await store.read(me, "a")


def timeless(record):
    """The server's clock and the journal's tell the same second apart."""
    told = {**contents(record), "version": record.version, "last_active": 0}
    return {**told, "model_changes": [{**each, "at": 0} for each in told["model_changes"]]}


async def test_an_unknown_session_costs_one_question(store, past):
    with pytest.raises(SessionNotFound):
        await store.read(ALICE.principal, "nothing-of-the-kind")
    assert past.asked == 1
