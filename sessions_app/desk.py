"""What people do with their sessions: list, read, name, describe, delete."""

from __future__ import annotations

import asyncio
from typing import Final

from engine.errors import InvalidRequest
from engine.types import Json, Principal
from sessions_app import patches, records
from sessions_app.changing import SessionChanges
from sessions_app.finding import Finder
from sessions_app.layout import ABOUT, Home

MAX_PAGE: Final = 200


class SessionDesk:
    """For whom a session is not, it does not exist: SessionNotFound."""

    def __init__(self, finder: Finder, changes: SessionChanges) -> None:
        self._finder = finder
        self._changes = changes
        self._stores = finder.stores

    async def list(self, principal: Principal, limit: int = 50, cursor: str | None = None) -> Json:
        """`{sessions, next_cursor}`: the last active first. A page may be shorter than `limit`; the last one has no
        `next_cursor`. Raises InvalidRequest for a cursor that is none."""
        if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 20):
            raise InvalidRequest("cursor is not one of a list of sessions.", param="cursor")
        limit = max(1, min(limit, MAX_PAGE))
        home = Home(principal.tenant_id, principal.user)
        connection = self._stores.tenant(principal.tenant_id)
        below = f"({cursor}" if cursor is not None else "+inf"
        found = await connection.call(
            "ZREVRANGEBYSCORE", home.index, below, "-inf", "WITHSCORES", "LIMIT", 0, limit + 1
        )
        ids = [raw.decode() for raw in found[: 2 * limit : 2]]
        rows = await asyncio.gather(*(connection.send("HMGET", home.session(name), *ABOUT) for name in ids))
        expired = [name for name, row in zip(ids, rows, strict=True) if row[0] is None]
        if expired:
            connection.send("ZREM", home.index, *expired)
        sessions = [
            records.summary(name, records.read(name, row)) for name, row in zip(ids, rows, strict=True) if row[0]
        ]
        more = len(found) > 2 * limit
        return {"sessions": sessions, "next_cursor": str(int(float(found[2 * limit - 1]))) if more else None}

    async def read(self, principal: Principal, session_id: str) -> Json:
        """The whole session, see `records.whole`. Does not prolong its life."""
        _, record = await self._finder.find(principal, session_id)
        return records.whole(session_id, record)

    async def patch(self, principal: Principal, session_id: str, changes: Json) -> Json:
        """Sets `user_profile`, `name` and `pinned` where given; answers like `read`. Raises AuditUnavailable too: then
        nothing was changed."""
        home, record = await self._finder.find(principal, session_id)
        detail = patches.detail(record, changes)
        if detail:
            record = await self._changes.make(principal, home, session_id, record, action="patched", detail=detail)
        return records.whole(session_id, record)

    async def delete(self, principal: Principal, session_id: str) -> None:
        """Raises AuditUnavailable too: then it is still there."""
        home, record = await self._finder.find(principal, session_id)
        await self._changes.delete(principal, home, session_id, record)
