"""Hits are counted in memory, written now and then, and read by day and by entry."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connections

from compliance import hits
from compliance.guard import GuardTable, TenantWords, WordGuard
from compliance.hit_reports import KEPT_DAYS, forget_old, report, totals
from compliance.hits import HitCounter, HitWriter
from compliance.models import WordHits
from compliance.words import Rule, WordMatcher
from engine.errors import ContentBlocked
from engine.snapshots import Cell
from engine.types import Delta, Verdict
from tests.cast import ACME, GLOBEX
from tests.engine.parts import ALICE, ScriptedModel, ask, build


def verdict(word="bad", action="record", where="input", list_id=1):
    return Verdict("list", 1, word, action, where, list_id)


def rows():
    found = WordHits.objects.everywhere().order_by("tenant_id", "list_id", "word", "action", "direction")
    return list(found.values_list("tenant_id", "list_id", "word", "action", "direction", "count"))


def counted(*verdicts, tenant_id=ACME.id):
    counter = HitCounter()
    for each in verdicts:
        counter.add(tenant_id, [each])
    return counter


def test_it_adds_up_what_workers_count(cast):
    for counter in (counted(verdict(), verdict()), counted(verdict(), verdict("worse", "mask", "output"))):
        HitWriter(counter).flush()
        assert len(counter) == 0
    assert rows() == [(1, 1, "bad", "record", "input", 3), (1, 1, "worse", "mask", "output", 1)]
    [day] = set(WordHits.objects.everywhere().values_list("day", flat=True))
    assert day == datetime.now(UTC).date()


def test_it_leaves_out_tenants_that_are_gone_and_the_platforms_own_turns(cast):
    counter = counted(verdict())
    counter.add(0, [verdict()])
    counter.add(999, [verdict()])
    HitWriter(counter).flush()
    assert rows() == [(1, 1, "bad", "record", "input", 1)]


def test_it_writes_in_batches(cast, monkeypatch):
    monkeypatch.setattr(hits, "BATCH", 2)
    HitWriter(counted(*(verdict(f"w{number}") for number in range(5)))).flush()
    assert len(rows()) == 5


def test_it_keeps_what_cannot_be_written_and_writes_it_once(cast, monkeypatch):
    monkeypatch.setattr(hits, "BATCH", 1)
    counter = counted(*(verdict(f"w{number}") for number in range(3)))
    write, tries = hits.write, []

    def failing(counts):
        tries.append(counts)
        if len(tries) == 2:
            raise OperationalError("away")
        write(counts)

    monkeypatch.setattr(hits, "write", failing)
    monkeypatch.setattr(connections, "close_all", lambda: None)  # the test's transaction lives on it
    writer = HitWriter(counter)
    writer.flush()
    assert (len(rows()), len(counter)) == (1, 2)
    writer.flush()
    assert [row[-1] for row in rows()] == [1, 1, 1]


def test_it_never_grows_without_bound():
    counter = HitCounter(most=10)
    for number in range(100):
        counter.add(ACME.id, [verdict(f"w{number}")])
    taken = counter.take()
    assert len(taken) == 11
    assert sum(taken.values()) == 100
    [rest] = [count for hit, count in taken.items() if hit.word == ""]
    assert rest == 90
    for number in range(100):
        counter.add(ACME.id, [verdict("w", list_id=number)])
    assert len(counter) == 20
    assert counter.lost == 80
    counter.give_back(taken.items())
    assert len(counter) == 20
    assert (counter.take_lost(), counter.take_lost()) == (180, 0)


def test_it_reports_by_day_and_by_entry(cast):
    for tenant, tries in ((ACME, 3), (GLOBEX, 1)):
        counter = HitCounter()
        for _ in range(tries):
            counter.add(tenant.id, [verdict(), verdict("bad", "block", "output"), verdict("worse", "mask")])
        HitWriter(counter).flush()
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    WordHits.objects.for_tenant(GLOBEX.id).update(day=yesterday)
    found = report(1)
    assert [(day.record, day.mask, day.block) for day in found.days[:3]] == [(3, 3, 3), (1, 1, 1), (0, 0, 0)]
    assert found.days[1].day == yesterday.isoformat()
    assert [(each.word, each.input, each.output) for each in found.entries] == [("bad", 4, 4), ("worse", 4, 0)]
    assert found.total == 12
    assert (report(1, GLOBEX.id).total, report(1, ACME.id, days=1).total, report(2).total) == (3, 9, 0)
    assert totals([1, 2]) == {1: 12}
    assert totals([1], GLOBEX.id, days=1) == {}


def test_it_forgets_what_no_report_shows(cast):
    HitWriter(counted(verdict(), verdict("worse"))).flush()
    today = datetime.now(UTC).date()
    WordHits.objects.everywhere().filter(word="bad").update(day=today - timedelta(days=KEPT_DAYS + 1))
    assert forget_old() == 1
    assert [row[2] for row in rows()] == ["worse"]


def test_its_thread_writes_until_it_is_stopped(transactional_db, cast):
    counter = counted(verdict())
    writer = HitWriter(counter, interval=60)
    writer.start()
    writer.stop()
    assert [row[-1] for row in rows()] == [1]


# On the path of a turn ---------------------------------------------------------------------------------------------


def guarded(counter, *pieces, **words_by_action):
    lists = [
        (Rule(action, 1, action, place), words, frozenset())
        for place, (action, words) in enumerate(words_by_action.items(), 1)
    ]
    words = WordMatcher(lists)
    table = GuardTable(tenants={ALICE.tenant_id: TenantWords(lists=(), input=words, output=words)})
    engine, _ = build(ScriptedModel(pieces))
    engine.guard = engine.endings._guard = WordGuard(Cell(table), counter)
    return engine


async def test_a_turn_counts_what_it_found_once_when_it_ends():
    counter = HitCounter()
    await guarded(counter, "so bad", " bad", record=["bad"]).complete(ALICE, ask("bad bad"))
    assert {(hit.word, hit.action, hit.direction): count for hit, count in counter.take().items()} == {
        ("bad", "record", "input"): 1,
        ("bad", "record", "output"): 1,
    }


async def test_a_refused_turn_counts_too():
    counter = HitCounter()
    with pytest.raises(ContentBlocked):
        await guarded(counter, block=["bad"]).complete(ALICE, ask("bad"))
    [(hit, count)] = counter.take().items()
    assert (hit.tenant_id, hit.list_id, hit.action, hit.direction, count) == (ALICE.tenant_id, 1, "block", "input", 1)


async def test_a_turn_its_reader_left_counts_too():
    counter = HitCounter()
    engine = guarded(counter, "so bad, ", "more", record=["bad"])
    async with aclosing(engine.stream(ALICE, ask())) as events:
        async for event in events:
            if isinstance(event, Delta):
                break
    assert [hit.direction for hit in counter.take()] == ["output"]


async def test_a_rehearsed_turn_counts_nothing():
    counter = HitCounter()
    engine = guarded(counter, record=["bad"])
    async with engine.rehearsed(ALICE, ask("bad")) as turn:
        assert turn.verdicts
    assert len(counter) == 0
