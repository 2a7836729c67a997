"""What people do with their sessions: list, read, name, describe, delete."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from engine.errors import InvalidRequest, StoreUnavailable
from engine.types import Json, Principal
from sessions_app import patches, records
from sessions_app.changing import SessionChanges
from sessions_app.finding import Finder
from sessions_app.layout import ABOUT, Home
from sessions_app.records import Line

log = logging.getLogger(__name__)

MAX_PAGE: Final = 200


class ArchivedPages(Protocol):
    """Where sessions are that left the store (`sessions_app.archive`)."""

    async def page(self, home: Home, below: int | None, limit: int) -> list[Line]:
        """The user's, the last active first, from before `below` (microseconds) on; some may be in the store again."""

    async def forget(self, home: Home, session_id: str) -> None:
        """The session was deleted. Raises StoreUnavailable."""


class NoPages:
    async def page(self, home: Home, below: int | None, limit: int) -> list[Line]:
        return []

    async def forget(self, home: Home, session_id: str) -> None:
        """There is nothing."""


class SessionDesk:
    """For whom a session is not, it does not exist: SessionNotFound."""

    def __init__(self, finder: Finder, changes: SessionChanges, archive: ArchivedPages | None = None) -> None:
        self._finder = finder
        self._changes = changes
        self._stores = finder.stores
        self._archive = archive or NoPages()

    async def list(self, principal: Principal, limit: int = 50, cursor: str | None = None) -> Json:
        """`{sessions, next_cursor}`: the last active first, archived ones among them. A page may be shorter than
        `limit`; the last one has no `next_cursor`. Raises InvalidRequest for a cursor that is none."""
        if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18):
            raise InvalidRequest("cursor is not one of a list of sessions.", param="cursor")
        limit = max(1, min(limit, MAX_PAGE))
        home = Home(principal.tenant_id, principal.user)
        below = int(cursor) if cursor is not None else None
        live, archived = await asyncio.gather(
            self._indexed(home, below, limit + 1), self._archive.page(home, below, limit + 1)
        )
        places: list[tuple[int, str, Line | None]] = [(at, name, None) for at, name in live]
        places += [(line.at, line.session_id, line) for line in archived]
        places.sort(key=lambda place: -place[0])
        return {
            "sessions": await self._shown(home, places[:limit]),
            "next_cursor": str(places[limit - 1][0]) if len(places) > limit else None,
        }

    async def _indexed(self, home: Home, below: int | None, most: int) -> Sequence[tuple[int, str]]:
        upper = f"({below}" if below is not None else "+inf"
        limits = ("WITHSCORES", "LIMIT", 0, most)
        found = await self._stores.tenant(home.tenant_id).call("ZREVRANGEBYSCORE", home.index, upper, "-inf", *limits)
        return [(int(float(at)), raw.decode()) for raw, at in zip(found[::2], found[1::2], strict=True)]

    async def _shown(self, home: Home, places: Sequence[tuple[int, str, Line | None]]) -> Sequence[Json]:
        """An archived session that is in the store again is listed from there."""
        connection = self._stores.tenant(home.tenant_id)
        rows = await asyncio.gather(*(connection.send("HMGET", home.session(name), *ABOUT) for _, name, _ in places))
        shown, gone = [], []
        for (_, name, line), row in zip(places, rows, strict=True):
            if line is not None:
                if row[0] is None:
                    shown.append(line.summary())
            elif row[0] is None:
                gone.append(name)
            else:
                shown.append(records.summary(name, records.read(name, row)))
        if gone:
            connection.send("ZREM", home.index, *gone)
        return shown

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
        try:
            await self._archive.forget(home, session_id)
        except StoreUnavailable:  # it is deleted, whatever is left of it there
            log.warning("the archived form of session %s stays for now", session_id)
