"""What background tasks do for the archive of sessions: sweep every tenant's store, end what is past its retention."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial as bound
from typing import Final

import msgspec
from django.conf import settings
from django.db import DatabaseError

from compliance.changes import record_session
from compliance.journal.session_past import JournalPast
from compliance.sealing.vault import SubjectVault
from engine.errors import EngineError
from engine.snapshots import Cell
from sessions_app.archive import Archive
from sessions_app.layout import Home
from sessions_app.recovery import SessionRecovery
from sessions_app.shelf import Expired, Shelf, tidy
from sessions_app.sweeping import Sweeper, goes_on_for, index_all
from sessions_app.writing import SessionFiles
from tenants import stored_keys
from tenants.directory import TenantView, compile_tenants
from tenants.isolation import Stores
from tenants.models import Tenant
from tenants.valkey import Script

log = logging.getLogger(__name__)

SECONDS: Final = 25.0  # a run ends after so long; the next one goes on
REPAIR_SECONDS: Final = 3_600.0
LOCK: Final = "archiving"
DAY: Final = 86_400
MOST: Final = 200  # sessions that end together

# Keys: the lock. Arguments: who has it. Gives it back.
UNLOCK: Final = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")


class Told(msgspec.Struct):
    """What a run did. `locked`: another one was at it."""

    archived: int = 0
    left: int = 0
    expired: int = 0
    indexed: int = 0
    orphans: int = 0
    locked: bool = False


def archive(*, seconds: float = SECONDS, now: Callable[[], float] = time.time) -> Told:
    """One run over all tenants, for at most about so long. Blocking."""
    return asyncio.run(_locked(LOCK, seconds, lambda stores, views: _archive(stores, views, seconds, now)))


def repair(*, seconds: float = REPAIR_SECONDS) -> Told:
    """Sessions that the index by last activity does not know are added to it; objects that no row names, and rows of
    sessions that ended long ago, are removed. Blocking."""
    return asyncio.run(_locked(f"{LOCK}:repair", seconds, lambda stores, views: _repair(stores, views, seconds)))


async def _locked(name: str, seconds: float, work: Callable[[Stores, list[TenantView]], Awaitable[Told]]) -> Told:
    """Two at once would do no harm, but the work twice."""
    tenants = Cell(await asyncio.to_thread(compile_tenants))
    stores = Stores(settings.VALKEY_NODES, tenants)
    platform, token = stores.platform(), os.urandom(8).hex()
    try:
        if await platform.call("SET", name, token, "NX", "PX", int(1000 * (seconds + 60))) is None:
            return Told(locked=True)
        try:
            return await work(stores, list(tenants.value.by_id.values()))
        finally:
            await platform.run(UNLOCK, [name], token)
    finally:
        await stores.close()


async def _repair(stores: Stores, views: list[TenantView], seconds: float) -> Told:
    told, goes_on = Told(), goes_on_for(seconds)
    for view in views:
        try:
            if not view.store_moving:
                told.indexed += await index_all(stores.tenant(view.id), view.id, goes_on)
            told.orphans += await asyncio.to_thread(tidy, view.id)
        except (EngineError, OSError, DatabaseError) as error:
            log.warning("the archive of tenant %s is repaired the next time: %s", view.slug, error)
    return told


async def _archive(stores: Stores, views: list[TenantView], seconds: float, now: Callable[[], float]) -> Told:
    past, archive = JournalPast(stored_keys.stored), Archive(SubjectVault(), threads=1)
    run = Run(stores, past, archive, goes_on=goes_on_for(seconds), now=now)
    start = int(now() / 60) % max(1, len(views))  # another one first each time, so that a large one starves nobody
    try:
        await run.over([*views[start:], *views[:start]])
    finally:
        await asyncio.to_thread(past.close)
        await asyncio.to_thread(archive.close)
    return run.told


def idle_seconds(view: TenantView) -> int:
    """After so long without a turn a session is archived; no later than it is to end."""
    idle = int(view.session_ttl or settings.SESSION_TTL)
    days = retention_days(view)
    return min(idle, days * DAY) if days else idle


def retention_days(view: TenantView) -> int:
    """0: for good."""
    days = view.session_retention_days
    return int(settings.SESSION_RETENTION_DAYS) if days is None else days


class Run:
    """One run. A tenant whose store is away, or just being moved, waits for the next; the others do not."""

    def __init__(
        self,
        stores: Stores,
        past: JournalPast,
        archive: Archive,
        *,
        goes_on: Callable[[], bool],
        now: Callable[[], float],
    ) -> None:
        self._stores = stores
        self._past = past
        self._shelf = Shelf(SubjectVault())
        self._recovery = SessionRecovery(stores, past, archive=archive)
        self._files = SessionFiles(stores)
        self._goes_on = goes_on
        self._now = now
        self.told = Told()

    async def over(self, views: list[TenantView]) -> None:
        held = set(await asyncio.to_thread(_held))
        for view in views:
            if not self._goes_on():
                return
            try:
                if not view.store_moving:
                    await self._sweep(view)
                if view.id not in held and (days := retention_days(view)):
                    await self._expire(view.id, int((self._now() - days * DAY) * 1_000_000))
            except (EngineError, OSError, DatabaseError) as error:
                log.warning("the sessions of tenant %s wait for the next run: %s", view.slug, error)

    async def _sweep(self, view: TenantView) -> None:
        sweeper = Sweeper(self._stores.tenant(view.id), self._shelf, view.id, self._recovery)
        swept = await sweeper.sweep(int(self._now()) - idle_seconds(view), self._goes_on)
        self.told.archived += swept.archived
        self.told.left += swept.left

    async def _expire(self, tenant_id: int, before: int) -> None:
        """Only what is in use nowhere: not in the store, and not in the journal after it was put away."""
        skipped = 0
        while self._goes_on():
            found = await asyncio.to_thread(self._shelf.due, tenant_id, before, skipped, MOST)
            if not found:
                return
            used = await asyncio.gather(*(self._used(tenant_id, one) for one in found))
            over = [one for one, in_use in zip(found, used, strict=True) if in_use is False]
            ended = await asyncio.to_thread(self._shelf.expire, tenant_id, over, bound(_journal, tenant_id))
            self.told.expired += ended
            skipped += sum(in_use is True for in_use in used) + len(over) - ended

    async def _used(self, tenant_id: int, one: Expired) -> bool | None:
        """None: it was deleted, and is gone from here now. Of whom nothing can be read any more, nothing is in use.
        Nobody brings back to the store what is not in use, until it has ended."""
        if not one.user:
            return False
        home = Home(tenant_id, one.user)
        if not await self._files.bar(home, one.session_id, one.version):
            return True
        try:
            if not await self._past.events(tenant_id, one.session_id, user=one.user, after=one.version):
                return False
            alive = (await self._recovery.rebuild(home, one.session_id)).record is not None
            if not alive:
                await asyncio.to_thread(self._shelf.drop, home, [one.session_id])
        except BaseException:
            await self._files.unbar(home, one.session_id)
            raise
        await self._files.unbar(home, one.session_id)
        return True if alive else None


def _held() -> list[int]:
    return list(Tenant.objects.filter(legal_hold=True).values_list("pk", flat=True))


def _journal(tenant_id: int, one: Expired) -> None:
    record_session(
        action="expired",
        tenant_id=tenant_id,
        session_id=one.session_id,
        user=one.user,
        parent=one.version,
        key_id=one.key_id,
    )
