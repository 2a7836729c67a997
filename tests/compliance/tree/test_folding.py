"""Entries become leaves once each, in one order, whatever happens to the sequencer."""

import hashlib
import sqlite3
from contextlib import closing

import pytest
from django.db import DatabaseError, transaction

from compliance.journal import slots
from compliance.models import TreeCursor, TreeHead, TreeRun
from compliance.tree.database import tree_database
from compliance.tree.folding import Folder, NotLeading, ids_of
from compliance.tree.hashing import Frontier, leaf_hash
from compliance.tree.leading import lead
from compliance.tree.leaves import leaves
from compliance.tree.sources import Place, Sources, SqliteFile
from tests.compliance.journals import rows

COLUMNS = "id, turn_id, kind, number, tenant_id, at, worker, session_id, user, key_id, model, instance, state, body"


def expected(path, tenant_id=1):
    """The leaves of a tenant's entries in one file, from their columns."""
    names = COLUMNS.split(", ")
    found = [dict(zip(names, row, strict=True)) for row in rows(path, COLUMNS)]
    return [leaf_hash(columns) for columns in found if columns["tenant_id"] == tenant_id]


def folded(tenant_id=1):
    """(leaves, ids) of a tenant in the order of positions."""
    hashes, ids = [], []
    with tree_database() as alias, transaction.atomic(using=alias):
        for run in TreeRun.objects.using(alias).for_tenant(tenant_id).order_by("position"):
            assert run.position == len(ids)
            ids += ids_of(run)
            hashes += [bytes(run.hashes)[i : i + 32] for i in range(0, 32 * run.count, 32)]
        head = TreeHead.objects.using(alias).for_tenant(tenant_id).first()
    if head is not None:
        tree = Frontier()
        for value in hashes:
            tree.append(value)
        assert (head.size, bytes(head.frontier)) == (tree.size, b"".join(tree.hashes))
    return hashes, ids


def test_it_hashes_the_stored_columns_as_the_verifier_does(tree):
    tree.write(3)
    with closing(sqlite3.connect(tree.path)) as database:
        database.text_factory = bytearray
        stored = database.execute(f"SELECT {COLUMNS} FROM compliance_auditentry ORDER BY id").fetchall()
    assert [leaf for *_, leaf in leaves(stored)] == expected(tree.path)


def test_its_leaf_is_what_the_documentation_says():
    columns = {
        "turn_id": "t", "kind": "intent", "number": 2, "tenant_id": 3, "at": 1.5, "worker": "ü", "session_id": None,
        "user": "u", "key_id": 4, "model": "", "instance": "", "state": "", "body": b"{}",
    }  # fmt: skip
    head = bytes.fromhex("000000000000000200000000000000033ff8000000000000000000000000000401")
    head += b"".join(length.to_bytes(4, "big") for length in (1, 6, 2, 0, 1, 0, 0, 0))
    assert leaf_hash(columns) == hashlib.sha256(b"\x00" + head + b"tintent\xc3\xbcu{}").digest()
    assert leaf_hash({**columns, "session_id": ""}) != leaf_hash(columns)
    assert leaf_hash({**columns, "key_id": None}) != leaf_hash({**columns, "key_id": 0})


def test_it_folds_every_entry_once_in_the_order_of_writing(tree):
    tree.write(10)
    assert tree.fold() == 20
    assert tree.fold() == 0
    assert folded()[0] == expected(tree.path)
    tree.write(300)
    tree.write(1)
    assert tree.fold() == 602
    assert folded()[0] == expected(tree.path)


def test_it_fills_rows_up_to_256_leaves(tree):
    for _ in range(4):
        tree.write(50)
        tree.fold()
    with tree_database() as alias:
        counts = list(TreeRun.objects.using(alias).for_tenant(1).order_by("position").values_list("count", flat=True))
    assert counts == [256, 144]


def test_it_keeps_tenants_and_files_apart(tree):
    tree.write(10, tenants=3)
    tree.write(9, tenants=3, slot=2)
    tree.fold()
    tree.write(9, tenants=3)
    tree.fold()
    for tenant in (1, 2, 3):
        hashes, ids = folded(tenant)
        first, second = expected(tree.path, tenant), expected(slots.slot_path(tree.path, 2), tenant)
        assert [hash_ for hash_, number in zip(hashes, ids, strict=True) if number < 1 << 48] == first
        assert [hash_ for hash_, number in zip(hashes, ids, strict=True) if number > 1 << 48] == second
    assert tree.verify().holds


def test_it_has_no_tree_of_a_tenant_without_entries(tree):
    tree.write(2)
    tree.fold()
    assert folded(2) == ([], [])
    report = tree.verify(2)
    assert report.holds
    assert report.leaves == 0


def test_it_has_nothing_to_fold_in_an_empty_journal(tree):
    assert tree.fold() == 0
    assert tree.said == []
    assert tree.verify().holds


def test_it_folds_its_own_file_too(tree):
    """Records of changes are written there."""
    tree.fold()
    tree.write(2, slot=slots.SEQUENCER)
    assert tree.fold() == 4
    assert tree.verify().holds


def test_it_goes_back_to_the_tables_after_a_failure(tree, monkeypatch):
    tree.write(5)
    leader = lead()
    with leader, Sources() as sources:
        folder = Folder(leader.alias)
        folder.fold(sources.all())
        tree.write(5)
        with monkeypatch.context() as patch:
            patch.setattr(TreeHead, "objects", None)  # after the leaves were added in memory
            with pytest.raises(AttributeError):
                folder.fold(sources.all())
        assert folder.fold(sources.all()) == 10
    assert folded()[0] == expected(tree.path)
    assert tree.verify().holds


def test_it_writes_nothing_where_another_one_folded(tree):
    tree.write(5)
    leader = lead()
    with leader, Sources() as sources:
        one, other = Folder(leader.alias), Folder(leader.alias)
        one.fold(sources.all())
        other.fold(sources.all())
        tree.write(5)
        assert one.fold(sources.all()) == 10
        with pytest.raises((NotLeading, DatabaseError)):
            other.fold([Stale(sources.all()[0])])
    assert folded()[0] == expected(tree.path)


class Stale:
    """A source as somebody saw it who was not told."""

    def __init__(self, source):
        self._source, self.number = source, source.number

    def after(self, place):
        return self._source.after(Place(0, 10))


def test_it_marks_a_row_that_is_no_entry(tree):
    tree.write(3)
    before = expected(tree.path)
    tree.change("UPDATE compliance_auditentry SET kind = CAST(kind AS BLOB) WHERE id = 2")
    assert tree.fold() == 6
    after = folded()[0]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, *[True] * 4]
    assert len(tree.verify().findings) == 1


def test_it_reads_a_file_that_was_replaced(tree, tmp_path):
    tree.write(2)
    source = SqliteFile(0, tree.path)
    assert len(list(source.after(Place()))) == 4
    tree.path.rename(tmp_path / "old.sqlite3")
    with closing(sqlite3.connect(tree.path)) as copy, closing(sqlite3.connect(tmp_path / "old.sqlite3")) as old:
        old.backup(copy)
    tree.change("DELETE FROM compliance_auditentry WHERE id = 1")
    assert len(list(source.after(Place()))) == 3
    source.close()


def test_it_lets_one_lead_at_a_time(tree):
    with lead() as leader:
        assert leader.leads()
        assert lead() is None
    with lead() as leader:
        assert leader is not None


def test_its_place_is_kept(tree):
    tree.write(4)
    tree.fold()
    with tree_database() as alias:
        assert TreeCursor.objects.using(alias).get(source=0).entry_id == 8
