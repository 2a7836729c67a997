"""The database is locked, full, read-only, gone or slow: callers hear in time, and it comes back without a restart."""

import asyncio
import os
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from compliance.journal.slots import claim
from compliance.journal.sqlite import SqliteStore
from compliance.journal.store import StoreAway
from compliance.journal.writer import JournalWriter
from engine.errors import AuditUnavailable
from tests.compliance.journals import completion, intent, kinds, rows, sealer


class SlowStore(SqliteStore):
    """A disk that stands still while `gate` is closed, and fails while `error` is set."""

    def __init__(self, *args):
        super().__init__(*args)
        self.gate = threading.Event()
        self.gate.set()
        self.error = None
        self.batches = []

    def append(self, rows, keys=()):
        self.gate.wait(60)
        if self.error:
            raise self.error
        self.batches.append(len(rows))
        super().append(rows, keys)


@pytest.fixture
async def slow(journal_file):
    """(store, writer) with a deadline short enough to wait for."""
    store = SlowStore(claim(journal_file), "w1")
    writer = JournalWriter(store, sealer(), deadline=0.5, late=0.1, max_waiting=50)
    await writer.start()
    yield store, writer
    store.gate.set()
    store.error = None
    await writer.stop()


async def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.01)


def lock(path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


async def fails(future):
    """Though what it waits for hangs for a minute."""
    with pytest.raises(AuditUnavailable):
        await asyncio.wait_for(future, 30)


async def test_it_fails_entries_in_time_while_the_file_is_locked_and_recovers(slow, journal_file):
    _, writer = slow
    first = intent()
    await writer.intent(first)
    with closing(lock(journal_file)) as other:
        lost = intent()
        await fails(writer.intent(lost))
        assert not writer.healthy
        writer.completion(completion(lost, "failed"))  # its intent will be given up: then there is nothing to end
        ending = writer.completion(completion(first))
        await fails(ending)
        other.execute("ROLLBACK")
    await until(lambda: writer.healthy)
    await writer.intent(after := intent())
    assert kinds(journal_file) == {first.turn_id: ["intent", "completed"], after.turn_id: ["intent"]}


async def test_it_fails_while_the_database_is_full_and_recovers(slow, journal_file):
    store, writer = slow
    await writer.intent(intent())
    (pages,) = store._database.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    await fails(writer.intent(intent(params={"text": "x" * 100_000})))
    assert not writer.healthy
    store._database.execute("PRAGMA max_page_count = 1000000")
    await writer.intent(intent(params={"text": "x" * 100_000}))
    assert writer.healthy
    assert len(rows(journal_file)) == 2


async def test_it_stays_unhealthy_while_only_its_own_row_is_taken(slow, journal_file, monkeypatch):
    """Its heartbeat needs no room: that it succeeds does not mean that an entry would."""
    store, writer = slow
    await writer.intent(intent())
    (pages,) = store._database.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    await fails(writer.intent(intent(params={"text": "x" * 100_000})))
    beaten = []
    beat = writer._thread._beaten
    monkeypatch.setattr(writer._thread, "_beaten", lambda *told: (beaten.append(told[0]), beat(*told)))
    await until(lambda: len(beaten) >= 2)
    assert all(beaten)
    assert not writer.healthy
    store._database.execute("PRAGMA max_page_count = 1000000")
    await until(lambda: writer.healthy)
    assert len(rows(journal_file)) == 1


async def test_it_says_whether_it_would_take_an_entry_and_writes_none(slow, journal_file):
    """Also where the worker's own row can be written and nobody has asked for anything yet."""
    store, writer = slow
    assert await asyncio.gather(*(writer.takes() for _ in range(20))) == [True] * 20
    assert rows(journal_file) == []
    database = store._database
    database.execute(
        "CREATE TRIGGER full BEFORE INSERT ON compliance_auditentry BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    )
    assert not await writer.takes()
    assert not writer.healthy
    database.execute("DROP TRIGGER full")
    assert await writer.takes()
    assert writer.healthy


async def test_who_asks_hears_of_its_end(slow):
    store, writer = slow
    store.gate.clear()
    given_up = asyncio.ensure_future(writer.intent(intent()))
    asking = asyncio.ensure_future(writer.takes())
    await asyncio.sleep(0.05)
    await writer.stop(timeout=0.1)
    assert not await asking
    await fails(given_up)
    assert not await writer.takes()


async def test_it_fails_while_the_database_is_read_only_and_recovers(slow, journal_file):
    store, writer = slow
    store._database.execute("PRAGMA query_only = ON")
    assert await writer.intent(intent()) is None  # a new connection is as good as new
    store.error = StoreAway("attempt to write a readonly database")
    await fails(writer.intent(intent()))
    store.error = None
    await until(lambda: writer.healthy)
    await writer.intent(intent())
    assert len(rows(journal_file)) == 2


async def test_it_fails_while_the_file_is_gone_and_writes_on_when_it_is_back(slow, journal_file):
    _, writer = slow
    await writer.intent(kept := intent())
    away = journal_file.with_name("elsewhere")
    os.rename(journal_file, away)
    await fails(writer.intent(intent()))
    assert not writer.healthy
    assert not journal_file.exists()
    os.rename(away, journal_file)
    await until(lambda: writer.healthy)
    await writer.completion(completion(kept))
    assert kinds(journal_file) == {kept.turn_id: ["intent", "completed"]}


async def test_it_is_unhealthy_while_a_commit_is_late(slow):
    store, writer = slow
    store.gate.clear()
    future = writer.intent(intent())
    await asyncio.sleep(0)
    assert writer.healthy
    await until(lambda: not writer.healthy)
    store.gate.set()
    await future
    assert writer.healthy


async def test_it_fails_an_intent_at_the_deadline_and_ends_its_turn_when_it_is_written_late(slow, journal_file):
    store, writer = slow
    store.gate.clear()
    flying, waiting = intent(), intent()
    first = writer.intent(flying)
    await asyncio.sleep(0.05)
    second = writer.intent(waiting)
    await fails(first)
    await fails(second)
    ends = [writer.completion(completion(one, "failed")) for one in (flying, waiting)]
    store.gate.set()
    await asyncio.gather(*ends)
    assert kinds(journal_file) == {flying.turn_id: ["intent", "failed"]}


async def test_it_keeps_the_ends_of_durable_turns_until_they_are_written(slow, journal_file):
    store, writer = slow
    asked = [intent() for _ in range(5)]
    await asyncio.gather(*(writer.intent(one) for one in asked))
    store.error = StoreAway("gone")
    ends = [writer.completion(completion(one)) for one in asked]
    for end in ends:
        await fails(end)
    store.error = None
    await until(lambda: len(rows(journal_file)) == 10)
    assert set(map(tuple, kinds(journal_file).values())) == {("intent", "completed")}


async def test_it_takes_only_so_many_entries_while_nothing_is_written(slow, journal_file):
    store, writer = slow
    store.gate.clear()
    writer.intent(intent())
    await asyncio.sleep(0.05)
    waiting = [writer.intent(intent()) for _ in range(50)]
    one_more = writer.intent(intent())
    assert one_more.done() and not any(one.done() for one in waiting)  # at once, before any deadline
    with pytest.raises(AuditUnavailable):
        await one_more
    store.gate.set()
    await asyncio.gather(*waiting)
    assert len(rows(journal_file)) == 51


async def test_it_takes_only_so_many_bytes_while_nothing_is_written(journal_file):
    store = SlowStore(claim(journal_file), "w1")
    writer = JournalWriter(store, sealer(), max_bytes=100_000)
    await writer.start()
    store.gate.clear()
    large = [writer.intent(intent(params={"text": "x" * 60_000})) for _ in range(2)]
    with pytest.raises(AuditUnavailable):
        await writer.intent(intent())
    store.gate.set()
    await asyncio.gather(*large)
    await writer.intent(intent())
    await writer.stop()


async def test_it_gathers_what_comes_during_a_commit_into_one_batch(slow):
    store, writer = slow
    store.gate.clear()
    first = writer.intent(intent())
    await asyncio.sleep(0.02)
    others = [writer.intent(intent()) for _ in range(40)]
    store.gate.set()
    await asyncio.gather(first, *others)
    assert store.batches == [1, 40]


async def test_it_survives_a_mistake_in_the_store(slow, journal_file):
    store, writer = slow
    store.error = RuntimeError("a bug")
    await fails(writer.intent(intent()))
    store.error = None
    await writer.intent(intent())
    assert len(rows(journal_file)) == 1


async def test_it_keeps_the_deadline_where_a_failing_store_begins_to_hang(slow):
    store, writer = slow
    store.error = StoreAway("locked")
    await fails(writer.intent(intent()))
    await until(lambda: writer._watch is None)  # nothing waits any more, but the next attempt is due
    writer._kick_soon()  # whenever it was due, it is now
    store.gate.clear()
    futures = [writer.intent(intent())]
    await asyncio.sleep(0.05)
    futures.append(writer.intent(intent()))
    async with asyncio.timeout(30):
        for future in futures:
            await fails(future)


async def test_it_tells_what_waits_and_how_long_commits_take(slow):
    store, writer = slow
    told = []
    writer.observe = lambda outcome, seconds: told.append((outcome, seconds))
    store.gate.clear()
    first = writer.intent(intent())
    await asyncio.sleep(0.02)
    second = writer.intent(intent())
    entries, size, spooled = writer.waiting
    assert (entries, spooled) == (2, 0)
    assert size > 200
    store.gate.set()
    await asyncio.gather(first, second)
    assert writer.waiting == (0, 0, 0)
    store.error = StoreAway("gone")
    await fails(writer.intent(intent()))
    assert {outcome for outcome, _ in told} == {"durable", "failed"}
    assert told[0][1] >= 0.02
