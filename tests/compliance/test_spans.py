"""All turns of a tenant in a span of time, from every file of the journal."""

from __future__ import annotations

import msgspec
import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from compliance.journal import slots, spans, tables
from compliance.journal.records import completion_row, intent_row
from compliance.journal.sqlite import SqliteStore
from engine.turn import new_turn_id
from tests.compliance.journals import completion, intent

START = 1_700_000_000.0


class Asked(msgspec.Struct):
    turn_id: str
    at: float


class Ended(msgspec.Struct):
    state: str


def write(path, number: int, turns, ends) -> None:
    if number:
        tables.migrate_slot(path, number)
    store = SqliteStore(slots.take(path, number), f"w{number}")
    store.open()
    store.append(
        [*(intent_row(one, store.worker) for one in turns), *(completion_row(one, store.worker) for one in ends)]
    )
    store.close(finished=True)


def turn(second: float, tenant_id: int = 1):
    return intent(new_turn_id(START + second), at=START + second, tenant_id=tenant_id)


def read(since: float = 0.0, until: float = 1000.0, tenant_id: int = 1, kind: type = Asked) -> list:
    return list(spans.turns(tenant_id, START + since, START + until, intent=kind, completion=Ended))


def seconds(found: list) -> list[float]:
    return [round(one.at - START, 3) for one, _ in found]


@pytest.fixture
def three_files(journal_alias):
    """Sixty turns, a second apart, dealt out to three writers; every fifth has not ended. Charlie's are in between."""
    every = [turn(second) for second in range(60)]
    for number in range(3):
        mine = every[number::3]
        ends = [completion(one) for one in mine if round(one.at - START) % 5]
        write(journal_alias, number, [*mine, turn(number + 0.5, tenant_id=2)], ends)
    return journal_alias


def test_it_reads_all_files_in_the_order_of_time(three_files, monkeypatch):
    monkeypatch.setattr(spans, "CHUNK", 7)
    found = read()
    assert seconds(found) == list(range(60))
    assert [end is None for _, end in found] == [second % 5 == 0 for second in range(60)]
    assert spans.count(1, START, START + 1000) == 60


def test_it_keeps_to_the_span(three_files):
    assert seconds(read(10, 13)) == [10, 11, 12]
    assert spans.count(1, START + 10, START + 13) == 3
    assert read(13, 10) == []
    assert read(-1e12, -1e11) == []


def test_it_reads_no_turn_of_another_tenant(three_files):
    assert seconds(read(tenant_id=2)) == [0.5, 1.5, 2.5]
    assert read(tenant_id=3) == []
    assert spans.count(2, START, START + 1000) == 3


@pytest.mark.parametrize("turns", [7, 8, 14])
def test_it_ends_where_a_chunk_does(journal_alias, monkeypatch, turns):
    monkeypatch.setattr(spans, "CHUNK", 7)
    write(journal_alias, 0, [turn(second) for second in range(turns)], [])
    assert seconds(read()) == list(range(turns))


def test_it_goes_on_where_entries_cannot_be_decoded(three_files):
    class Other(msgspec.Struct):
        at: str

    assert {one for one, _ in read(kind=Other)} == {None}


def test_it_finds_intents_by_their_index_and_completions_by_theirs(three_files):
    with CaptureQueriesContext(connections["journal"]) as queries:
        read()
    plans = []
    for query in queries.captured_queries:
        if query["sql"].startswith("SELECT") and "audit" in query["sql"]:
            with connections["journal"].cursor() as cursor:
                plans.append(cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}").fetchall())
    assert plans
    for plan in plans:
        assert [line for *_, line in plan if line.startswith("SCAN")] == []
