"""Finding turns: every filter, page by page in both directions, from several files, each tenant its own."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from compliance.journal import listing, slots, tables
from compliance.journal.listing import Filters, Judged
from compliance.journal.postgres import PostgresStore
from compliance.journal.records import completion_row, intent_row
from compliance.journal.sqlite import SqliteStore
from engine.turn import new_turn_id
from engine.types import Verdict
from tests.compliance.journals import KEYS, completion, intent

START = 1_700_000_000.0
COUNT = 40
OWNERS = {
    Filters(user="u1"): lambda n: n % 2 == 1,
    Filters(key_id=2): lambda n: n % 4 == 2,
    Filters(session_id="s3"): lambda n: n % 5 == 3,
    Filters(user="u1", session_id="s3"): lambda n: n % 10 == 3,
    Filters(since=START + 10, until=START + 13): lambda n: 10 <= n < 13,
    Filters(begins=f"{int((START + 10) * 1000):012x}"): lambda n: n == 10,
    Filters(begins="018bc", until=START + 2): lambda n: n < 2,
    Filters(begins="ff"): lambda n: False,
}
SCANNED = {
    Filters(state="failed"): lambda n: n % 8 == 7,
    Filters(state="in_flight"): lambda n: n % 10 == 9 and n % 8 != 7,
    Filters(model="auto"): lambda n: True,
    Filters(model="small"): lambda n: n % 10 != 9 or n % 8 == 7,
    Filters(instance="odd"): lambda n: n % 2 == 1,
    Filters(state="failed", instance="odd"): lambda n: n % 8 == 7,
    Filters(verdict="any"): lambda n: n % 6 == 0 or (n % 7 == 0 and n % 10 != 9),
    Filters(verdict="mask"): lambda n: n % 6 == 0,
    Filters(verdict="block"): lambda n: n % 7 == 0 and n % 10 != 9,
    Filters(word_list="output list"): lambda n: n % 7 == 0 and n % 10 != 9,
    Filters(word_list="output list", verdict="mask"): lambda n: False,
    Filters(edge="openai", verdict="mask"): lambda n: n % 6 == 0,
    Filters(edge="grpc"): lambda n: False,
    Filters(user="u0", verdict="mask", state="completed", since=START + 5): lambda n: n % 6 == 0 and n >= 5,
}


def turns(tenant_id: int = 1) -> list[tuple]:
    """A turn a second; what is remarkable about one is told by its number."""
    made = []
    for n in range(COUNT):
        masked = [Verdict("input list", 1, "w", "mask", "input")] if n % 6 == 0 else []
        blocked = [Verdict("output list", 1, "w", "block", "output")] if n % 7 == 0 else []
        asked = intent(
            new_turn_id(START + n), at=START + n, tenant_id=tenant_id, user=f"u{n % 2}", key_id=n % 4 or None,
            session_id=f"s{n % 5}", instance="even" if n % 2 == 0 else "odd", verdicts=masked,
        )  # fmt: skip
        state = "failed" if n % 8 == 7 else "completed" if n % 10 != 9 else None
        ended = state and completion(asked, state, model="small", instance=asked.instance, verdicts=blocked)
        made.append((asked, ended))
    return made


@pytest.fixture
def journal(place_alias):
    """Alice's and Charlie's turns, on PostgreSQL or dealt out to three files; the ids of Alice's by their number."""
    mine, his = turns(), turns(tenant_id=2)
    for number in range(3):
        if number and isinstance(place_alias, Path):
            tables.migrate_slot(place_alias, number)
        store = store_on(place_alias, f"w{number}", number)
        store.open()
        rows = [row for pair in (*mine[number::3], *his[number::3]) for row in entries(*pair)]
        store.append(rows)
        store.close(finished=True)
    return [asked.turn_id for asked, _ in mine]


def store_on(place, worker: str, number: int):
    return PostgresStore(place, worker) if isinstance(place, str) else SqliteStore(slots.take(place, number), worker)


def entries(asked, ended) -> list[tuple]:
    return [intent_row(asked, "w"), *([completion_row(ended, "w")] if ended else [])]


def expected(ids, fits) -> list[str]:
    return [ids[n] for n in range(COUNT - 1, -1, -1) if fits(n)]


def paged(filters, tenant_id=1, limit=7) -> list[list[str]]:
    pages, before = [], None
    while True:
        page = listing.page(tenant_id, filters, before=before, limit=limit)
        pages.append([turn.turn_id for turn in page.turns])
        before = page.next
        if before is None:
            return pages


def test_it_finds_what_fits_newest_first(journal):
    for filters, fits in [*OWNERS.items(), *SCANNED.items(), (Filters(), lambda n: True)]:
        pages = paged(filters)
        assert sum(pages, []) == expected(journal, fits), filters
        assert all(len(page) == 7 for page in pages[:-1])


@pytest.mark.parametrize("scanned", [1, 4, 11])
def test_a_page_looks_at_no_more_turns_than_it_may_and_none_is_lost(journal, monkeypatch, scanned):
    monkeypatch.setattr(listing, "SCANNED", scanned)
    monkeypatch.setattr(listing, "OPENED", scanned)
    monkeypatch.setattr(listing, "CHUNK", 3)
    for filters, fits in SCANNED.items():
        assert sum(paged(filters), []) == expected(journal, fits)
        reached, before = [COUNT], None
        while (before := listing.page(1, filters, before=before, limit=7).next) is not None:
            reached.append(journal.index(before))
        most = 2 * scanned if filters.user else scanned  # every other turn is another user's, which the index knows
        assert all(0 < earlier - later <= most for earlier, later in pairwise(reached)), filters


def test_the_way_back_finds_what_the_way_there_did(journal):
    for filters, fits in [*OWNERS.items(), *SCANNED.items()]:
        after, found = "0" * 32, []
        while after is not None:
            page = listing.page_after(1, filters, after=after, limit=7)
            found = [*(turn.turn_id for turn in page.turns), *found]
            after = page.next
        assert found == expected(journal, fits)


def test_the_platform_finds_those_of_all_tenants(journal, monkeypatch):
    named = {user: [user, *(keys.pseudonym(user) for keys in KEYS.values())] for user in ("u0", "u1")}
    monkeypatch.setattr(listing.reader, "stored_users", lambda tenant_id, user: named[user])  # the tenants are a table
    monkeypatch.setattr(listing, "SCANNED", 30)
    monkeypatch.setattr(listing, "OPENED", 30)
    for filters, fits in [*OWNERS.items(), *SCANNED.items()]:
        found = sum(paged(filters, tenant_id=None), [])
        assert len(found) == 2 * len(expected(journal, fits))
        assert set(expected(journal, fits)) <= set(found)
        assert found == sorted(found, reverse=True)


def test_no_tenant_finds_a_turn_of_another(journal):
    for filters in (Filters(), *OWNERS, *SCANNED):
        assert not {turn for page in paged(filters, tenant_id=2) for turn in page} & set(journal)
        assert paged(filters, tenant_id=3) == [[]]


def test_it_tells_of_a_turn_what_a_line_needs(journal):
    lines = {turn.turn_id: turn for turn in listing.page(1, Filters(), limit=COUNT).turns}
    masked, failed, running = lines[journal[6]], lines[journal[7]], lines[journal[9]]
    assert (masked.user, masked.key_id, masked.session_id, masked.edge) == ("u0", 2, "s1", "openai")
    assert (masked.model, masked.answered_by, masked.instance, masked.state) == ("auto", "small", "even", "completed")
    assert masked.verdicts == [Judged("input list", "mask", "input")]
    assert failed.verdicts == [Judged("output list", "block", "output")]
    assert (failed.state, failed.ended > failed.at == START + 7) == ("failed", True)
    assert (running.state, running.ended, running.answered_by, running.instance) == ("in_flight", None, "", "odd")


def test_it_walks_over_all_turns_both_ways(journal, monkeypatch):
    monkeypatch.setattr(listing, "READ", 7)
    monkeypatch.setattr(listing, "SCANNED", 11)
    for filters, fits in [*OWNERS.items(), *SCANNED.items()]:
        for newest_first in (True, False):
            walked = list(listing.every(1, filters, newest_first=newest_first))
            found = [entries[0].turn_id for turns, _ in walked for entries in turns]
            assert found == expected(journal, fits)[:: 1 if newest_first else -1]
            reached = [listing.time_of(last) for _, last in walked if last]
            assert reached == sorted(reached, reverse=newest_first)
    (first, *_), _ = next(listing.every(1, Filters()))
    assert [entry.kind for entry in first] == ["intent", "completion"]
    assert b'"mask"' in bytes(first[0].body)


def test_every_page_is_found_by_an_index(journal):
    """No plan reads a whole table or sorts what it found. (PostgreSQL reads whole what is as small as this.)"""
    if connections["journal"].vendor != "sqlite":
        return
    for filters in (Filters(), *OWNERS, *SCANNED):
        for before in (None, journal[20]):
            with CaptureQueriesContext(
                connections["journal"],
            ) as asked:
                listing.page(1, filters, before=before, limit=5)
            for query in asked.captured_queries:
                with connections["journal"].cursor() as cursor:
                    plan = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}").fetchall()]
                assert not [step for step in plan if step.startswith("SCAN compliance_auditentry")], (filters, plan)
                assert not [step for step in plan if "TEMP B-TREE FOR ORDER BY" in step], (filters, plan)
