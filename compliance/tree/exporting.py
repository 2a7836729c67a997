"""A part of a tenant's journal as JSON Lines that verify against a signed checkpoint; `verifier` tells the form."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.db.models import Max, Min

from compliance.models import Checkpoint, PruneStatement, TreeRun
from compliance.tree.folding import HASH, ids_of
from compliance.tree.hashing import subtrees
from compliance.tree.leaves import READ, Columns
from compliance.tree.nodes import Nodes
from compliance.tree.sources import Source, Sources
from compliance.tree.verifier import FORM

PART: Final = 16  # runs whose entries are read at once


class NothingSigned(LookupError):
    """The tenant has no checkpoint, or none that covers the range."""


def positions(alias: str, tenant_id: int, start: float | None, end: float | None) -> tuple[int, int]:
    """Where the entries of a time (Unix seconds, `end` excluded) stand: the narrowest range that has all of them, and
    so some others of the seconds around it. (0, 0): there are none."""
    runs = TreeRun.objects.using(alias).for_tenant(tenant_id)
    if start is not None:
        runs = runs.filter(last_at__gte=start)
    if end is not None:
        runs = runs.filter(first_at__lt=end)
    found = runs.aggregate(first=Min("position"), last=Max("position"))
    if found["first"] is None:
        return 0, 0
    last = TreeRun.objects.using(alias).for_tenant(tenant_id).get(position=found["last"])
    return found["first"], last.position + last.count


def signed_size(alias: str, tenant_id: int) -> int:
    """Of the newest checkpoint; 0: there is none."""
    newest = Checkpoint.objects.using(alias).for_tenant(tenant_id).order_by("-size").first()
    return newest.size if newest is not None else 0


def export(alias: str, tenant_id: int, first: int = 0, end: int | None = None) -> Iterator[str]:
    """The lines, without their ends, in constant memory. `end` None: up to the newest checkpoint.

    `alias` is that of `tree_database()`. Raises NothingSigned before the first line, ValueError: no such range."""
    checkpoints = Checkpoint.objects.using(alias).for_tenant(tenant_id)
    newest = checkpoints.order_by("-size").first()
    if newest is None:
        raise NothingSigned(f"tenant {tenant_id} has no checkpoint yet")
    end = newest.size if end is None else end
    if not 0 <= first <= end:
        raise ValueError(f"{first} to {end} is no range of positions")
    signed = checkpoints.filter(size__gte=max(end, 1)).order_by("size").first()
    if signed is None:
        raise NothingSigned(f"no checkpoint of tenant {tenant_id} covers position {end - 1} yet")
    notes = [signed.note] if signed.size == newest.size else [signed.note, newest.note]
    header = {"form": FORM, "tenant": tenant_id, "first": first, "end": end, "checkpoints": notes}
    yield json.dumps(header)
    yield from _body(alias, tenant_id, first, end, [signed.size, newest.size])


def _body(alias: str, tenant_id: int, first: int, end: int, sizes: Sequence[int]) -> Iterator[str]:
    statements = _Statements(alias, tenant_id)
    nodes = Nodes(alias, tenant_id)
    yield from _gaps(nodes, 0, first)
    with Sources() as sources:
        by_number = {source.number: source for source in sources.all()}
        for part in _parts(alias, tenant_id, first, end):
            rows = _rows(by_number, part)
            yield from statements.new()  # after the rows: whatever is missing by now has its statement
            yield from _entries(rows, part, first, end)
    start = end
    for size in sizes:  # a gap ends where a checkpoint does, so that it can be compared
        yield from _gaps(nodes, start, size)
        start = max(start, size)


class _Statements:
    """What retention removed of the tenant, each statement once."""

    def __init__(self, alias: str, tenant_id: int) -> None:
        self._rows = PruneStatement.objects.using(alias).for_tenant(tenant_id).order_by("pk")
        self._last = 0

    def new(self) -> Iterator[str]:
        for statement in self._rows.filter(pk__gt=self._last).iterator():
            self._last = statement.pk
            yield json.dumps({"pruned": statement.note})


def _parts(alias: str, tenant_id: int, first: int, end: int) -> Iterator[list[TreeRun]]:
    """The runs of the range, some at a time: a query left open would go on seeing what was there at its beginning."""
    runs = TreeRun.objects.using(alias).for_tenant(tenant_id).filter(position__lt=end).order_by("position")
    behind = first - 256
    while part := list(runs.filter(position__gt=behind)[:PART]):
        behind = part[-1].position
        yield part


def _gaps(nodes: Nodes, start: int, end: int) -> Iterator[str]:
    if start < end:
        hashes = [b64encode(nodes(level, index)).decode() for level, index in subtrees(start, end)]
        yield json.dumps({"gap": [start, end], "hashes": hashes})


def _rows(sources: dict[int, Source], runs: Sequence[TreeRun]) -> dict[int, dict[int, Columns]]:
    """The entries of the runs that are there, by source and id."""
    ids: dict[int, list[int]] = {}
    for run in runs:
        ids.setdefault(run.source, []).extend(ids_of(run))
    return {n: {row[0]: row for row in sources[n].of_ids(some)} for n, some in ids.items() if n in sources}


def _entries(rows: dict[int, dict[int, Columns]], runs: Sequence[TreeRun], first: int, end: int) -> Iterator[str]:
    for run in runs:
        hashes = bytes(run.hashes)
        for offset, number in enumerate(ids_of(run)):
            position = run.position + offset
            if not first <= position < end:
                continue
            leaf = b64encode(hashes[offset * HASH : (offset + 1) * HASH]).decode()
            row = rows.get(run.source, {}).get(number)
            if row is None:
                yield json.dumps({"gap": [position, position + 1], "hashes": [leaf]})
            else:
                yield json.dumps({"position": position, "leaf": leaf, **_columns(row)})


def _columns(row: Columns) -> dict[str, Any]:
    columns: dict[str, Any] = dict(zip(READ[1:-1], row[1:-1], strict=True))
    for name, value in columns.items():
        if isinstance(value, (bytes, bytearray)):
            columns[name] = value.decode(errors="surrogateescape")
    body = row[-1]
    columns["body"] = b64encode(body if isinstance(body, bytes) else str(body).encode()).decode()
    return columns
