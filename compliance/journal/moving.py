"""Brings changes of configuration from the outbox in the default database into the journal: the sequencer's duty."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from compliance.changes import PLATFORM
from compliance.journal import reader
from compliance.journal.records import ENCODING_ERRORS, Row, change_row
from compliance.journal.store import RecordRefused
from compliance.models import AuditEntry, ChangeRecord
from compliance.sealing.splitting import session_row
from engine.entries import Change, SessionEntry

log = logging.getLogger(__name__)

MOST: Final = 256  # records a call

Append = Callable[[Sequence[Row]], None]


def move_changes(append: Append, worker: str, knows: Callable[[int], bool] = lambda tenant_id: True) -> int:
    """Brings the oldest records into the journal, at most `MOST`; how many it was rid of. `append` stores rows in one
    transaction and is durable when it returns (`Store.append`). One process at a time may call this. Each record
    becomes one entry, whenever the process dies: what is in the journal already is only taken out of the outbox.
    What befell a tenant that `knows` says no to (it is gone, and its key with it) is journalled as the platform's.

    Blocking. Raises store.StoreAway, django.db.DatabaseError: nothing is lost, the next call goes on."""
    records = list(ChangeRecord.objects.everywhere().order_by("id")[:MOST])
    if not records:
        return 0
    there = _there([record.id for record in records])
    missing = [record for record in records if record.id not in there]
    if missing:
        _append([_housed(record, knows) for record in missing], append, worker)
    return ChangeRecord.objects.everywhere().filter(id__in=[record.id for record in records]).moved()


def _housed(record: ChangeRecord, knows: Callable[[int], bool]) -> ChangeRecord:
    if not knows(record.tenant_id):
        record.tenant_id = PLATFORM
    return record


def _there(ids: Sequence[str]) -> set[str]:
    kinds = (AuditEntry.Kind.CHANGE, AuditEntry.Kind.SESSION)
    found = reader.entries().everywhere().filter(turn_id__in=ids, kind__in=kinds)
    return set(found.order_by().values_list("turn_id", flat=True))


def _append(records: Sequence[ChangeRecord], append: Append, worker: str) -> None:
    try:
        append([_row(record, worker) for record in records])
        return
    except RecordRefused:
        if len(records) == 1:
            _append_what_is_left(records[0], append, worker)
            return
    for record in records:  # one of them spoils the others
        _append([record], append, worker)


def _append_what_is_left(record: ChangeRecord, append: Append, worker: str) -> None:
    """A record no database takes must not keep all later ones from the journal: that there was a change is kept."""
    log.error("the record of change %s cannot be journalled as it is; its values are left out", record.id)
    append([change_row(_bare(record), worker)])


def _row(record: ChangeRecord, worker: str) -> Row:
    body = bytes(record.body)
    try:
        if (entry := _session(body)) is not None:
            return session_row(msgspec.structs.replace(entry, tenant_id=record.tenant_id), worker)
        change = msgspec.json.decode(body, type=Change)
        return change_row(msgspec.structs.replace(change, tenant_id=record.tenant_id), worker)
    except (msgspec.MsgspecError, *ENCODING_ERRORS):
        log.error("the record of change %s cannot be read", record.id)
        return change_row(_bare(record), worker)


def _session(body: bytes) -> SessionEntry | None:
    """None: it is a change of configuration, which names no session."""
    try:
        return msgspec.json.decode(body, type=SessionEntry)
    except msgspec.MsgspecError:
        return None


def _bare(record: ChangeRecord) -> Change:
    at = int(record.id[:12], 16) / 1000
    return Change(
        turn_id=record.id, tenant_id=record.tenant_id, at=at, actor="unknown", action="unrecordable", model=""
    )
