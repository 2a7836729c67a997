"""The list of a user's sessions: those in the store by its index, archived ones from the archive.

The index is part of the store, and is lost or falls behind with it. A key beside it names the life of the server in
which it was last known to be whole; where that is not the one of now, the journal says what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from engine.errors import InvalidRequest, SessionNotFound
from engine.ports import SessionPast
from engine.types import Json, Principal
from sessions_app import records
from sessions_app.finding import Finder
from sessions_app.layout import ABOUT, Home
from sessions_app.records import Line

MAX_PAGE: Final = 200
CHUNK: Final = 1_000  # ids that go into the index in one command
AT_ONCE: Final = 8  # sessions that are brought back at the same time for a page
UNKNOWN: Final = "-"  # in the place of a server's life that it does not tell

Place = tuple[int, str, Line | None]  # microseconds of the last turn, id, its line if it is archived


class ArchivedPages(Protocol):
    """Where sessions are that left the store (`sessions_app.archive`)."""

    async def page(self, home: Home, below: int | None, limit: int) -> list[Line]:
        """The user's, the last active first, from before `below` (microseconds) on; some may be in the store again."""

    async def held(self, home: Home) -> set[str]:
        """The ids of all the user's sessions there."""

    async def forget(self, home: Home, session_id: str) -> None:
        """The session was deleted. Raises StoreUnavailable."""


class NoPages:
    async def page(self, home: Home, below: int | None, limit: int) -> list[Line]:
        return []

    async def held(self, home: Home) -> set[str]:
        return set()

    async def forget(self, home: Home, session_id: str) -> None:
        """There is nothing."""


class SessionListing:
    """`past` None: what the index does not name is not there."""

    def __init__(self, finder: Finder, archive: ArchivedPages, past: SessionPast | None) -> None:
        self._finder = finder
        self._stores = finder.stores
        self._archive = archive
        self._past = past

    async def page(self, principal: Principal, limit: int, cursor: str | None) -> Json:
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
        places: list[Place] = [(at, name, None) for at, name in live]
        places += [(line.at, line.session_id, line) for line in archived]
        places.sort(key=lambda place: -place[0])
        return {
            "sessions": await self._shown(principal, home, places[:limit]),
            "next_cursor": str(places[limit - 1][0]) if len(places) > limit else None,
        }

    async def _indexed(self, home: Home, below: int | None, most: int) -> list[tuple[int, str]]:
        store = self._stores.tenant(home.tenant_id)
        upper = f"({below}" if below is not None else "+inf"
        asked = ("ZREVRANGEBYSCORE", home.index, upper, "-inf", "WITHSCORES", "LIMIT", 0, most)
        whole, found = await asyncio.gather(store.send("GET", home.listed), store.send(*asked))
        era = store.era(home.index) or UNKNOWN
        if self._past is not None and (whole or b"").decode() != era:
            await self._mend(self._past, home, era)
            found = await store.call(*asked)
        return [(int(float(at)), raw.decode()) for raw, at in zip(found[::2], found[1::2], strict=True)]

    async def _mend(self, past: SessionPast, home: Home, era: str) -> None:
        """Adds to the index what the journal knows and neither it nor the archive does. A session that was lost after
        it had come back from the archive is listed as it is there, until somebody touches it."""
        store = self._stores.tenant(home.tenant_id)
        known, archived = await asyncio.gather(past.known(home.tenant_id, home.user), self._archive.held(home))
        missing = [(session_id, at) for session_id, at in known if session_id not in archived]
        for start in range(0, len(missing), CHUNK):
            words = [word for name, at in missing[start : start + CHUNK] for word in (f"{at * 1e6:.0f}", name)]
            await store.call("ZADD", home.index, "NX", *words)
        await store.call("SET", home.listed, era)

    async def _shown(self, principal: Principal, home: Home, places: Sequence[Place]) -> list[Json]:
        """An archived session that is in the store again is listed from there; one that the store lost comes back."""
        store = self._stores.tenant(home.tenant_id)
        rows = await asyncio.gather(*(store.send("HMGET", home.session(name), *ABOUT) for _, name, _ in places))
        lost = [name for (_, name, line), row in zip(places, rows, strict=True) if line is None and row[0] is None]
        back = await self._brought_back(principal, lost)
        shown = []
        for (_, name, line), row in zip(places, rows, strict=True):
            if row[0] is not None:
                if line is None:
                    shown.append(records.summary(name, records.read(name, row)))
            elif line is not None:
                shown.append(line.summary())
            elif name in back:
                shown.append(back[name])
        gone = [name for name in lost if name not in back]
        if gone:
            store.send("ZREM", home.index, *gone)
        return shown

    async def _brought_back(self, principal: Principal, names: Sequence[str]) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            for name, summary in zip(some, await asyncio.gather(*(self._one(principal, n) for n in some)), strict=True):
                if summary is not None:
                    found[name] = summary
        return found

    async def _one(self, principal: Principal, session_id: str) -> Json | None:
        try:
            _, record = await self._finder.find(principal, session_id)
        except SessionNotFound:
            return None
        return records.summary(session_id, record)
