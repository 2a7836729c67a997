"""Sessions of a tenant, whoever has them: for the platform's operators."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, NamedTuple

from sessions_app.layout import IDLE_BUCKETS, idle_bucket, of_idle_member
from tenants.isolation import Stores

MOST: Final = 100
SEARCHED: Final = 2_000  # of the last active ones of each bucket


class Active(NamedTuple):
    """A session that is in its tenant's store, when last looked. `last_active` is in Unix seconds."""

    user: str
    session_id: str
    last_active: int


class SessionBrowser:
    """By the index of all sessions in the store. Raises StoreUnavailable, TenantSuspended."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def recent(self, tenant_id: int, user: str | None = None, limit: int = MOST) -> list[Active]:
        """The last active first; with `user` only theirs, of the last `SEARCHED` of their bucket."""
        found = await self._newest(tenant_id, limit if user is None else SEARCHED)
        mine = [each for each in found if user is None or each.user == user]
        return sorted(mine, key=lambda each: (-each.last_active, each.session_id))[:limit]

    async def users(self, tenant_id: int, session_id: str) -> list[str]:
        """Who has a session of this id among the last active ones."""
        found = await self._newest(tenant_id, SEARCHED)
        return sorted({each.user for each in found if each.session_id == session_id})

    async def _newest(self, tenant_id: int, count: int) -> list[Active]:
        store = self._stores.tenant(tenant_id)
        keys = (idle_bucket(tenant_id, number) for number in range(IDLE_BUCKETS))
        replies = await asyncio.gather(*(store.send("ZREVRANGE", key, 0, count - 1, "WITHSCORES") for key in keys))
        return [each for reply in replies for each in _read(reply)]


def _read(reply: list[bytes]) -> Iterator[Active]:
    for member, score in zip(reply[::2], reply[1::2], strict=True):
        user, session_id = of_idle_member(member.decode("utf-8", "replace"))
        yield Active(user, session_id, int(float(score)))
