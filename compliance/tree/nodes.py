"""Nodes of a stored tree, and the proofs and positions that are made of them."""

from __future__ import annotations

from typing import Final

from compliance.database import first_file
from compliance.journal.reader import entries_of
from compliance.journal.sqlite import IDS_PER_SLOT_BITS
from compliance.models import Checkpoint, TreeNode, TreeRun
from compliance.tree.folding import HASH, ids_of
from compliance.tree.hashing import Frontier, node_hash
from compliance.tree.merkle import consistency_proof, inclusion_proof

STEP: Final = 8  # levels from one kept node to the next


class Nodes:
    """`nodes(level, index)`: the root of a complete subtree, from the leaves or the nodes that are kept. Raises
    LookupError: the tree has no such leaves."""

    def __init__(self, alias: str, tenant_id: int) -> None:
        self._alias = alias
        self._tenant_id = tenant_id
        self._known: dict[tuple[int, int], bytes] = {}

    def __call__(self, level: int, index: int) -> bytes:
        if level % STEP == 0 and level:
            return self._kept(level, index)
        below = level - level % STEP  # the level from which it is computed
        count = 1 << (level - below)
        start = index * count
        hashes = self._leaves(start, count) if below == 0 else [self._kept(below, start + i) for i in range(count)]
        while len(hashes) > 1:
            hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
        return hashes[0]

    def _kept(self, level: int, index: int) -> bytes:
        value = self._known.get((level, index))
        if value is None:
            start = index - index % 256
            rows = TreeNode.objects.using(self._alias).for_tenant(self._tenant_id)
            for node in rows.filter(level=level, index__gte=start, index__lt=start + 256):
                self._known[level, node.index] = bytes(node.hash)
            value = self._known.get((level, index))
            if value is None:
                raise LookupError(f"tenant {self._tenant_id} has no node {level}/{index}")
        return value

    def _leaves(self, start: int, count: int) -> list[bytes]:
        rows = TreeRun.objects.using(self._alias).for_tenant(self._tenant_id)
        runs = rows.filter(position__lt=start + count, position__gt=start - 256).order_by("position")
        found: dict[int, bytes] = {}
        for run in runs:
            hashes = bytes(run.hashes)
            for offset in range(run.count):
                found[run.position + offset] = hashes[offset * HASH : (offset + 1) * HASH]
        if any(position not in found for position in range(start, start + count)):
            raise LookupError(f"tenant {self._tenant_id} has no leaves from {start} to {start + count}")
        return [found[position] for position in range(start, start + count)]


def position_of(alias: str, tenant_id: int, entry_id: int) -> int | None:
    """Where the entry's leaf stands; None: it is not folded yet."""
    source = entry_id >> IDS_PER_SLOT_BITS if first_file() is not None else 0
    runs = TreeRun.objects.using(alias).for_tenant(tenant_id).filter(source=source)
    for run in runs.filter(first_id__lte=entry_id, last_id__gte=entry_id).order_by("-first_id"):
        ids = ids_of(run)
        if entry_id in ids:
            return run.position + ids.index(entry_id)
    return None


def inclusion_proofs(alias: str, tenant_id: int, turn_id: str) -> list[dict[str, object]]:
    """For every folded entry of the turn that a checkpoint covers: its position, its proof (hex, from the bottom) and
    the checkpoint's note. Raises django.db.Error."""
    newest = Checkpoint.objects.using(alias).for_tenant(tenant_id).order_by("-size").first()
    nodes = Nodes(alias, tenant_id)
    proofs: list[dict[str, object]] = []
    for entry in entries_of(tenant_id, turn_id):
        position = position_of(alias, tenant_id, entry.pk)
        if newest is not None and position is not None and position < newest.size:
            proof = [value.hex() for value in inclusion_proof(nodes, position, newest.size)]
            place = {"kind": entry.kind, "number": entry.number, "position": position}
            proofs.append({**place, "proof": proof, "checkpoint": newest.note})
    return proofs


def consistency(alias: str, tenant_id: int, old: int, new: int) -> list[str]:
    """The proof (hex) that the tree of size `new` begins with that of size `old`. Raises LookupError."""
    return [value.hex() for value in consistency_proof(Nodes(alias, tenant_id), old, new)]


def root_at(alias: str, tenant_id: int, size: int) -> bytes:
    """The root the tree had at this size. Raises LookupError."""
    tree = Frontier()
    nodes = Nodes(alias, tenant_id)
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            tree.append(nodes(level, tree.size >> level), level)
    return tree.root()
