"""Leaves against roots: every tenant's tree is built anew from its leaves and compared with what was signed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from django.core.files.storage import Storage

from compliance.models import Checkpoint, TreeHead, TreeNode, TreeRun
from compliance.tree import notes
from compliance.tree.checkpoints import FOLDER
from compliance.tree.folding import HASH
from compliance.tree.hashing import Broken, Frontier
from compliance.tree.notes import Keys, Unreadable
from compliance.tree.verifier import note_of


class Findings(Protocol):
    leaves: int
    checkpoints: int

    def find(self, words: str) -> None: ...


def check_roots(report: Findings, alias: str, keys: Keys, storage: Storage, tenant_id: int | None) -> None:
    """Raises django.db.Error, OSError."""
    stored = _tenants_in(storage)
    if tenant_id is None:
        tables = (TreeHead, TreeRun, Checkpoint)
        named = [table.objects.using(alias).everywhere().values_list("tenant_id", flat=True) for table in tables]
        tenants = sorted({*stored, *(tenant for rows in named for tenant in rows.distinct())})
    else:
        tenants = [tenant_id]
    for tenant in tenants:
        wanted = _Wanted(report, keys, tenant)
        rows = Checkpoint.objects.using(alias).for_tenant(tenant).order_by("size")
        for row in rows.iterator():
            wanted.add(row.note, "in the table")
        for name in _objects(storage, tenant) if tenant in stored else ():
            with storage.open(name) as file:
                wanted.add(file.read().decode(errors="replace"), f"in object storage ({name})")
        _check(report, alias, tenant, wanted)


class _Wanted:
    """The roots that were signed, by size."""

    def __init__(self, report: Findings, keys: Keys, tenant_id: int) -> None:
        self._report = report
        self._keys = keys
        self._tenant_id = tenant_id
        self._roots: dict[int, list[tuple[bytes, str]]] = {}
        self._texts: set[str] = set()

    def add(self, text: str, where: str) -> None:
        try:
            note = note_of(text)
            if note not in self._texts:  # the same one, from another place: one signature to check
                checkpoint = notes.Checkpoint(note, self._keys, self._tenant_id)
                self._texts.add(note)
                self._roots.setdefault(checkpoint.size, []).append((checkpoint.root, where))
                self._report.checkpoints += 1
        except (Broken, Unreadable) as error:
            self._report.find(f"tenant {self._tenant_id}: a checkpoint {where} {error}")

    def sizes(self) -> list[int]:
        return sorted(self._roots)

    def compare(self, tree: Frontier) -> None:
        for root, where in self._roots.get(tree.size, ()):
            if tree.root() != root:
                self._report.find(
                    f"tenant {self._tenant_id}: another root than the checkpoint of size {tree.size} {where}: "
                    "leaves before it were altered"
                )

    def beyond(self, size: int) -> None:
        for wanted in self.sizes():
            if wanted > size:
                for _, where in self._roots[wanted]:
                    self._report.find(
                        f"tenant {self._tenant_id}: the tree ends at {size}, the checkpoint of size {wanted} {where} "
                        "was signed before: its end was cut off"
                    )


class _Rebuilt(Frontier):
    def __init__(self) -> None:
        super().__init__()
        self.nodes: dict[tuple[int, int], bytes] = {}

    def completed(self, level: int, index: int, value: bytes) -> None:
        self.nodes[level, index] = value


def _check(report: Findings, alias: str, tenant_id: int, wanted: _Wanted) -> None:
    tree = _Rebuilt()
    stops = [size for size in wanted.sizes() if size > 0]
    wanted.compare(tree)
    runs = TreeRun.objects.using(alias).for_tenant(tenant_id).order_by("position")
    for run in runs.iterator(chunk_size=200):
        hashes = bytes(run.hashes)
        if run.position != tree.size or len(hashes) != run.count * HASH:
            report.find(f"tenant {tenant_id}: leaves from {run.position} where those from {tree.size} should be")
            return
        while stops and stops[0] <= run.position + run.count:
            cut = (stops.pop(0) - tree.size) * HASH
            tree.extend(hashes[:cut])
            hashes = hashes[cut:]
            wanted.compare(tree)
        tree.extend(hashes)
    report.leaves += tree.size
    wanted.beyond(tree.size)
    head = TreeHead.objects.using(alias).for_tenant(tenant_id).first()
    if (head.size if head else 0) != tree.size or (head is not None and bytes(head.frontier) != b"".join(tree.hashes)):
        report.find(f"tenant {tenant_id}: the head does not fit its {tree.size} leaves")
    nodes = TreeNode.objects.using(alias).for_tenant(tenant_id)
    kept = {(node.level, node.index): bytes(node.hash) for node in nodes.iterator()}
    if kept != tree.nodes:
        report.find(f"tenant {tenant_id}: the inner nodes do not fit the leaves")


def _tenants_in(storage: Storage) -> set[int]:
    return {int(name) for name in _listed(storage, FOLDER, folders=True) if name.isdigit()}


def _objects(storage: Storage, tenant_id: int) -> Iterable[str]:
    folder = f"{FOLDER}/{tenant_id}"
    return [f"{folder}/{name}" for name in sorted(_listed(storage, folder, folders=False)) if name.endswith(".json")]


def _listed(storage: Storage, folder: str, *, folders: bool) -> list[str]:
    try:
        return list(storage.listdir(folder)[0 if folders else 1])
    except FileNotFoundError:
        return []
