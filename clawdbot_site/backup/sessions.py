"""Sessions in a backup: what of every store is not in SQL and objects. They go as the archive has them, sealed with the
keys of their users, and come back into the archive: whoever touches one finds it, with all that the journal has of it
since."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
from django.conf import settings
from django.db import DatabaseError

from clawdbot_site.backup.packing import Pack
from compliance.sealing.vault import SubjectVault
from engine.errors import EngineError
from engine.snapshots import Cell
from sessions_app.shelf import Idle, Packed, Shelf
from sessions_app.sweeping import read_all
from tenants.directory import TenantView, compile_tenants
from tenants.isolation import Stores

log = logging.getLogger(__name__)

BATCH: Final = 64  # sessions in a part, fewer once they have
BYTES: Final = 16 << 20
FOLDER: Final = "sessions/"


def dump(pack: Pack) -> tuple[int, list[str]]:
    """How many, and the tenants whose stores could not be read. Blocking."""
    return asyncio.run(_dump(pack))


async def _dump(pack: Pack) -> tuple[int, list[str]]:
    tenants = Cell(await asyncio.to_thread(compile_tenants))
    stores = Stores(settings.VALKEY_NODES, tenants)
    shelf, count, away = Shelf(SubjectVault()), 0, []
    try:
        for view in tenants.value.by_id.values():
            try:
                count += await _tenant(pack, stores, shelf, view)
            except (EngineError, DatabaseError) as error:
                log.error("the sessions of tenant %s are not in the backup: %s", view.slug, error)
                away.append(view.slug)
    finally:
        await stores.close()
    return count, away


async def _tenant(pack: Pack, stores: Stores, shelf: Shelf, view: TenantView) -> int:
    count = 0
    async for number, batch in _batches(stores, view):
        packed = await asyncio.to_thread(shelf.pack, view.id, batch)
        pack.add(f"{FOLDER}{view.id}/{number:08}", msgspec.msgpack.encode(packed))
        count += len(packed)
    return count


async def _batches(stores: Stores, view: TenantView) -> AsyncIterator[tuple[int, Sequence[Idle]]]:
    number, size = 0, 0
    batch: list[Idle] = []
    async for session in read_all(stores.tenant(view.id), view.id):
        batch.append(session.idle())
        size += session.size
        if len(batch) == BATCH or size >= BYTES:
            yield number, batch
            number, batch, size = number + 1, [], 0
    if batch:
        yield number, batch


def load(name: str, content: bytes) -> int:
    """One part of them. Raises OSError, django.db.DatabaseError."""
    tenant_id = int(name.removeprefix(FOLDER).partition("/")[0])
    packed: list[Packed] = msgspec.msgpack.decode(content, type=list[Packed])
    return Shelf(SubjectVault()).unpack(tenant_id, packed)
