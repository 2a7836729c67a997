"""Verifies the live journal: rows against leaves, leaves against signed roots. The finding names place and turn."""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.core.files.storage import Storage
from django.db import connections, transaction

from compliance.models import PruneStatement, TreeCursor, TreeRun
from compliance.tree.database import tree_database
from compliance.tree.folding import HASH, ids_of
from compliance.tree.hashing import Broken
from compliance.tree.leaves import is_entry, leaves
from compliance.tree.notes import Allowed, Keys, Pruned
from compliance.tree.roots import check_roots
from compliance.tree.sources import Place, Source, Sources

KEPT: Final = 1000  # findings that are kept in words
ASKED: Final = 500
_NEVER: Final = 1 << 63


class Report:
    """What was looked at and what is wrong. `pending`: entries the sequencer has not folded yet."""

    def __init__(self) -> None:
        self.entries = 0
        self.pending = 0
        self.removed = 0
        self.leaves = 0
        self.checkpoints = 0
        self.oldest_pending: float | None = None
        self.findings: list[str] = []
        self.broken = 0

    @property
    def holds(self) -> bool:
        return not self.broken

    def find(self, words: str) -> None:
        self.broken += 1
        if len(self.findings) < KEPT:
            self.findings.append(words)


def verify(keys: Keys, storage: Storage, tenant_id: int | None = None) -> Report:
    """Everything, or one tenant's. Raises django.db.Error, sqlite3.Error, OSError: it cannot be read."""
    report = Report()
    missing: list[tuple[int, int, int]] = []
    with tree_database() as alias, Sources() as sources:
        with one_state(alias):
            places = {row.source: Place(row.xid, row.entry_id) for row in TreeCursor.objects.using(alias).all()}
            for source in sources.all():
                missing += _Comparison(report, alias, source, places.get(source.number, Place()), tenant_id).run()
            known = {source.number for source in sources.all()}
            # of runs too: else who rewrites a run's source hides that its entries are gone
            for number in sorted({*places, *_run_sources(alias, tenant_id)} - known):
                report.find(f"the journal's file {number} is gone")
                lost = _runs(alias, number, tenant_id)
                missing += [(run.tenant_id, run.position + i, 0) for run in lost for i in range(run.count)]
            check_roots(report, alias, keys, storage, tenant_id)
        # asked last: what retention removed meanwhile has its statement by now
        allowed = allowed_by_statements(alias, keys, report, tenant_id)
    for tenant, position, number in missing:
        if tenant in allowed and allowed[tenant].covers(position):
            report.removed += 1
        else:
            report.find(f"tenant {tenant}, position {position}: the entry {number} is missing")
    return report


@contextmanager
def one_state(alias: str) -> Iterator[None]:
    """A transaction in which everything is read as it was at its beginning."""
    with transaction.atomic(using=alias):
        if connections[alias].vendor == "postgresql":
            with connections[alias].cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def allowed_by_statements(
    alias: str, keys: Keys, report: Report | None = None, tenant_id: int | None = None
) -> dict[int, Allowed]:
    """The positions whose entries retention has removed, by tenant; what nobody signed allows nothing."""
    allowed: dict[int, Allowed] = {}
    for statement in _of(PruneStatement.objects.using(alias), tenant_id).order_by("id").iterator():
        try:
            pruned = Pruned(statement.note, keys, statement.tenant_id)
        except Broken as error:
            if report is not None:
                report.find(f"tenant {statement.tenant_id}: the statement {statement.pk} of removed entries {error}")
        else:
            allowed.setdefault(statement.tenant_id, Allowed()).add(pruned.ranges)
    return allowed


def _of(manager, tenant_id: int | None):  # type: ignore[no-untyped-def]  # a manager of any model
    return manager.everywhere() if tenant_id is None else manager.for_tenant(tenant_id)


def _run_sources(alias: str, tenant_id: int | None) -> set[int]:
    """The files that leaves say their entries are in."""
    return set(_of(TreeRun.objects.using(alias), tenant_id).order_by().values_list("source", flat=True).distinct())


def _runs(alias: str, source: int, tenant_id: int | None) -> Iterator[TreeRun]:
    runs = _of(TreeRun.objects.using(alias), tenant_id).filter(source=source)
    return iter(runs.order_by("first_id").iterator(chunk_size=200))


class _Comparison:
    """The entries of a source and its leaves, both in the order of ids: a merge in constant memory."""

    def __init__(self, report: Report, alias: str, source: Source, place: Place, tenant_id: int | None) -> None:
        self._report = report
        self._alias = alias
        self._source = source
        self._place = place
        self._tenant_id = tenant_id
        self._expected: dict[int, bytes] = {}
        self._times: dict[int, float] = {}
        self._active: list[tuple[int, int, TreeRun, list[int]]] = []
        self._unknown: dict[int, tuple[int, float]] = {}
        self._missing: list[tuple[int, int, int]] = []

    def run(self) -> list[tuple[int, int, int]]:
        """The leaves without an entry, as (tenant, position, id)."""
        runs = _runs(self._alias, self._source.number, self._tenant_id)
        coming = next(runs, None)
        begins = coming.first_id if coming is not None else _NEVER
        expected, times, count, highest = self._expected, self._times, 0, None
        pop = expected.pop
        for number, tenant_id, at, leaf in leaves(self._source.entries(self._tenant_id)):
            while number >= begins and coming is not None:
                self._expect(coming)
                coming = next(runs, None)
                begins = coming.first_id if coming is not None else _NEVER
                while self._active and self._active[0][0] < number:
                    self._finish(*heapq.heappop(self._active)[2:])
            count += 1
            wanted = pop(number, None)
            if wanted == leaf:
                highest = number
                times[number] = at
            elif wanted is not None:
                self._altered(number)
            else:
                self._stranger(number, tenant_id, at)
        while coming is not None:
            self._expect(coming)
            coming = next(runs, None)
            while self._active and coming is not None and self._active[0][0] < coming.first_id:
                self._finish(*heapq.heappop(self._active)[2:])
        for _, _, run, ids in self._active:
            self._finish(run, ids)
        self._ask()
        if highest is not None and self._source.behind(self._place, [highest]):
            self._report.find(f"the place in the journal's file {self._source.number} lies before what has leaves")
        self._report.entries += count
        return self._missing

    def _expect(self, run: TreeRun) -> None:
        hashes = bytes(run.hashes)
        try:
            ids = ids_of(run)
        except struct.error:
            ids = []
        if not len(ids) * HASH == len(hashes) == run.count * HASH:
            self._report.find(f"tenant {run.tenant_id}, position {run.position}: the leaves cannot be read")
            return
        before = len(self._expected)
        self._expected.update(zip(ids, [hashes[i : i + HASH] for i in range(0, len(hashes), HASH)], strict=True))
        if len(self._expected) != before + len(ids):
            self._report.find(f"tenant {run.tenant_id}, position {run.position}: an entry has two leaves")
        heapq.heappush(self._active, (max(ids), run.pk, run, ids))

    def _finish(self, run: TreeRun, ids: list[int]) -> None:
        for offset, number in enumerate(ids):
            if self._expected.pop(number, None) is not None:
                self._missing.append((run.tenant_id, run.position + offset, number))
        times = [self._times.pop(number) for number in ids if number in self._times]
        if times and not run.first_at <= min(times) <= max(times) <= run.last_at:
            # an export of a time, and retention, would pass these entries by
            self._report.find(f"tenant {run.tenant_id}, position {run.position}: the times of its entries were altered")

    def _altered(self, number: int) -> None:
        where = next(((run, ids.index(number)) for *_, run, ids in self._active if number in ids), None)
        place = f"tenant {where[0].tenant_id}, position {where[0].position + where[1]}" if where else "no position"
        self._report.find(f"{place}: the entry {number}{self._told(number)} was altered")

    def _stranger(self, number: int, tenant_id: int, at: float) -> None:
        self._unknown[number] = tenant_id, at
        if len(self._unknown) >= ASKED:
            self._ask()

    def _ask(self) -> None:
        """What has no leaf is new, or was put in where the sequencer had been already."""
        pending = self._source.behind(self._place, list(self._unknown))
        for number, (tenant_id, at) in self._unknown.items():
            if number in pending:
                self._report.pending += 1
                self._report.oldest_pending = min(at, self._report.oldest_pending or at)
            else:
                told = self._told(number)
                self._report.find(f"tenant {tenant_id}, no position: the entry {number}{told} was put in later")
        self._unknown.clear()

    def _told(self, number: int) -> str:
        rows = self._source.of_ids([number])
        if not rows or not is_entry(rows[0]):
            return ""
        turn, kind = (bytes(text).decode(errors="replace") for text in rows[0][1:3])
        return f", {kind} of turn {turn},"
