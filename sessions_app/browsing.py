"""Sessions of a tenant, whoever has them: for the platform's operators."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from engine.ports import Vault
from sessions_app.layout import IDLE_BUCKETS, idle_bucket, of_idle_member
from sessions_app.models import ArchivedSession
from sessions_app.shelf import Shelf, reading, rows_of
from tenants.isolation import Stores
from tenants.scoping import ScopedQuerySet

MOST: Final = 100
SEARCHED: Final = 2_000  # of the last active ones of each bucket


class Active(NamedTuple):
    """A session, in its tenant's store or archived. `last_active` is in Unix seconds, 0: nobody looked."""

    user: str
    session_id: str
    last_active: int
    archived: bool = False


class SessionBrowser:
    """Those in the store, by the index of all of them. Raises StoreUnavailable, TenantSuspended."""

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


class ArchiveBrowser:
    """Those that were archived, some of which are in the store again. Blocking. Raises StoreUnavailable."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._shelf = Shelf(vault)

    def recent(self, tenant_id: int, user: str | None = None, limit: int = MOST) -> list[Active]:
        """The last active first."""
        mine = rows_of(tenant_id)
        if user is not None:
            mine = mine.filter(subject=self._vault.pseudonym(tenant_id, user))
        return self._told(mine, limit)

    def users(self, tenant_id: int, session_id: str) -> list[str]:
        """Who has an archived session of this id."""
        return sorted({each.user for each in self._told(rows_of(tenant_id).filter(session_id=session_id), MOST)})

    def _told(self, mine: ScopedQuerySet[ArchivedSession], limit: int) -> list[Active]:
        rows = reading(lambda: list(mine.filter(expired_at=None).order_by("-last_active")[:limit]))
        lines = self._shelf.lines(rows)
        return [Active(line.user, line.session_id, line.at // 1_000_000, archived=True) for line in lines]


def together(live: Sequence[Active], archived: Sequence[Active], limit: int = MOST) -> list[Active]:
    """The last active first; one that is both is live."""
    known = {(each.user, each.session_id) for each in live}
    both = [*live, *(each for each in archived if (each.user, each.session_id) not in known)]
    return sorted(both, key=lambda each: (-each.last_active, each.session_id))[:limit]


def _read(reply: list[bytes]) -> Iterator[Active]:
    for member, score in zip(reply[::2], reply[1::2], strict=True):
        user, session_id = of_idle_member(member.decode("utf-8", "replace"))
        yield Active(user, session_id, int(float(score)))
