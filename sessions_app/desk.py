"""What people do with their sessions: list, read, name, describe, delete."""

from __future__ import annotations

import asyncio
from typing import Final

from engine.errors import InvalidRequest, SessionNotFound
from engine.types import Json, Principal
from sessions_app import records
from sessions_app.finding import Finder
from sessions_app.layout import ABOUT, DELETE, PATCH, Home, idle_member

MAX_PAGE: Final = 200


class SessionDesk:
    """For whom a session is not, it does not exist: SessionNotFound."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
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
        """Sets `user_profile` and `name` where given; answers like `read`."""
        home, _ = await self._finder.find(principal, session_id)
        fields: list[str | bytes] = []
        if "user_profile" in changes:
            fields += ["user_profile", records.encode(changes["user_profile"] or {})]
        if "name" in changes:
            fields += ["name", changes["name"] or ""]
        connection = self._stores.tenant(principal.tenant_id)
        if fields and not await connection.run(PATCH, [home.session(session_id)], *fields):
            raise SessionNotFound
        return await self.read(principal, session_id)

    async def delete(self, principal: Principal, session_id: str) -> None:
        home, _ = await self._finder.find(principal, session_id)
        connection = self._stores.tenant(principal.tenant_id)
        connection.send("ZREM", home.idle, idle_member(home.user, session_id))
        if not await connection.run(DELETE, [*home.keys(session_id), home.index], session_id):
            raise SessionNotFound
