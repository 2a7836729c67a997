"""Checkpoints: of every tree that grew and no other, outside before they count as published, never back in time."""

import json

import pytest
from django.core.files.storage import FileSystemStorage

from compliance.models import Checkpoint
from compliance.tree import nodes
from compliance.tree.checkpoints import AT_ONCE, Checkpointer, heads
from compliance.tree.database import tree_database
from compliance.tree.leading import lead
from compliance.tree.merkle import extends, includes
from compliance.tree.notes import Checkpoint as Signed
from tests.compliance.tree.trees import SIGNER


def signed(tree):
    return [Signed(json.loads(line)["note"], SIGNER.keys, json.loads(line)["tenant"]) for line in tree.said]


def test_it_signs_what_grew(tree):
    tree.write(4, tenants=2)
    tree.fold()
    tree.write(1)
    tree.fold()
    tree.fold()
    assert [(json.loads(line)["tenant"], json.loads(line)["checkpoint"]) for line in tree.said] == [
        (1, 4), (2, 4), (1, 6),
    ]  # fmt: skip
    with tree_database() as alias:
        assert [nodes.root_at(alias, 1, size) for size in (4, 6)] == [signed(tree)[0].root, signed(tree)[2].root]
        assert [head["checkpoint"] for head in heads(1, alias)] == [6, 4]
        assert heads(3, alias) == []


def test_it_writes_each_to_object_storage_once(tree):
    tree.write(1)
    tree.fold()
    assert tree.storage.listdir("checkpoints")[0] == ["1"]
    with tree.storage.open("checkpoints/1/000000000000002.json") as file:
        assert json.load(file) == json.loads(tree.said[0])


class Away(FileSystemStorage):
    def _save(self, name, content):
        raise OSError("no bucket")


def test_it_publishes_later_what_storage_did_not_take(tree):
    """Also what a killed sequencer had signed and not published."""
    tree.write(1)
    tree.fold(sign=False)
    with lead() as leader:
        with pytest.raises(OSError, match="no bucket"):
            Checkpointer(leader.alias, SIGNER, Away(location=tree.storage.location), tree.said.append).work()
        assert not Checkpoint.objects.using(leader.alias).for_tenant(1).get().published
        Checkpointer(leader.alias, SIGNER, tree.storage, tree.said.append).work()
        assert Checkpoint.objects.using(leader.alias).for_tenant(1).get().published
    assert tree.said[0] == tree.said[1]
    assert tree.storage.exists("checkpoints/1/000000000000002.json")


def test_it_goes_on_when_the_clock_goes_back(tree):
    for now in (1000.0, 400.0, 2000.0):
        tree.now = lambda now=now: now
        tree.write(1)
        tree.fold()
    assert [one.time for one in signed(tree)] == [1000.0, 1000.0, 2000.0]
    assert tree.verify().holds


def test_it_signs_many_tenants_in_parts(tree):
    tree.write(AT_ONCE + 10, tenants=AT_ONCE + 10)
    tree.fold()
    assert len(tree.said) == AT_ONCE + 10
    assert tree.verify().holds


def test_it_proves_entries_and_growth(tree):
    tree.write(70)
    tree.fold()
    tree.write(400)
    tree.fold()
    one, other = signed(tree)
    ((turn_id,),) = tree.rows("SELECT turn_id FROM compliance_auditentry WHERE id = 333")
    with tree_database() as alias:
        proofs = nodes.inclusion_proofs(alias, 1, turn_id)
        leaves = {proof["position"]: nodes.Nodes(alias, 1)(0, proof["position"]) for proof in proofs}
        proof = [bytes.fromhex(value) for value in nodes.consistency(alias, 1, one.size, other.size)]
        assert nodes.inclusion_proofs(alias, 2, turn_id) == []
        with pytest.raises(LookupError):
            nodes.root_at(alias, 1, other.size + 256)
        with pytest.raises(LookupError):
            nodes.root_at(alias, 1, other.size + 1)
    assert [(proof["kind"], proof["position"]) for proof in proofs] == [("intent", 332), ("completion", 333)]
    for found in proofs:
        path = [bytes.fromhex(value) for value in found["proof"]]
        assert includes(leaves[found["position"]], found["position"], other.size, path, other.root)
    assert extends(one.size, other.size, one.root, other.root, proof)
