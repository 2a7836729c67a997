"""The stores beside a backup that comes back: what they hold is of another time, and numbers of tenants and their
databases are given out anew from where the backup has them. So not only those of tenants that are known count, but all
databases and prefixes a tenant may have had."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterable
from typing import Final

import msgspec
from django.conf import settings

from engine.errors import StoreUnavailable
from engine.snapshots import Cell
from sessions_app.carrying import empty
from tenants.directory import TenantTable, TenantView, compile_tenants
from tenants.handles import Store
from tenants.isolation import Deployment, Stores
from tenants.valkey import info

_PREFIXED: Final = re.compile(r"t\d+:")


class Emptied(msgspec.Struct):
    """How many keys went; the tenants whose own servers did not answer."""

    keys: int = 0
    away: list[str] = []


def holds_any() -> bool:
    """Whether the platform's store has keys of any tenant. The embedded one does not run then: its files are a part of
    what databases say of this folder. Blocking. Raises StoreUnavailable."""
    return bool(settings.REDIS_HOST) and asyncio.run(_holds_any())


async def _holds_any() -> bool:
    deployment = Deployment(settings.VALKEY_NODES)
    try:
        async for names in _names(deployment):
            if names[1]:
                return True
        return False
    finally:
        await deployment.close()


def empty_all() -> Emptied:
    """Deletes all keys of tenants: of the platform's store those of tenants that nobody knows any more too. Blocking.
    Raises StoreUnavailable: that one is away."""
    tenants = compile_tenants()
    if not settings.REDIS_HOST:
        shutil.rmtree(settings.VAR_DIR / "valkey", ignore_errors=True)
    return asyncio.run(_empty_all(tenants))


async def _empty_all(tenants: TenantTable) -> Emptied:
    told = Emptied()
    if settings.REDIS_HOST:
        deployment = Deployment(settings.VALKEY_NODES)
        try:
            async for store, names in _names(deployment):
                told.keys += await store.unlink(names)
        finally:
            await deployment.close()
    await _empty_own(told, (view for view in tenants.by_id.values() if view.store_url))
    return told


async def _empty_own(told: Emptied, views: Iterable[TenantView]) -> None:
    stores = Stores(settings.VALKEY_NODES, Cell(TenantTable()))
    try:
        for view in views:
            try:
                told.keys += await empty(stores.at(view).store)
            except StoreUnavailable:
                told.away.append(view.slug)
    finally:
        await stores.close()


async def _names(deployment: Deployment) -> AsyncIterator[tuple[Store, list[str]]]:
    """All keys of tenants, some at a time, with the handle that reaches them."""
    async for names in deployment.operator.scan(match="t[0-9]*:*"):
        yield deployment.operator, [name for name in names if _PREFIXED.match(name)]
    for number in sorted(await _used(deployment)):
        store = deployment.database(number)
        try:
            async for names in store.scan():
                yield store, names
        finally:
            await store.close()


async def _used(deployment: Deployment) -> set[int]:
    """The databases for tenants that hold anything."""
    found: set[int] = set()
    for server in await deployment.servers():
        told = info(await server.call("INFO", "keyspace"))
        found |= {int(name[2:]) for name in told if re.fullmatch(r"db\d+", name)}
    return {number for number in found if number >= settings.FIRST_TENANT_DATABASE}
