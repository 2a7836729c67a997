"""What background tasks do for the archive of sessions: sweep every tenant's store, end what is past its retention."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from django.conf import settings
from django.db import DatabaseError

from compliance.changes import record_session
from compliance.sealing.vault import SubjectVault
from engine.errors import EngineError
from engine.ports import SessionPast
from engine.snapshots import Cell
from sessions_app.layout import Home
from sessions_app.shelf import Expired, Shelf
from sessions_app.sweeping import Sweeper, Swept, goes_on_for
from tenants.directory import TenantView, compile_tenants
from tenants.isolation import Store, Stores
from tenants.models import Tenant
from tenants.valkey import Script

log = logging.getLogger(__name__)

SECONDS: Final = 25.0  # a run ends after so long; the next one goes on
LOCK: Final = "archiving"
LOCKED: Final = 120_000  # ms a run that died keeps others off
DAY: Final = 86_400
MOST: Final = 200  # sessions that end together

# Keys: the lock. Arguments: who has it. Gives it back.
UNLOCK: Final = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")


class Told(msgspec.Struct):
    """What a run did. `locked`: another one was at it."""

    archived: int = 0
    left: int = 0
    expired: int = 0
    locked: bool = False


def archive(*, seconds: float = SECONDS, now: Callable[[], float] = time.time) -> Told:
    """One run over all tenants, for at most about so long. Blocking."""
    return asyncio.run(_locked(LOCK, lambda stores, views: _archive(stores, views, seconds, now)))


def repair(*, seconds: float = 3600.0) -> Told:
    """Sessions that the index by last activity does not know are added to it. Blocking."""
    return asyncio.run(_locked(f"{LOCK}:repair", lambda stores, views: _repair(stores, views, seconds)))


async def _locked(name: str, work: Callable[[Stores, list[TenantView]], Awaitable[Told]]) -> Told:
    """Two at once would do no harm, but the work twice."""
    tenants = Cell(await asyncio.to_thread(compile_tenants))
    stores = Stores(settings.VALKEY_NODES, tenants)
    platform, token = stores.platform(), os.urandom(8).hex()
    try:
        if await platform.call("SET", name, token, "NX", "PX", LOCKED) is None:
            return Told(locked=True)
        try:
            return await work(stores, list(tenants.value.by_id.values()))
        finally:
            await platform.run(UNLOCK, [name], token)
    finally:
        await stores.close()


async def _archive(stores: Stores, views: Sequence[TenantView], seconds: float, now: Callable[[], float]) -> Told:
    """A tenant whose store is away, or just being moved, waits for the next run; the others do not."""
    told, shelf, goes_on = Told(), Shelf(SubjectVault()), goes_on_for(seconds)
    held = set(await asyncio.to_thread(_held))
    start = int(now() / 60) % max(1, len(views))  # another one first each time, so that a large one starves nobody
    for view in [*views[start:], *views[:start]]:
        if view.store_moving:
            continue
        try:
            store = stores.tenant(view.id)
            swept: Swept = await Sweeper(store, shelf, view.id).sweep(int(now()) - idle_seconds(view), goes_on)
            told.archived, told.left = told.archived + swept.archived, told.left + swept.left
            if (days := retention_days(view)) and view.id not in held:
                before = int((now() - days * DAY) * 1_000_000)
                told.expired += await _expire(store, shelf, view.id, before, goes_on)
        except (EngineError, OSError, DatabaseError) as error:
            log.warning("the sessions of tenant %s wait for the next run: %s", view.slug, error)
        if not goes_on():
            break
    return told


async def _repair(stores: Stores, views: Sequence[TenantView], seconds: float) -> Told:
    told, goes_on = Told(), goes_on_for(seconds)
    for view in views:
        if view.store_moving:
            continue
        try:
            told.archived += await Sweeper(stores.tenant(view.id), Shelf(SubjectVault()), view.id).repair(goes_on)
        except EngineError as error:
            log.warning("the index of tenant %s waits for the next run: %s", view.slug, error)
    return told


def _held() -> list[int]:
    return list(Tenant.objects.filter(legal_hold=True).values_list("pk", flat=True))


def idle_seconds(view: TenantView) -> int:
    """After so long without a turn a session is archived; at once where its retention is shorter."""
    idle = view.session_ttl or settings.SESSION_TTL
    days = retention_days(view)
    return min(idle, days * DAY) if days else int(idle)


def retention_days(view: TenantView) -> int:
    """0: for good."""
    days = view.session_retention_days
    return int(settings.SESSION_RETENTION_DAYS) if days is None else days


# Retention -----------------------------------------------------------------------------------------------------------


async def _expire(
    store: Store, shelf: Shelf, past: SessionPast, tenant_id: int, before: int, goes_on: Callable[[], bool]
) -> int:
    """Only what is nowhere in use: not in the store, and not in the journal after it was put away."""
    ended, skipped = 0, 0
    while goes_on():
        found = await asyncio.to_thread(shelf.due, tenant_id, before, skipped, MOST)
        if not found:
            break
        live = await asyncio.gather(*(store.call("EXISTS", _key(tenant_id, one)) for one in found))
        over = [one for one, there in zip(found, live, strict=True) if not there]
        over = [one for one in over if not await _went_on(past, tenant_id, one)]
        done = await asyncio.to_thread(shelf.expire, tenant_id, over, lambda one: _journal(tenant_id, one))
        ended += done
        skipped += len(found) - done
    return ended


async def _went_on(past: SessionPast, tenant_id: int, one: Expired) -> bool:
    """Whether the journal has more of it than was put away: its store was lost before it could be put away again."""
    if not one.user:
        return False
    return bool(await past.events(tenant_id, one.session_id, user=one.user, after=one.version))


def _key(tenant_id: int, one: Expired) -> str:
    return Home(tenant_id, one.user).session(one.session_id)


def _journal(tenant_id: int, one: Expired) -> None:
    record_session(
        action="expired",
        tenant_id=tenant_id,
        session_id=one.session_id,
        user=one.user,
        parent=one.version,
        key_id=one.key_id,
    )
