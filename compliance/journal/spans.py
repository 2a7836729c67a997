"""Reads all turns of a tenant in a span of time: in order, a chunk at a time, decoding only what the caller names.

Turn ids begin with their time in milliseconds (`engine.turn.new_turn_id`), so a span of time is a span of ids, and the
index over a tenant's intents has them in order. The functions block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec
from django.db import connections

from compliance.database import ALIAS
from compliance.journal.union import see_all_slots
from compliance.models.journal import AuditEntry, JournalQuerySet
from compliance.sealing.opening import Opened, Opener

I = TypeVar("I", bound=msgspec.Struct)  # noqa: E741  # intent and completion
C = TypeVar("C", bound=msgspec.Struct)

_READ: Final = ("turn_id", "kind", "number", "tenant_id", "body")

CHUNK: Final = 500  # turns in memory; a query for each kind of entry


def count(tenant_id: int, since: float, until: float) -> int:
    """How many turns began from `since` to before `until` (Unix seconds)."""
    return _intents(tenant_id, first_id(since), first_id(until)).count()


def turns(
    tenant_id: int, since: float, until: float, *, intent: type[I], completion: type[C]
) -> Iterator[tuple[I | None, C | None]]:
    """The turns that began from `since` to before `until`, oldest first, as these structs: they name the fields to be
    decoded. An intent that cannot be decoded as that, or was erased, is None, so is the completion of a turn that has
    none."""
    opener = Opener()
    read_intent, read_completion = msgspec.json.Decoder(intent), msgspec.json.Decoder(completion)
    start, end = first_id(since), first_id(until)
    while found := list(_intents(tenant_id, start, end)[:CHUNK]):
        ends = _completions(tenant_id, [entry.turn_id for entry in found])
        bodies = opener.open([*found, *ends.values()])
        told = dict(zip(ends, bodies[len(found) :], strict=True))
        for entry, body in zip(found, bodies, strict=False):
            yield _decoded(read_intent, body), _decoded(read_completion, told.get(entry.turn_id))
        if len(found) < CHUNK:
            return
        start = f"{found[-1].turn_id}0"  # the next thing after this id


def first_id(moment: float) -> str:
    """No turn that began at or after this time (Unix seconds) has a smaller id."""
    return f"{max(int(moment * 1000), 0):012x}"


def _intents(tenant_id: int, start: str, end: str) -> JournalQuerySet:
    see_all_slots(connections[ALIAS])
    mine = AuditEntry.objects.for_tenant(tenant_id).filter(kind=AuditEntry.Kind.INTENT)
    return mine.filter(turn_id__gte=start, turn_id__lt=end).only(*_READ).order_by("turn_id")


def _completions(tenant_id: int, turn_ids: list[str]) -> dict[str, AuditEntry]:
    mine = AuditEntry.objects.for_tenant(tenant_id).filter(kind=AuditEntry.Kind.COMPLETION, turn_id__in=turn_ids)
    return {entry.turn_id: entry for entry in mine.only(*_READ).order_by()}


def _decoded(decoder: msgspec.json.Decoder[C], body: Opened | None) -> C | None:
    if body is None or not body.text:
        return None
    try:
        return decoder.decode(body.json)
    except msgspec.MsgspecError:
        return None
