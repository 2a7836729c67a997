"""Changes go from the outbox into the journal, each once, whatever happens on the way; there they are listed."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from compliance import changes
from compliance.journal import changes as listing
from compliance.journal import moving
from compliance.journal.changes import ChangeFilters
from compliance.journal.moving import move_changes
from compliance.journal.slots import claim
from compliance.journal.sqlite import SqliteStore
from compliance.journal.store import RecordRefused, StoreAway
from compliance.models import AuditEntry, ChangeRecord
from tenants.actors import Actor


@pytest.fixture
def store(transactional_db, journal_alias):
    """The sequencer's writer of a journal of its own, and an empty outbox."""
    store = SqliteStore(claim(journal_alias), "sequencer")
    store.open()
    yield store
    store.close(finished=True)


def change(number: int, tenant_id: int = 1, **fields: object) -> None:
    actor = Actor(f"operator:{number % 2}", "ruth")
    given = {"action": "changed", "model": "routing.routingrule", "row": str(number), "label": f"rule {number}"}
    changes.record(**{**given, "tenant_id": tenant_id, "actor": actor, "after": {"weight": number}, **fields})


def rows(found) -> list[int]:
    return [int(each.row) for each in found.changes]


def waiting() -> int:
    return ChangeRecord.objects.everywhere().count()


def test_it_moves_every_change_once(store, monkeypatch):
    monkeypatch.setattr(moving, "MOST", 2)
    for number in range(5):
        change(number)
    assert [move_changes(store.append, store.worker) for _ in range(4)] == [2, 2, 1, 0]
    assert waiting() == 0
    entries = list(AuditEntry.objects.for_tenant(1).filter(kind="change").order_by("turn_id"))
    assert [(entry.instance, entry.model, entry.state, entry.worker, entry.user) for entry in entries] == [
        (str(number), "routing.routingrule", "changed", "sequencer", "") for number in range(5)
    ]
    assert [each.after for each in listing.page(1, ChangeFilters()).changes] == [{"weight": n} for n in (4, 3, 2, 1, 0)]


def test_a_mover_that_dies_between_journal_and_outbox_moves_nothing_twice(store):
    for number in range(3):
        change(number)

    class Died(Exception):
        pass

    def dies(rows):
        store.append(rows[:2])  # a third came later
        raise Died

    with pytest.raises(Died):
        move_changes(dies, "one")
    assert waiting() == 3
    assert move_changes(store.append, "two") == 3
    assert rows(listing.page(1, ChangeFilters())) == [2, 1, 0]
    assert waiting() == 0


def test_nothing_is_lost_while_the_journal_is_away(store):
    change(1)

    def away(rows):
        raise StoreAway("full")

    with pytest.raises(StoreAway):
        move_changes(away, "one")
    assert waiting() == 1
    assert move_changes(store.append, "one") == 1


def test_what_befell_a_tenant_that_is_gone_is_the_platforms(store):
    change(1)
    change(2, tenant_id=9)
    assert move_changes(store.append, "one", knows=lambda tenant_id: tenant_id != 9) == 2
    assert rows(listing.page(9, ChangeFilters())) == []
    assert rows(listing.page(0, ChangeFilters())) == [2]
    assert rows(listing.page(1, ChangeFilters())) == [1]


def test_a_record_nobody_takes_does_not_hold_up_the_others(store):
    for number in range(3):
        change(number)
    ChangeRecord(id="0" * 31 + "1", tenant_id=1, body=b"{broken").save()

    def picky(rows):
        if any(b'"row":"1"' in bytes(row[-1]) for row in rows):
            raise RecordRefused("no")
        store.append(rows)

    assert move_changes(picky, "one") == 4
    assert waiting() == 0
    assert [(each.row, each.action) for each in listing.page(1, ChangeFilters()).changes] == [
        ("2", "changed"),
        ("", "unrecordable"),
        ("0", "changed"),
        ("", "unrecordable"),
    ]


def test_it_lists_page_by_page_both_ways(store, monkeypatch):
    monkeypatch.setattr(listing, "OPENED", 4)
    for number in range(20):
        change(number, tenant_id=1 + number % 2)
    assert move_changes(store.append, "one") == 20
    mine = list(range(18, -1, -2))
    for filters, expected in (
        (ChangeFilters(), mine),
        (ChangeFilters(actor="operator:0"), mine),
        (ChangeFilters(actor="operator:1"), []),
        (ChangeFilters(row="4"), [4]),
        (ChangeFilters(model="routing.modelinstance"), []),
        (ChangeFilters(action="changed"), mine),
    ):
        found, before = [], None
        while True:
            page = listing.page(1, filters, before=before, limit=3)
            found += rows(page)
            before = page.next
            if before is None:
                break
        assert found == expected, filters
        found, after = [], "0" * 32
        while after is not None:
            page = listing.page_after(1, filters, after=after, limit=3)
            found = rows(page) + found
            after = page.next
        assert found == expected, filters
    assert rows(listing.page(None, ChangeFilters(), limit=50)) == list(range(19, -1, -1))
    assert rows(listing.page(3, ChangeFilters())) == []


def test_it_finds_one(store):
    change(1)
    move_changes(store.append, "one")
    [found] = listing.page(1, ChangeFilters()).changes
    assert listing.change(1, found.turn_id) == listing.change(None, found.turn_id) == found
    assert listing.change(2, found.turn_id) is None
    at = int(found.at)
    assert rows(listing.page(1, ChangeFilters(since=at, until=at + 2))) == [1]
    assert rows(listing.page(1, ChangeFilters(until=at))) == []


def test_a_body_that_cannot_be_read_leaves_what_the_columns_say(store):
    change(1)
    move_changes(lambda rows: store.append([(*row[:-1], b"{") for row in rows]), "one")
    [found] = listing.page(1, ChangeFilters()).changes
    assert (found.erased, found.row, found.model, found.action) == (True, "1", "routing.routingrule", "changed")


def test_turns_and_changes_do_not_mix(store):
    change(1)
    move_changes(store.append, "one")
    with closing(sqlite3.connect(store.slot.path)) as database:
        plan = [
            step[3]
            for tenant in ("tenant_id = 1 AND", "")
            for step in database.execute(
                f"EXPLAIN QUERY PLAN SELECT * FROM compliance_auditentry WHERE {tenant} kind = 'change' "  # noqa: S608
                "AND turn_id < 'f' ORDER BY turn_id DESC LIMIT 50"
            )
        ]
    assert [name in step for name, step in zip(("audit_changes", "audit_all_changes"), plan, strict=True)] == [True] * 2
