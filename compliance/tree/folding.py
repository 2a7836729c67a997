"""Entries become leaves, in the order they were committed in; leaves, tree and place in one transaction.

Where there are several files, what one process stored before another began something has its leaf before it, as the
turns of a session need that several processes answered: files are merged by the times of their entries, and what is
newer than the beginning of a round waits for the next. For if an entry was durable before another's time, and that time
is before the round began, then whoever looks into the first file during the round finds the entry there."""

from __future__ import annotations

import heapq
import logging
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from operator import itemgetter
from typing import Final

from django.db import transaction

from compliance.models import TreeCursor, TreeHead, TreeNode, TreeRun
from compliance.tree.hashing import Frontier
from compliance.tree.leaves import Columns, leaves
from compliance.tree.sources import Place, Source

log = logging.getLogger(__name__)

BATCH_ROWS: Final = 4000
BATCH_BYTES: Final = 32 << 20
RUN: Final = 256  # leaves of a row at most
HASH: Final = 32
KEPT: Final = 1000  # trees kept in memory between two batches
CLOCK_BACK: Final = 60.0  # seconds: what seems to be from later than this was written before a clock was put back
_FARTHEST: Final = 1 << 32

# Of one entry: the time it counts from, its file's number, the place behind it, and itself.
_Ordered = tuple[float, int, Place, Columns]


class NotLeading(RuntimeError):
    """Another process has folded meanwhile: nothing was written."""


class Folder:
    """Folds into the tables of `alias`, whose only writer it is."""

    def __init__(self, alias: str, *, now: Callable[[], float] = time.time) -> None:
        self._alias = alias
        self._now = now
        self._trees: dict[int, _Tree] = {}
        self._places: dict[int, Place] = {}

    def fold(self, sources: Sequence[Source]) -> int:
        """Folds at most one batch; how many entries. Raises django.db.Error, sqlite3.Error."""
        before = self._now() if len(sources) > 1 else float("inf")
        with ExitStack() as stack:
            streams = []
            for source in sources:
                rows = stack.enter_context(closing(source.after(self._place(source.number))))  # type: ignore[type-var]
                streams.append(_ordered(source.number, rows, before))
            merged = heapq.merge(*streams, key=itemgetter(0)) if len(streams) > 1 else iter(*streams or ((),))
            batch = list(_batch(merged))
        if not batch:
            return 0
        trees: dict[int, _Tree] = {}
        try:
            with transaction.atomic(using=self._alias):
                found = leaves(row for *_, row in batch)
                for (_, source_number, *_), (number, tenant_id, at, leaf) in zip(batch, found, strict=True):
                    tree = trees.get(tenant_id)
                    if tree is None:
                        tree = trees[tenant_id] = self._trees.get(tenant_id) or _Tree(tenant_id, self._alias)
                    tree.add(source_number, number, at, leaf)
                ends = {number: place for _, number, place, _ in batch}
                for number, place in ends.items():
                    self._move(number, self._place(number), place)
                for tree in trees.values():
                    tree.save()
        except BaseException:
            self._trees.clear()  # what is in memory may be ahead of the tables
            self._places.clear()
            raise
        if len(self._trees) >= KEPT:
            self._trees.clear()
        self._trees.update(trees)
        self._places.update(ends)
        return len(batch)

    def _place(self, number: int) -> Place:
        place = self._places.get(number)
        if place is None:
            saved = TreeCursor.objects.using(self._alias).filter(source=number).first()
            place = self._places[number] = Place(saved.xid, saved.entry_id) if saved else Place()
        return place

    def _move(self, number: int, old: Place, new: Place) -> None:
        """Only from where this process left it: whoever believes to lead but does not ends here."""
        cursors = TreeCursor.objects.using(self._alias)
        values = {"xid": new.xid, "entry_id": new.entry_id}
        if old == Place():
            cursors.get_or_create(source=number)
        if cursors.filter(source=number, xid=old.xid, entry_id=old.entry_id).update(**values) != 1:
            raise NotLeading(f"the journal's file {number} was folded by another process")


def _ordered(number: int, rows: Iterator[tuple[Place, Columns]], before: float) -> Iterator[_Ordered]:
    """In the order they have in their file, whatever their clocks said."""
    latest = float("-inf")
    for place, row in rows:
        at = row[5]
        if isinstance(at, float) and at > latest:
            if before < at <= before + CLOCK_BACK:
                return
            latest = at
        yield latest, number, place, row


def _batch(rows: Iterator[_Ordered]) -> Iterator[_Ordered]:
    size = 0
    for each in islice(rows, BATCH_ROWS):
        yield each
        body = each[-1][-1]
        size += len(body) if isinstance(body, (bytes, bytearray)) else 0
        if size > BATCH_BYTES:
            return


class _Tree(Frontier):
    """A tenant's tree as it is in the tables, and what was added since."""

    def __init__(self, tenant_id: int, alias: str) -> None:
        self.tenant_id = tenant_id
        self._alias = alias
        head = TreeHead.objects.using(alias).filter(tenant_id=tenant_id).first()
        super().__init__(head.size if head else 0, _cut(bytes(head.frontier)) if head else ())
        last = TreeRun.objects.using(alias).filter(tenant_id=tenant_id).order_by("-position").first()
        self._new = head is None
        self._saved_size = self.size
        self._run = _Run.read(last) if last is not None else None
        self._runs: list[_Run] = []
        self._nodes: list[TreeNode] = []

    def add(self, source: int, number: int, at: float, leaf: bytes) -> None:
        run = self._run
        if run is None or not run.takes(source, number):
            run = self._run = _Run(source, self.size)
        if not run.changed:
            run.changed = True
            self._runs.append(run)
        run.add(number, at, leaf)
        self.append(leaf)

    def completed(self, level: int, index: int, value: bytes) -> None:
        self._nodes.append(TreeNode(tenant_id=self.tenant_id, level=level, index=index, hash=value))

    def save(self) -> None:
        """Raises NotLeading: another process added leaves."""
        heads = TreeHead.objects.using(self._alias)
        frontier = b"".join(self.hashes)
        if self._new:
            heads.create(tenant_id=self.tenant_id, size=self.size, frontier=frontier)
        else:
            unchanged = heads.filter(tenant_id=self.tenant_id, size=self._saved_size)
            if unchanged.update(size=self.size, frontier=frontier) != 1:
                raise NotLeading(f"the tree of tenant {self.tenant_id} was changed by another process")
        rows = [run.row(self.tenant_id) for run in self._runs]
        for row in rows:
            if row.pk is not None:
                row.save(using=self._alias, force_update=True)
        made = TreeRun.objects.using(self._alias).bulk_create([row for row in rows if row.pk is None])
        if self._run is not None and made and self._run.pk is None:
            self._run.pk = made[-1].pk
        TreeNode.objects.using(self._alias).bulk_create(self._nodes)
        for run in self._runs:
            run.changed = False
        self._new, self._saved_size, self._runs, self._nodes = False, self.size, [], []


class _Run:
    def __init__(self, source: int, position: int) -> None:
        self.pk: int | None = None
        self.changed = False
        self.source = source
        self.position = position
        self.ids: list[int] = []
        self.hashes = bytearray()
        self.first = self.last = 0
        self.first_at = self.last_at = 0.0

    @classmethod
    def read(cls, row: TreeRun) -> _Run:
        run = cls(row.source, row.position)
        run.pk = row.pk
        run.ids = ids_of(row)
        run.first, run.last, run.first_at, run.last_at = row.first_id, row.last_id, row.first_at, row.last_at
        run.hashes = bytearray(row.hashes)
        return run

    def takes(self, source: int, number: int) -> bool:
        if source != self.source or len(self.ids) >= RUN:
            return False
        return max(self.last, number) - min(self.first, number) < _FARTHEST

    def add(self, number: int, at: float, leaf: bytes) -> None:
        if self.ids:
            self.first, self.last = min(self.first, number), max(self.last, number)
            self.first_at, self.last_at = min(self.first_at, at), max(self.last_at, at)
        else:
            self.first = self.last = number
            self.first_at = self.last_at = at
        self.ids.append(number)
        self.hashes += leaf

    def row(self, tenant_id: int) -> TreeRun:
        return TreeRun(
            pk=self.pk,
            tenant_id=tenant_id,
            position=self.position,
            count=len(self.ids),
            source=self.source,
            first_id=self.first,
            last_id=self.last,
            first_at=self.first_at,
            last_at=self.last_at,
            hashes=bytes(self.hashes),
            offsets=struct.pack(f">{len(self.ids)}I", *(number - self.first for number in self.ids)),
        )


def ids_of(run: TreeRun) -> list[int]:
    """The ids of the run's entries, in the order of its leaves. Raises struct.error."""
    return [run.first_id + offset for offset in struct.unpack(f">{run.count}I", bytes(run.offsets))]


def _cut(hashes: bytes) -> list[bytes]:
    return [hashes[start : start + HASH] for start in range(0, len(hashes), HASH)]
