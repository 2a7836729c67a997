"""What the journal knows of callers' idempotency keys: who holds one, what came of that turn. `claims` grants them."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from functools import partial
from typing import Final

from django.db import connections

from compliance.database import ALIAS, first_file
from compliance.journal import reader, slots, tables
from compliance.journal.reader import JournalReader
from compliance.journal.slots import NoSlot
from compliance.journal.union import see_all_slots
from compliance.models import Idempotency
from engine.entries import Claim
from engine.errors import (
    AuditUnavailable,
    IdempotencyMismatch,
    IdempotencyRunning,
    StoreUnavailable,
    TurnNotFound,
)
from engine.idempotency import LIFE, Recorded
from engine.snapshots import Cell
from engine.types import Principal
from tenants.keyring import KeyTable

SPARE: Final = 3600.0  # seconds a key is kept beyond its life: clocks of workers differ
MOST: Final = 500  # keys removed in one transaction
GUEST: Final = 0.1  # seconds to wait for the writer of a file


class IdempotencyReader(JournalReader):
    """`engine.idempotency.Once`, with a thread and a connection of its own. What it looks for are keyed hashes of the
    tenant's (`TenantKeys.pseudonym`): neither keys nor requests can be read back from the table."""

    def __init__(self, keys: Cell[KeyTable]) -> None:
        super().__init__()
        self._keys = keys

    async def find(self, principal: Principal, key: str, fingerprint: str) -> Claim | Recorded:
        """Raises IdempotencyMismatch, IdempotencyRunning, AuditUnavailable (it cannot be said now)."""
        keys = self._keys.value.get(principal.tenant_id)
        if keys is None:
            raise AuditUnavailable()
        digest = keys.pseudonym(f"idempotency key\0{principal.subject}\0{key}")
        asked = keys.pseudonym(f"request\0{fingerprint}")
        try:
            return await self._read(partial(find, principal.tenant_id, digest, asked))
        except StoreUnavailable as error:
            raise AuditUnavailable() from error


def find(tenant_id: int, digest: str, asked: str) -> Claim | Recorded:
    """Blocking. Raises IdempotencyMismatch, IdempotencyRunning, StoreUnavailable, django.db.DatabaseError."""
    try:
        see_all_slots(connections[ALIAS])
    except NoSlot as error:
        raise StoreUnavailable() from error
    held = Idempotency.objects.for_tenant(tenant_id).filter(digest=digest).order_by("-number").first()
    if held is None:
        return Claim(digest=digest, fingerprint=asked)
    free = Claim(digest=digest, fingerprint=asked, after=held.turn_id)
    if held.at < time.time() - LIFE:
        return free
    try:
        record = reader.turn(tenant_id, held.turn_id)
    except TurnNotFound:  # the tenant keeps its turns for less than that
        return free
    completion = record.completion
    if completion is not None and (completion.state != "completed" or record.erased):
        return free
    if held.fingerprint != asked:
        raise IdempotencyMismatch()
    if completion is None:
        raise IdempotencyRunning(running=held.turn_id)
    if record.unreadable:
        raise StoreUnavailable()
    return Recorded(record.intent, completion)


def forget_old(now: float | None = None) -> bool:
    """Removes keys whose time is over, some of each file; whether there may be more. Blocking.

    Raises django.db.DatabaseError, sqlite3.Error: a writer has its file; the next call goes on."""
    before = (time.time() if now is None else now) - LIFE - SPARE
    first = first_file()
    if first is None:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(_FORGET.format("%s"), (before, MOST, before))
            return int(cursor.rowcount) == MOST
    paths = [slots.slot_path(first, number) for number in slots.existing(first)]
    more = [_forget_in_file(str(path), before) for path in paths if tables.migrated(path, _TABLE)]
    return any(more)


_TABLE: Final = Idempotency._meta.db_table
_FORGET: Final = f"""
    DELETE FROM {_TABLE} WHERE digest IN (SELECT digest FROM {_TABLE} WHERE at < {{0}} LIMIT {{0}})
    AND at < {{0}}"""  # noqa: S608  # asked again of the row that is removed: it may just have gone to another turn


def _forget_in_file(path: str, before: float) -> bool:
    with closing(sqlite3.connect(path, timeout=GUEST, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = NORMAL")  # what is lost with the power is removed again
        database.execute("PRAGMA wal_autocheckpoint = 0")
        return database.execute(_FORGET.format("?"), (before, MOST, before)).rowcount == MOST
