"""Deletes the sessions of users who are to be erased, in the store and in the archive. Each implements
`engine.ports.Erasable`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from engine.errors import StoreUnavailable
from sessions_app import layout, shelf
from tenants.isolation import Store, Stores

BATCH: Final = 1_000  # keys the store looks at in one go


class SessionEraser:
    """Looks at every key of the tenant's own database: a user's list of sessions forgets the oldest ones."""

    home = "sessions"

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def erase(self, tenant_id: int, whose: Callable[[str], bool]) -> int:
        """How many sessions; their notes and lists go too, and what says which of its users an API key's session is
        of. A turn that runs does not bring its session back, unless it is the session's first."""
        wanted = lru_cache(maxsize=4096)(whose)
        sessions = 0
        store = self._stores.tenant(tenant_id)
        async for names in store.scan(BATCH):
            sessions += await self._delete(store, tenant_id, names, wanted)
        return sessions

    async def _forget_idle(self, store: Store, name: str, wanted: Callable[[str], bool]) -> None:
        cursor = b"0"
        while True:
            cursor, found = await store.call("ZSCAN", name, cursor, "COUNT", BATCH)
            gone = [member for member in found[::2] if wanted(layout.of_idle_member(member.decode())[0])]
            if gone:
                await store.call("ZREM", name, *gone)
            if cursor == b"0":
                return

    async def _delete(self, store: Store, tenant_id: int, names: list[str], wanted: Callable[[str], bool]) -> int:
        gone = [name for name in names if (user := layout.user_of(name, tenant_id)) is not None and wanted(user)]
        owners = [name for name in names if layout.is_owner(name, tenant_id)]
        if owners:
            users = await store.values(owners)
            gone += [name for name, user in zip(owners, users, strict=True) if user and wanted(user.decode())]
        await store.unlink(gone)
        for name in names:
            if layout.is_idle(name, tenant_id):
                await self._forget_idle(store, name, wanted)
        return sum(layout.is_session(name) for name in gone)


class ArchiveEraser:
    """Rows and objects; a row has its user's pseudonym, which `whose` must know as well."""

    home = "archived_sessions"

    async def erase(self, tenant_id: int, whose: Callable[[str], bool]) -> int:
        return await asyncio.to_thread(self._erase, tenant_id, whose)

    def _erase(self, tenant_id: int, whose: Callable[[str], bool]) -> int:
        mine = shelf.rows_of(tenant_id)
        subjects = mine.order_by().values_list("subject", flat=True).distinct()
        try:
            gone = [subject for subject in subjects if whose(subject)]
            return sum(shelf.remove(mine.filter(subject=subject)) for subject in gone)
        except (DatabaseError, OSError) as error:
            raise StoreUnavailable from error
        finally:
            if not connections[DEFAULT_DB_ALIAS].in_atomic_block:
                connections[DEFAULT_DB_ALIAS].close()
