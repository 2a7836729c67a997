"""The sums are those of the journal's completions, on every kind of database, whoever wrote them and however."""

import asyncio
import random
import time
from collections import Counter

import pytest

from compliance.journal import tables
from compliance.journal.records import completion_row, intent_row
from compliance.journal.store import RecordRefused
from compliance.usage import reader
from compliance.usage.reader import Period, Whose
from compliance.usage.recounting import differences, totals_differ
from engine.types import Usage
from tests.compliance.journals import completion, intent, run, store_on, writer_on

STATES = ("completed", "completed", "completed", "refused", "failed", "cancelled", "aborted")
DAY = 86_400


def everything():
    """What is wrong with all hours of this day and the next to come."""
    now = time.time()
    return {**differences(now - 3 * DAY, now + DAY), **totals_differ(now - 3 * DAY, now + 2 * DAY)}


def turn(chance, **fields):
    number = chance.randrange(6)
    asked = intent(tenant_id=chance.choice((1, 2)), key_id=number or None)
    given = {
        "model": f"m{number % 2}", "instance": f"m{number % 2}", "instance_id": number % 3, "edge": "rest",
        "key_id": number or None, "member_id": None if number else 5, "cost": chance.randrange(1000),
        "usage": Usage(chance.randrange(100), chance.randrange(100), 3, 2), "duration": chance.expovariate(1),
    }  # fmt: skip
    return asked, completion(asked, chance.choice(STATES), **{**given, **fields})


async def test_two_writers_at_once_lose_and_double_nothing(place_alias):
    chance = random.Random(1)
    if not isinstance(place_alias, str):
        tables.migrate_slot(place_alias, 1)
    writers = [writer_on(place_alias, f"w{number}") for number in range(2)]
    for writer in writers:
        await writer.start()

    async def client(writer):
        for _ in range(15):
            asked, ended = turn(chance)
            await writer.intent(asked)
            await writer.completion(ended)

    await asyncio.gather(*(client(writer) for writer in writers for _ in range(20)))
    for writer in writers:
        await writer.stop()
    assert everything() == {}
    now = time.time()
    sums = [reader.total(Whose(tenant), Period(now - 7200, now + 1)) for tenant in (1, 2)]
    assert sum(each.turns for each in sums) == 600
    assert reader.total(Whose(None), Period(now - 7200, now + 1)) == sums[0] + sums[1]


def test_what_is_restored_twice_counts_once(place_alias):
    chance = random.Random(2)
    store = store_on(place_alias)
    store.open()
    pairs = [turn(chance) for _ in range(20)]
    rows = [row for asked, ended in pairs for row in (intent_row(asked, "w1"), completion_row(ended, "w1"))]
    store.append(rows[:16])
    assert store.restore(rows) == []
    assert store.restore(rows) == []
    store.close(finished=True)
    assert everything() == {}
    assert sum(number for (number,) in run(place_alias, "SELECT completed + refused + failed + cancelled + aborted "
                                                        "FROM compliance_usagerow")) == 20  # fmt: skip


def test_a_batch_that_is_refused_counts_nothing(place_alias):
    chance = random.Random(3)
    store = store_on(place_alias)
    store.open()
    good, bad = completion_row(turn(chance)[1], "w1"), completion_row(turn(chance)[1], "w1")
    with pytest.raises(RecordRefused):
        store.append([good, good])
    with pytest.raises(RecordRefused):
        store.append([good, (*bad[:8], "seven" if isinstance(place_alias, str) else 1 << 70, *bad[9:])])
    assert run(place_alias, "SELECT count(*) FROM compliance_usagerow") == [(0,)]
    store.append([good, bad])
    store.close(finished=True)
    assert everything() == {}


async def test_what_a_dead_worker_left_open_counts_as_aborted(place_alias):
    first = store_on(place_alias, "w1")
    first.open()
    asked = [intent(key_id=9, model="auto", instance="gpt") for _ in range(3)]
    first.append([intent_row(one, "w1") for one in asked])
    first.beat(min(one.turn_id for one in asked))
    if not isinstance(place_alias, str):
        first.slot.release()
        second = store_on(place_alias, "w2")
        second.open()
    else:
        first._entries.disconnect()
        run(place_alias, "UPDATE compliance_journalworker SET heartbeat = heartbeat - 60")
        second = store_on(place_alias, "w2")
        second._sweeper._dead_after = 0
        assert second.sweep() == 3
    second.close(finished=True)
    assert everything() == {}
    now = time.time()
    (line,) = reader.totals(Whose(1), Period(now - 7200, now + 1), "key")
    assert (line.what, line.sums.aborted, line.sums.turns) == (9, 3, 3)


def test_it_finds_what_is_wrong(place_alias):
    store = store_on(place_alias)
    store.open()
    store.append([completion_row(turn(random.Random(4), cost=5)[1], "w1")])
    store.close(finished=True)
    run(place_alias, "UPDATE compliance_usagerow SET cost = cost + 1")
    ((counted, right),) = differences(time.time() - 7200, time.time() + 7200).values()
    assert (counted[-1], right[-1]) == (6, 5)
    assert len(totals_differ(time.time() - DAY, time.time() + 2 * DAY)) == 1


def test_timings_add_up(place_alias):
    store = store_on(place_alias)
    store.open()
    for _ in range(4):
        batch = [turn(random.Random(5), duration=seconds, ttft=seconds / 10)[1] for seconds in (0.1, 1.0, 10.0)]
        batch = [completion_row(completion(intent(), model="m", instance="m", at=ended.at, duration=ended.duration,
                                           ttft=ended.ttft), "w1") for ended in batch]  # fmt: skip
        store.append(batch)
    store.close(finished=True)
    now = time.time()
    told = reader.latency(1, Period(now - 7200, now + 1))
    assert told.duration.p50 == pytest.approx(1.0, rel=0.05)
    assert told.duration.p99 == pytest.approx(10.0, rel=0.05)
    assert told.first_token.p50 == pytest.approx(0.1, rel=0.05)
    stored = run(place_alias, "SELECT durations FROM compliance_usagetiming")
    assert sum((Counter(eval(each)) for (each,) in stored), Counter()).total() == 12
