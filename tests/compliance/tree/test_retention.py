"""Retention: what is over and old goes, is named in a signed statement first, and is all that may be missing."""

import json
import sqlite3
from contextlib import closing

import pytest

from compliance.journal import slots
from compliance.journal.balance import balance
from compliance.journal.records import KEY_COLUMNS
from compliance.models import PruneStatement, SubjectKey, TreeHead
from compliance.tree import exporting, retention
from compliance.tree.database import tree_database
from compliance.tree.leading import lead
from compliance.tree.removing import Remover
from compliance.tree.retention import DAY, Retention, Rule, Rules, ranges_of, rules
from compliance.tree.verifier import check_export
from tests.compliance.journals import rows
from tests.compliance.tree.trees import SIGNER

NOW = 1_800_000_000.0
OLD = NOW - 40 * DAY


def prune(steps=None, *, days=30, hold=(), now=NOW, keys=False):
    """Runs the duty until it is done (or `steps` times)."""
    of = {tenant: Rule(days, hold=True) for tenant in hold}
    with lead() as leader:
        duty = Retention(leader.alias, SIGNER, lambda: Rules(days, of), now=lambda: now)
        count = 0
        while duty.work():
            count += 1
            if count == steps:
                break
        if keys:
            duty.remove_keys()


@pytest.fixture
def aged(tree):
    """100 turns of 40 days ago, then 50 of yesterday, of two tenants; signed."""
    tree.now = lambda: NOW
    tree.write(100, tenants=2, at=OLD)
    tree.write(50, tenants=2, at=NOW - DAY)
    tree.fold()
    return tree


def test_it_removes_what_is_older_and_nothing_else(aged):
    prune()
    assert len(rows(aged.path)) == 100
    assert min(at for (at,) in rows(aged.path, "at")) == NOW - DAY
    report = aged.verify()
    assert report.findings == []
    assert (report.entries, report.removed, report.leaves) == (100, 200, 300)
    assert balance().holds
    prune()
    assert aged.verify().removed == 200


def test_it_is_the_only_thing_that_may_be_missing(aged):
    prune()
    aged.change("DELETE FROM compliance_auditentry WHERE id = (SELECT max(id) FROM compliance_auditentry)")
    assert aged.verify().findings == ["tenant 2, position 149: the entry 300 is missing"]


def test_a_statement_nobody_signed_allows_nothing(aged):
    prune()
    with tree_database() as alias:
        note = PruneStatement.objects.using(alias).for_tenant(1).first().note
    wider = note.replace("positions 0-100", "positions 0-150")
    assert wider != note
    aged.change("UPDATE compliance_prunestatement SET note = ? WHERE tenant_id = 1", wider, slot=slots.SEQUENCER)
    findings = aged.verify().findings
    assert "is not signed by a key we were given" in findings[0]
    assert len(findings) == 101


def test_it_removes_nothing_of_who_is_on_hold(aged):
    prune(hold=[1])
    assert {tenant for (tenant,) in rows(aged.path, "tenant_id") if tenant} == {1, 2}
    assert len(rows(aged.path)) == 200
    assert aged.verify(1).removed == 0


def test_it_stops_when_a_hold_comes_between_statement_and_removal(aged):
    prune(steps=1)
    prune(hold=[1, 2])
    assert len(rows(aged.path)) == 300
    assert aged.verify().holds
    prune()
    assert len(rows(aged.path)) == 100


def test_it_keeps_everything_where_it_is_told_so(aged):
    prune(days=0)
    assert len(rows(aged.path)) == 300


def test_it_never_removes_a_turn_that_is_not_over(aged):
    ((turn_id,),) = aged.rows("SELECT turn_id FROM compliance_auditentry WHERE id = 5")
    aged.change("DELETE FROM compliance_auditentry WHERE id = 6")  # its end; so the tree no longer holds
    prune()
    assert aged.rows("SELECT id FROM compliance_auditentry WHERE turn_id = ?", turn_id) == [(5,)]
    assert len(rows(aged.path)) == 101
    with tree_database() as alias:
        heads = {head.tenant_id: head.pruned for head in TreeHead.objects.using(alias).everywhere()}
    assert heads == {1: 2, 2: 100}


def test_it_takes_the_whole_of_a_turn_or_nothing(tree):
    """Ends far from their beginnings: after a kill between any two steps the sum rule holds."""
    tree.now = lambda: NOW
    tree.write(700, at=OLD)
    tree.change("UPDATE compliance_auditentry SET id = id + 100000 WHERE kind = 'completion'")
    tree.fold()
    last = len(rows(tree.path))
    for _ in range(40):
        prune(steps=1)
        assert balance().holds
        assert tree.verify().holds
    assert len(rows(tree.path)) < last
    prune()
    assert rows(tree.path) == []
    assert tree.verify().removed == 1400


def test_it_exports_what_is_left_with_its_statements(aged):
    prune()
    with tree_database() as alias:
        lines = list(exporting.export(alias, 1))
    verdict = check_export(lines, SIGNER.keys)
    assert verdict.findings == []
    assert (verdict.entries, verdict.removed) == (50, 100)
    without = [line for line in lines if "pruned" not in json.loads(line)]
    assert not check_export(without, SIGNER.keys).holds
    number = next(i for i, line in enumerate(lines) if "position" in json.loads(line))
    entry = json.loads(lines[number])
    gap = json.dumps({"gap": [entry["position"], entry["position"] + 1], "hashes": [entry["leaf"]]})
    assert not check_export([*lines[:number], gap, *lines[number + 1 :]], SIGNER.keys).holds


def test_it_may_run_while_something_is_exported(tree, monkeypatch):
    monkeypatch.setattr(exporting, "PART", 1)
    tree.now = lambda: NOW
    tree.write(600, at=OLD)
    tree.fold()
    with tree_database() as alias:
        lines = exporting.export(alias, 1)
        some = [next(lines) for _ in range(100)]
        prune()
        verdict = check_export([*some, *lines], SIGNER.keys)
    assert verdict.findings == []
    assert verdict.entries + verdict.removed == 1200
    assert verdict.removed > 0


def test_it_waits_while_the_writer_has_the_file(aged):
    with closing(sqlite3.connect(aged.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        prune()
        writer.execute("ROLLBACK")
        assert len(rows(aged.path)) == 300
    prune()
    assert len(rows(aged.path)) == 100


def test_it_does_not_hold_the_writer_up(aged):
    """A transaction's size follows how long the last one took."""
    ticks = iter(range(0, 1000))
    remover = Remover(0, clock=lambda: float(next(ticks)))  # a second a transaction
    ids = [row[0] for row in rows(aged.path, "id")][:100]
    assert not remover.remove([[number] for number in ids], 0.5)
    assert len(rows(aged.path)) == 250
    assert not remover.remove([[number] for number in ids[50:]], 0.5)
    assert len(rows(aged.path)) == 249


def key(name, subject, created, tenant_id=1):
    return name, tenant_id, subject, b"wrapped", created


def test_it_removes_keys_that_seal_nothing_any_more(aged):
    """Not those of users with entries, of who seals changes, of processes that live, nor young ones."""
    for slot in (0, slots.SEQUENCER):
        columns = "turn_id, kind, number, tenant_id, at, worker, user, model, instance, state, body"
        values = ("c" * 32, "change", 0, 2, OLD + 5 * DAY, "w", "", "", "", "", b"{}")
        if slot:
            aged.change(
                f"INSERT INTO compliance_auditentry ({columns}) VALUES ({', '.join('?' * 11)})", *values, slot=slot
            )
        for row in (
            key(f"gone-{slot}", "nobody", OLD),
            key(f"young-{slot}", "nobody", NOW - DAY),
            key(f"used-{slot}", "key:1", OLD),
            key(f"changes-{slot}", "", OLD, tenant_id=2),
        ):
            aged.change(
                f"INSERT INTO compliance_subjectkey ({', '.join(KEY_COLUMNS)}) VALUES (?, ?, ?, ?, ?)", *row, slot=slot
            )
    columns = "worker, slot, started, heartbeat, oldest_open"
    aged.change(f"INSERT INTO compliance_journalworker ({columns}) VALUES ('w9', 0, ?, ?, '')", OLD - DAY, NOW)
    prune(keys=True)
    left = {row[0] for row in aged.rows("SELECT id FROM compliance_subjectkey")}
    assert "gone-0" in left  # whoever made it may seal with it still
    aged.change("DELETE FROM compliance_journalworker")
    prune(keys=True)
    left = {row[0] for row in aged.rows("SELECT id FROM compliance_subjectkey")}
    assert left == {"young-0", "used-0"}
    assert SubjectKey.objects.for_tenant(1).filter(pk="used-0").exists()


def test_it_goes_on_where_it_was_killed(aged, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Remover, "remove", lambda self, turns, seconds: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prune()
    assert aged.verify().holds
    prune()
    assert aged.verify().removed == 200


def test_it_goes_by_the_tenants_own_rule(cast, journal_alias):
    cast.acme.retention_days, cast.acme.legal_hold = 7, True
    cast.acme.save()
    cast.globex.retention_days = 0
    cast.globex.save()
    now = rules(30)
    assert now.of(cast.acme.pk) == Rule(7, hold=True)
    assert now.of(cast.globex.pk) == Rule(0, hold=False)
    assert now.of(0) == Rule(30, hold=False)


def test_it_comes_to_every_tenant_when_time_is_short(tree, monkeypatch):
    monkeypatch.setattr(retention, "SECONDS", -1.0)  # each step is one tenant's, one transaction's
    tree.now = lambda: NOW
    tree.write(40, tenants=10, at=OLD)
    tree.fold()
    prune()
    assert rows(tree.path) == []
    assert tree.verify().removed == 80


def test_it_tells_ranges():
    assert ranges_of([]) == []
    assert ranges_of([1, 2, 3, 7, 9, 10]) == [(1, 4), (7, 8), (9, 11)]


def test_a_clock_that_goes_back_removes_nothing_more(aged):
    prune(now=NOW - 20 * DAY)
    assert len(rows(aged.path)) == 300
