"""Versions of sessions: what was, the ways back to it, and that nothing is destroyed on any of them."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest

from engine.errors import Conflict, InvalidRequest, SessionBusy, SessionNotFound, VersionNotFound
from engine.types import ChatRequest
from sessions_app.layout import Home
from tenants.isolation import Stores
from tests.cast import ACME, ALICE, BOB, CHARLIE
from tests.engine.journal import MemoryJournal
from tests.sessions_app.conversing import turn
from tests.sessions_app.parts import MemoryPast, patiently, sessions

ME = ALICE.principal


@pytest.fixture
def store(stores, tenants):
    journal = MemoryJournal()
    return sessions(stores, tenants, journal, MemoryPast(journal))


def texts(read):
    return [message["content"] for message in read["context_stack"] if message["role"] == "user"]


async def talk(store, *said, session_id="s"):
    for text in said:
        await turn(store, ME, session_id, text)


async def test_it_reads_every_version_as_it_was(store):
    lived = {}
    for number in range(1, 6):
        await turn(store, ME, "s", f"q{number}", system="Be kind." if number == 3 else None, profile={"n": number})
        lived[number] = await store.read(ME, "s")
    lived[6] = await store.patch(ME, "s", {"name": "Trip", "pinned": [(0, 0)]})
    for version, read in lived.items():
        found = await store.versions.read(ME, "s", version)
        assert found.pop("state") == ("live" if version == 6 else "past")
        assert found == {key: value for key, value in read.items() if key != "state"}
    for unknown in (0, 7, 10**14):
        with pytest.raises(VersionNotFound):
            await store.versions.read(ME, "s", unknown)


async def test_a_restore_is_a_new_version_and_nothing_is_lost(store):
    await talk(store, "one", "two", "three")
    restored = await store.versions.restore(ME, "s", 1)
    assert (restored["version"], texts(restored)) == (4, ["one"])
    assert texts(await store.read(ME, "s")) == ["one"]
    await talk(store, "four")
    assert texts(await store.read(ME, "s")) == ["one", "four"]
    assert texts(await store.versions.read(ME, "s", 3)) == ["one", "two", "three"]
    again = await store.versions.restore(ME, "s", 3)
    assert (again["version"], texts(again)) == (6, ["one", "two", "three"])
    lines = (await store.versions.list(ME, "s"))["versions"]
    assert [(line["version"], line["action"]) for line in lines] == [
        (6, "restored"), (5, "turn"), (4, "restored"), (3, "turn"), (2, "turn"), (1, "turn"),
    ]  # fmt: skip
    assert lines[0]["of"] == {"version": 3} and lines[0]["by"] == "member:1"


async def test_it_goes_back_to_before_the_first_turn(store):
    await turn(store, ME, "s", "one", system="Be kind.", profile={"n": 1})
    await store.patch(ME, "s", {"name": "Trip"})
    restored = await store.versions.restore(ME, "s", 0, if_version=2)
    assert (restored["version"], restored["context_stack"]) == (3, [])
    assert (restored["name"], restored["user_profile"]) == ("Trip", {"n": 1})
    await talk(store, "other")
    assert texts(await store.read(ME, "s")) == ["other"]
    (line,) = (await store.versions.list(ME, "s", before=4, limit=1))["versions"]
    assert (line["action"], line["of"]) == ("restored", {"version": 0})
    assert texts(await store.versions.restore(ME, "s", 2)) == ["one"]


async def test_it_is_the_same_after_the_store_was_lost(store, stores):
    await talk(store, "one", "two")
    snapshot = await store.snapshots.make(ME, "s", "before", ["good"])
    await store.versions.restore(ME, "s", 1)
    branch = await store.versions.branch(ME, "s", snapshot["id"], "b")
    await talk(store, "three")
    before = [await store.read(ME, name) for name in ("s", "b")]
    await stores.tenant(ACME.id).call("FLUSHALL")
    assert [await store.read(ME, name) for name in ("s", "b")] == before
    assert texts(branch) == ["one", "two"] and texts(before[0]) == ["one", "three"]
    assert (await store.snapshots.list(ME, "s"))["snapshots"] == [snapshot]


async def test_a_restore_waits_for_the_turn_that_runs(store):
    await talk(store, "one", "two")
    running = await store.open(ME, ChatRequest(messages=[], session_id="s"))
    restoring = asyncio.create_task(store.versions.restore(ME, "s", 1))
    await asyncio.sleep(0.1)
    assert not restoring.done()
    await store.close(running)
    assert (await restoring)["version"] == 3
    held = await store.open(ME, ChatRequest(messages=[], session_id="s"))
    with pytest.raises(SessionBusy):  # the tests' turns wait two seconds
        await store.versions.restore(ME, "s", 1)
    await store.close(held)
    assert (await store.read(ME, "s"))["version"] == 3


async def test_it_changes_only_the_version_it_is_told(store):
    await talk(store, "one", "two")
    with pytest.raises(Conflict, match="at version 2"):
        await store.versions.restore(ME, "s", 1, if_version=1)
    with pytest.raises(Conflict):
        await store.versions.patch(ME, "s", {"name": "x"}, 1)
    assert (await store.versions.patch(ME, "s", {"name": "x"}, 2))["name"] == "x"
    assert (await store.versions.restore(ME, "s", 1, if_version=3))["version"] == 4
    tries = [store.versions.patch(ME, "s", {"name": f"n{number}"}, 4) for number in range(5)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["Conflict"] * 4 + ["dict"]
    assert (await store.read(ME, "s"))["version"] == 5


async def test_a_branch_begins_with_what_was_and_goes_its_own_way(store):
    await talk(store, "one", "two")
    await store.patch(ME, "s", {"name": "Trip"})
    await store.snapshots.make(ME, "s", "mine")
    branch = await store.versions.branch(ME, "s", 1)
    assert (branch["version"], texts(branch)) == (1, ["one"]) and "name" not in branch
    whole = await store.versions.branch(ME, "s")
    assert whole["name"] == "Trip" and "snapshots" not in whole["metadata"]
    await talk(store, "else", session_id=branch["session_id"])
    assert texts(await store.read(ME, branch["session_id"])) == ["one", "else"]
    assert texts(await store.read(ME, "s")) == ["one", "two"]
    (first, *_), listed = (
        (await store.versions.list(ME, branch["session_id"]))["versions"][::-1],
        (await store.list(ME))["sessions"],
    )
    assert first["of"] == {"session_id": "s", "version": 1}
    assert {row["session_id"] for row in listed} == {"s", branch["session_id"], whole["session_id"]}


async def test_a_branch_takes_no_name_that_is_taken(store):
    await talk(store, "one")
    with pytest.raises(Conflict):
        await store.versions.branch(ME, "s", None, "s")
    done = await asyncio.gather(*(store.versions.branch(ME, "s", None, "b") for _ in range(4)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["Conflict"] * 3 + ["dict"]
    await store.delete(ME, "b")
    again = await store.versions.branch(ME, "s", None, "b")  # it counts on, so that no old event is mistaken for new
    assert again["version"] > 1
    (line,) = (await store.versions.list(ME, "b"))["versions"]
    assert line["version"] == again["version"] and line["readable"]


async def test_a_keys_branch_stays_with_the_user_and_in_the_keys_reach(store):
    key = ALICE.key_principal
    named = msgspec.structs.replace(key, user=f"{key.user}:u")
    await turn(store, named, "s", "one")
    by_user = await store.versions.branch(named, "s")
    by_key = await store.versions.branch(key, "s")
    for made in (by_user, by_key):
        assert texts(await store.read(named, made["session_id"])) == ["one"]
        assert texts(await store.read(key, made["session_id"])) == ["one"]


async def test_what_was_deleted_has_no_versions(store):
    await talk(store, "one", "two")
    await store.delete(ME, "s")
    with pytest.raises(SessionNotFound):
        await store.versions.read(ME, "s", 1)
    await talk(store, "anew")
    assert [line["action"] for line in (await store.versions.list(ME, "s"))["versions"]] == ["turn"]
    with pytest.raises(VersionNotFound):
        await store.versions.read(ME, "s", 1)
    with pytest.raises(VersionNotFound):
        await store.versions.restore(ME, "s", 2)


async def test_it_says_what_is_no_longer_kept(store):
    await talk(store, "one", "two", "three")
    store.journal.entries = store.journal.entries[2:]  # the first turn's
    assert [line["readable"] for line in (await store.versions.list(ME, "s"))["versions"]] == [False, False]
    with pytest.raises(VersionNotFound):
        await store.versions.read(ME, "s", 2)
    assert texts(await store.versions.read(ME, "s", 3)) == ["one", "two", "three"]  # the session itself has it
    await store.versions.restore(ME, "s", 3)
    await talk(store, "four", "five")
    assert texts(await store.versions.read(ME, "s", 5)) == ["one", "two", "three", "four"]


async def test_it_pages_through_versions(store):
    await talk(store, *(f"q{number}" for number in range(7)))
    seen, before = [], None
    while True:
        page = await store.versions.list(ME, "s", 3, before)
        seen += [line["version"] for line in page["versions"]]
        before = page["next"]
        if before is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_it_pins_what_is_there(store):
    await talk(store, "one", "two")
    read = await store.patch(ME, "s", {"pinned": [(1, 1), (0, 0), (1, 1)]})
    assert (read["pinned"], read["version"]) == ([[0, 0], [1, 1]], 3)
    for places in ([(2, 0)], [(0, 2)]):
        with pytest.raises(InvalidRequest) as refused:
            await store.patch(ME, "s", {"pinned": places})
        assert refused.value.param == "pinned"
    assert "pinned" not in await store.patch(ME, "s", {"pinned": []})


async def test_others_see_nothing_of_it(store):
    await talk(store, "one", "two")
    snapshot = (await store.snapshots.make(ME, "s"))["id"]
    for person in (BOB, CHARLIE):
        other, versions, snapshots = person.principal, store.versions, store.snapshots
        for work in (
            versions.list(other, "s"), versions.read(other, "s", 1), versions.read(other, "s", snapshot),
            versions.diff(other, "s", 1), versions.restore(other, "s", 1), versions.branch(other, "s"),
            versions.patch(other, "s", {"name": "x"}, 2), snapshots.list(other, "s"), snapshots.make(other, "s"),
            snapshots.read(other, "s", snapshot), snapshots.change(other, "s", snapshot, {"name": "x"}),
        ):  # fmt: skip
            with pytest.raises(SessionNotFound):
                await work
    assert (await store.read(ME, "s"))["version"] == 2


COUNT = 40


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_done_each_version_reads_as_it_was_lived(store, stores, seed):
    """Turns, patches, snapshots, restores and branches at random, the store lost now and then."""
    chance = random.Random(seed)
    lived: dict[str, dict[int, dict]] = {"s": {}}
    shots: dict[str, dict[str, int]] = {"s": {}}
    await turn(store, ME, "s", "first")
    lived["s"][1] = await store.read(ME, "s")
    for number in range(COUNT):
        name = chance.choice(list(lived))
        do = chance.choices(["turn", "patch", "snapshot", "restore", "branch", "lose"], [8, 3, 3, 4, 1, 1])[0]
        place = chance.choice([*lived[name], *shots[name]])
        if do == "turn":
            system = f"S{number}" if chance.random() < 0.3 else None
            profile = {"n": number} if chance.random() < 0.3 else None
            await turn(store, ME, name, f"q{number}", system=system, profile=profile, model=chance.choice(["m", "n"]))
        elif do == "patch":
            await store.patch(ME, name, chance.choice([{"name": f"n{number}"}, {"pinned": [(0, 0)]}, {"pinned": []}]))
        elif do == "snapshot":
            made = await store.snapshots.make(ME, name, f"s{number}")
            shots[name][made["id"]] = made["version"]
        elif do == "restore":
            await store.versions.restore(ME, name, place)
        elif do == "branch":
            made = await store.versions.branch(ME, name, place)
            lived[made["session_id"]], shots[made["session_id"]] = {}, {}
            name = made["session_id"]
        else:
            await stores.tenant(ACME.id).call("FLUSHALL")
        now = await store.read(ME, name)
        lived[name].setdefault(now["version"], now)
    for name, versions in lived.items():
        for version, then in versions.items():
            assert content(await store.versions.read(ME, name, version)) == content(then), (name, version)
        for snapshot, version in shots[name].items():
            assert content(await store.versions.read(ME, name, snapshot)) == content(versions[version])
    assert len((await store.versions.list(ME, "s", 200))["versions"]) == max(lived["s"])


def content(read):
    """Without what is about the reading: when it was last active to the second, how many snapshots there are."""
    metadata = {key: value for key, value in read["metadata"].items() if key == "model_version"}
    changes = [(each["from"], each["to"]) for each in read["metadata"].get("model_changes", [])]
    return {**read, "metadata": metadata, "state": "", "changes": changes}


@pytest.mark.parametrize("seed", range(6))
async def test_what_races_is_in_the_store_as_in_the_journal(store, stores, tenants, valkey_url, seed):
    """Turns, patches, snapshots and restores race in two workers; then the journal alone says the same."""
    other_stores = Stores([valkey_url], tenants)
    other = sessions(other_stores, tenants, store.journal, MemoryPast(store.journal))
    chance = random.Random(seed)
    await talk(store, "first")

    async def anything(number):
        worker = chance.choice((store, other))
        await asyncio.sleep(chance.random() * 0.2)
        match chance.choice(("turn", "patch", "restore", "snapshot", "pin")):
            case "turn":
                await patiently(lambda: turn(worker, ME, "s", f"q{number}", profile={"n": number}))
            case "patch":
                await worker.patch(ME, "s", {"name": f"n{number}", "user_profile": {"p": number}})
            case "pin":
                await worker.patch(ME, "s", {"pinned": [(0, chance.choice((0, 1)))]})
            case "restore":
                await patiently(lambda: worker.versions.restore(ME, "s", 1))
            case "snapshot":
                await worker.snapshots.make(ME, "s", f"s{number}")

    await asyncio.gather(*(anything(number) for number in range(30)))
    before, named = await store.read(ME, "s"), (await store.snapshots.list(ME, "s", 200))["snapshots"]
    await stores.tenant(ACME.id).call("FLUSHALL")
    after = await store.read(ME, "s")
    assert content(after) == content(before)
    again = (await store.snapshots.list(ME, "s", 200))["snapshots"]
    assert sorted(each["name"] for each in again) == sorted(each["name"] for each in named)
    await other_stores.close()


async def test_the_index_of_a_user_has_a_branch(store, stores):
    await talk(store, "one")
    branch = await store.versions.branch(ME, "s")
    home = Home(ACME.id, ME.user)
    assert await stores.tenant(ACME.id).call("ZSCORE", home.index, branch["session_id"]) is not None


async def following(store, follows, text):
    """A turn after that one; the session it went on in."""
    request = ChatRequest(messages=[], session_id="s", follows=follows, remember=True)
    session = await store.open(ME, request)
    await store.close(session)
    return session.id, [message.content for message in session.history if message.role == "user"]


async def test_a_turn_goes_on_after_the_one_it_names(store):
    await talk(store, "one", "two")
    first, second = (line["turn_id"] for line in reversed((await store.versions.list(ME, "s"))["versions"]))
    assert await following(store, second, "three") == ("s", ["one", "two"])
    await store.patch(ME, "s", {"name": "Trip"})
    assert await following(store, second, "three") == ("s", ["one", "two"])
    branch, said = await following(store, first, "deux")
    assert branch != "s" and said == ["one"]
    assert texts(await store.versions.after_turn(ME, "s", first)) == ["one"]
    for unknown in ("0" * 32, ""):
        with pytest.raises(VersionNotFound):
            await following(store, unknown, "x")
    with pytest.raises(SessionNotFound):
        await store.versions.after_turn(CHARLIE.principal, "s", first)


async def test_nothing_goes_on_after_a_turn_that_was_withdrawn(store, stores):
    await talk(store, "one", "two")
    first, second = (line["turn_id"] for line in reversed((await store.versions.list(ME, "s"))["versions"]))
    for turn_id in (first, second):
        await store.versions.withdraw(ME, "s", turn_id)
    for _ in range(2):
        for turn_id in (first, second):
            for ask in (store.versions.after_turn, store.versions.withdraw):
                with pytest.raises(VersionNotFound):
                    await ask(ME, "s", turn_id)
            with pytest.raises(VersionNotFound):
                await following(store, turn_id, "x")
        assert texts(await store.read(ME, "s")) == ["one", "two"]
        await stores.tenant(ACME.id).call("FLUSHALL")
    with pytest.raises(SessionNotFound):
        await store.versions.withdraw(BOB.principal, "s", first)
