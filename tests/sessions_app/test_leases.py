"""Turns on one session come one after the other, whichever worker has them, and one that was overtaken cannot write."""

from __future__ import annotations

import asyncio

import pytest

from engine.errors import Conflict, SessionBusy, SessionNotFound, StoreUnavailable
from engine.types import ChatRequest, Message
from sessions_app.finding import Finder, NoRecovery, Recovered
from sessions_app.layout import MAX_WAITING, Home
from sessions_app.leases import Alone, Leases
from tenants.bus import Bus
from tenants.isolation import Stores
from tests.cast import ACME, ALICE
from tests.engine.journal import MemoryJournal
from tests.services.valkey import ValkeyServer
from tests.sessions_app.parts import Sessions

HOME = Home(ACME.id, ALICE.principal.user)
SLOW = {"look": 30.0, "patience": 60.0}  # who is not told waits longer than any of these tests


class Past(NoRecovery):
    """Notes who asked what is recorded."""

    def __init__(self):
        self.asked = []

    async def recover(self, principal, session_id):
        self.asked.append(("recover", session_id))
        return Recovered(None)

    async def verify(self, home, session_id):
        self.asked.append(("verify", session_id))


def worker(stores, tenants, bus=None, recovery=None, **times):
    finder = Finder(stores, tenants, session_ttl=3600, recovery=recovery)
    return Sessions(finder, MemoryJournal(), Leases(stores, bus, **times))


def asking(session_id="s"):
    return ChatRequest(messages=[], remember=True, session_id=session_id, create_session=True)


async def opened(store, session_id="s", turn_id=None):
    return await store.open(ALICE.principal, asking(session_id), turn_id)


async def ended(store, session, text):
    await store.append(session, [Message("user", text)], None)


async def turn(store, text, session_id="s"):
    await ended(store, await opened(store, session_id), text)


async def said(store, session_id="s"):
    return [m["content"] for m in (await store.read(ALICE.principal, session_id))["context_stack"]]


async def waiting(stores, session_id="s"):
    queue = await stores.tenant(ACME.id).call("HGET", HOME.lease(session_id), "queue")
    return (queue or b"").count(b";")


async def in_row(stores, store, texts):
    """Turns that wait, in this order."""
    tasks = []
    before = await waiting(stores)
    for count, text in enumerate(texts, before + 1):
        tasks.append(asyncio.create_task(turn(store, text)))
        while await waiting(stores) < count:
            await asyncio.sleep(0.002)
    return tasks


async def test_waiting_turns_come_in_order_and_read_what_was_said_before(stores, tenants):
    store = worker(stores, tenants, **SLOW)
    first = await opened(store)
    tasks = await in_row(stores, store, ["2", "3", "4"])
    await ended(store, first, "1")
    await asyncio.gather(*tasks)
    last = await opened(store)
    assert [message.content for message in last.history] == await said(store) == ["1", "2", "3", "4"]
    assert last.version == 4


async def test_the_ninth_that_waits_is_refused_with_the_version(stores, tenants):
    store = worker(stores, tenants, **SLOW)
    await turn(store, "0")
    first = await opened(store)
    tasks = await in_row(stores, store, [str(number) for number in range(2, 2 + MAX_WAITING)])
    with pytest.raises(SessionBusy) as refused:
        await opened(store)
    assert refused.value.version == 1 and "version 1" in refused.value.message
    await ended(store, first, "1")
    await asyncio.gather(*tasks)
    assert await said(store) == [str(number) for number in range(2 + MAX_WAITING)]


async def test_who_waited_too_long_is_refused_and_out_of_the_row(stores, tenants):
    store = worker(stores, tenants, look=0.02, patience=0.05)
    first = await opened(store)
    with pytest.raises(SessionBusy):
        await opened(store)
    await store.close(first)
    assert await stores.tenant(ACME.id).call("DBSIZE") == 0


async def test_who_leaves_while_waiting_is_out_of_the_row(stores, tenants):
    store = worker(stores, tenants, **SLOW)
    first = await opened(store)
    second, third, fourth = await in_row(stores, store, ["2", "3", "4"])
    for task in (second, third):
        task.cancel()
    await asyncio.gather(second, third, return_exceptions=True)
    await ended(store, first, "1")
    await fourth
    assert await said(store) == ["1", "4"]
    assert await stores.tenant(ACME.id).call("EXISTS", HOME.lease("s")) == 0


async def test_who_is_cancelled_just_as_its_turn_comes_lets_the_next_in(stores, tenants):
    store = worker(stores, tenants, **SLOW)
    first = await opened(store)
    second, third = await in_row(stores, store, ["2", "3"])
    await store.close(first)
    while await stores.tenant(ACME.id).call("HGET", HOME.lease("s"), "turn") is not None:
        await asyncio.sleep(0)  # released, and the second was told
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await third
    assert "3" in await said(store)


async def test_a_turn_that_ends_without_an_answer_lets_the_next_in(stores, tenants):
    store = worker(stores, tenants, **SLOW)
    await turn(store, "1")
    refused = await opened(store)
    [second] = await in_row(stores, store, ["2"])
    await store.close(refused)
    await second
    assert await said(store) == ["1", "2"]


async def test_the_second_turn_of_a_new_session_waits_for_the_first(stores, tenants):
    """Its id is told before the first turn is over."""
    store = worker(stores, tenants, **SLOW)
    request = ChatRequest(messages=[], remember=True)
    first = await store.open(ALICE.principal, request)
    known = ChatRequest(messages=[], remember=True, session_id=first.id)
    second = asyncio.create_task(store.open(ALICE.principal, known))
    third = asyncio.create_task(store.open(ALICE.principal, known))
    while await waiting(stores, first.id) < 2:
        await asyncio.sleep(0.002)
    await ended(store, first, "1")
    late = await second
    assert [message.content for message in late.history] == ["1"]
    await store.delete(ALICE.principal, first.id)
    await store.close(late)
    with pytest.raises(SessionNotFound):
        await third


async def test_workers_tell_each_other(stores, tenants, valkey_url):
    buses = [Bus(stores.platform(), valkey_url) for _ in range(2)]
    other_stores = Stores([valkey_url], tenants)
    ours, theirs = (worker(own, tenants, bus, **SLOW) for own, bus in zip((stores, other_stores), buses, strict=True))
    for bus in buses:
        bus.start()
    for bus in buses:
        await bus.ready.wait()
    first = await opened(ours)
    tasks = []
    for number, store in enumerate((theirs, ours, theirs, ours), 2):
        tasks += await in_row(stores, store, [str(number)])
    await ended(ours, first, "1")
    await asyncio.wait_for(asyncio.gather(*tasks), 15)
    assert await said(theirs) == ["1", "2", "3", "4", "5"]
    for bus in buses:
        await bus.stop()
    await other_stores.close()


async def test_it_looks_by_itself_when_nobody_tells(stores, tenants):
    class Silent(Alone):
        def tell(self, kind, text, worker=None):
            pass

    store = worker(stores, tenants, Silent(), look=0.02)
    first = await opened(store)
    tasks = await in_row(stores, store, ["2", "3"])
    await ended(store, first, "1")
    await asyncio.gather(*tasks)
    assert await said(store) == ["1", "2", "3"]


async def test_the_lease_of_a_dead_worker_runs_out_and_the_journal_is_asked(stores, tenants):
    past = Past()
    dead, store = worker(stores, tenants, ttl=0.2), worker(stores, tenants, recovery=past, look=0.02)
    await turn(store, "1")
    await opened(dead)
    dead.stop()
    await turn(store, "2")
    assert await said(store) == ["1", "2"] and ("verify", "s") in past.asked


async def test_a_dead_turn_is_asked_for_until_the_journal_answers(stores, tenants):
    """Whoever is let in meanwhile and leaves again vouches for nothing."""

    class Away(Past):
        async def verify(self, home, session_id):
            await super().verify(home, session_id)
            raise StoreUnavailable

    dead, past = worker(stores, tenants, ttl=0.2), Past()
    unlucky, store = (worker(stores, tenants, recovery=each, look=0.02) for each in (Away(), past))
    await turn(store, "1")
    await opened(dead)
    dead.stop()
    with pytest.raises(StoreUnavailable):
        await opened(unlucky)
    assert [await turn(store, text) for text in ("2", "3")]
    assert past.asked == [("recover", "s"), ("verify", "s")]


async def test_dead_turns_in_the_row_are_passed_over(stores, tenants):
    store = worker(stores, tenants, **SLOW)
    first = await opened(store)
    [last] = await in_row(stores, store, ["2"])
    queue = await stores.tenant(ACME.id).call("HGET", HOME.lease("s"), "queue")
    await stores.tenant(ACME.id).call("HSET", HOME.lease("s"), "queue", f"{'d' * 32} gone 1;".encode() + queue)
    await ended(store, first, "1")
    await last
    assert await said(store) == ["1", "2"]


async def test_a_lease_is_prolonged_while_its_turn_runs(stores, tenants):
    store, other = worker(stores, tenants, ttl=0.3, look=0.02), worker(stores, tenants, look=0.02, patience=1.0)
    first = await opened(store)
    with pytest.raises(SessionBusy):
        await opened(other)
    await store.confirm(first)
    await ended(store, first, "1")
    assert await said(store) == ["1"]


async def test_a_paused_turn_is_told_that_it_was_overtaken(stores, tenants):
    past = Past()
    paused, store = worker(stores, tenants, ttl=0.1, recovery=past), worker(stores, tenants, look=0.02)
    await turn(store, "1")
    late = await opened(paused)
    paused.stop()
    await turn(store, "2")
    with pytest.raises(Conflict):
        await paused.confirm(late)
    assert await said(store) == ["1", "2"]


async def test_what_an_overtaken_turn_recorded_makes_the_session_come_from_the_journal(stores, tenants):
    """Only the journal can tell the order of the two."""
    past = Past()
    paused, store = (worker(stores, tenants, ttl=ttl, recovery=past, look=0.02) for ttl in (0.1, 15))
    await turn(store, "1")
    late = await opened(paused)
    paused.stop()
    now = await opened(store)
    past.asked.clear()
    await ended(paused, late, "2a")
    await ended(store, now, "2b")
    assert past.asked == [("recover", "s")] * 2
    with pytest.raises(SessionNotFound):
        await said(store)


async def test_a_first_turn_that_was_overtaken_is_not_left_out(stores, tenants):
    past = Past()
    paused, store = (worker(stores, tenants, ttl=ttl, recovery=past, look=0.02) for ttl in (0.1, 15))
    late = await opened(paused)
    paused.stop()
    now = await opened(store)
    assert now.created
    past.asked.clear()
    await ended(paused, late, "1a")
    await ended(store, now, "1b")
    assert past.asked == [("recover", "s")] * 2


async def test_a_lease_nobody_else_took_is_taken_again(stores, tenants):
    store = worker(stores, tenants, ttl=0.05)
    await turn(store, "1")
    late = await opened(store)
    store.stop()
    while await stores.tenant(ACME.id).call("HGET", HOME.lease("s"), "turn"):
        await stores.tenant(ACME.id).call("DEL", HOME.lease("s"))
    late.lease.sure = 0.0
    await store.confirm(late)
    await ended(store, late, "2")
    assert await said(store) == ["1", "2"]


async def test_a_store_that_forgot_everything_makes_the_session_come_from_the_journal(stores, tenants, valkey_server):
    past = Past()
    store = worker(stores, tenants, recovery=past)
    await turn(store, "1")
    running = await opened(store)
    valkey_server.flush()
    await store.confirm(running)
    past.asked.clear()
    await ended(store, running, "2")
    assert past.asked == [("recover", "s")]


async def test_a_first_turn_is_kept_over_a_flush_and_the_journal_asked_later(stores, tenants, valkey_server):
    past = Past()
    store = worker(stores, tenants, recovery=past)
    running = await opened(store)
    valkey_server.flush()
    await ended(store, running, "1")
    past.asked.clear()
    assert await said(store) == ["1"] and past.asked == [("verify", "s")]


async def test_a_store_behind_the_turn_loses_the_session_to_the_journal(stores, tenants):
    past = Past()
    store = worker(stores, tenants, recovery=past)
    await turn(store, "1")
    await turn(store, "2")
    running = await opened(store)
    await stores.tenant(ACME.id).call("HSET", HOME.session("s"), "version", 1)
    await ended(store, running, "3")
    assert past.asked[-1] == ("recover", "s")
    assert await stores.tenant(ACME.id).call("EXISTS", *HOME.keys("s")) == 0


async def test_another_life_of_the_server_has_the_session_verified(stores, tenants):
    past = Past()
    store = worker(stores, tenants, recovery=past)
    await turn(store, "1")
    await turn(store, "2")
    assert past.asked.count(("verify", "s")) == 0
    await stores.tenant(ACME.id).call("HSET", HOME.session("s"), "era", "another")
    await turn(store, "3")
    assert past.asked.count(("verify", "s")) == 1
    connection = stores.tenant(ACME.id)  # who verifies says so in the session; a turn that was let in before does not
    assert await connection.call("HGET", HOME.session("s"), "era") == b"another"
    await connection.call("HSET", HOME.session("s"), "era", connection.era(HOME.session("s")))
    await turn(store, "4")
    assert past.asked.count(("verify", "s")) == 1


async def test_a_store_that_is_away_cannot_have_given_the_lease_away(tmp_path, tenants):
    server = ValkeyServer(tmp_path)
    server.start()
    stores = Stores([server.url], tenants)
    store = worker(stores, tenants, ttl=0.05)
    session = await opened(store)
    server.stop()
    await asyncio.sleep(0.06)
    await store.confirm(session)
    with pytest.raises(StoreUnavailable):
        await ended(store, session, "1")
    await store.close(session)
    store.stop()
    await stores.close()


async def test_a_turn_writes_to_the_store_twice(stores, tenants, monkeypatch):
    """One round trip to open, one to append; the limiter's is the third."""
    store = worker(stores, tenants)
    await turn(store, "1")
    connection = stores.tenant(ACME.id)
    link, writes = connection._link, []
    monkeypatch.setattr(
        link,
        "write",
        lambda payloads, entries, write=link.write: (writes.append(len(entries)), write(payloads, entries)),
    )
    session = await opened(store)
    await store.confirm(session)
    await ended(store, session, "2")
    assert len(writes) == 2
    await turn(store, "3", "another")
    assert len(writes) == 4
    await ended(store, await store.open(ALICE.principal, ChatRequest(messages=[], remember=True)), "4")
    assert len(writes) <= 6


async def test_looking_waits_for_nobody_and_leaves_nothing(stores, tenants):
    store = worker(stores, tenants)
    await turn(store, "1")
    running = await opened(store)
    look = await opened(store, turn_id="")
    assert (len(look.history), look.version) == (1, 1)
    await store.close(look)
    await ended(store, running, "2")
    assert await said(store) == ["1", "2"]
