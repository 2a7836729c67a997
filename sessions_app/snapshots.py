"""Names for versions of a session: given by people, and by itself every so many versions."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Final

from engine.errors import Conflict, EngineError, InvalidRequest, VersionNotFound
from engine.types import Json, Principal
from sessions_app.changing import SessionChanges
from sessions_app.finding import Finder
from sessions_app.layout import Home
from sessions_app.records import Record, Snapshot
from sessions_app.replaying import MAX_SNAPSHOTS
from sessions_app.store import OpenSession

log = logging.getLogger(__name__)

MAX_PAGE: Final = 200
MAX_PENDING: Final = 1_000  # automatic ones that are being made; beyond, the next turn of the session is early enough


class SessionSnapshots:
    """For whom a session is not, it does not exist: SessionNotFound; a snapshot it has not: VersionNotFound. `every`:
    versions from one snapshot to the next automatic one, where a tenant says nothing; 0: none."""

    def __init__(self, finder: Finder, changes: SessionChanges, *, every: int) -> None:
        self._finder = finder
        self._changes = changes
        self._every = every
        self._pending: dict[tuple[Home, str], asyncio.Task[None]] = {}

    async def list(self, principal: Principal, session_id: str, limit: int = 50, cursor: str | None = None) -> Json:
        """`{snapshots, next_cursor}`, the newest first. Raises InvalidRequest for a cursor that is none."""
        _, record = await self._finder.find(principal, session_id)
        newest = record.snapshots[::-1]
        first = 0
        if cursor is not None:
            first = next((place for place, each in enumerate(newest, 1) if each.id == cursor), 0)
            if not first:
                raise InvalidRequest("cursor is not one of a list of snapshots.", param="cursor")
        limit = max(1, min(limit, MAX_PAGE))
        page = newest[first : first + limit]
        more = len(newest) > first + limit
        return {"snapshots": [told(each) for each in page], "next_cursor": page[-1].id if more else None}

    async def read(self, principal: Principal, session_id: str, snapshot_id: str) -> Json:
        _, record = await self._finder.find(principal, session_id)
        return told(_named(record, snapshot_id))

    async def make(self, principal: Principal, session_id: str, name: str = "", tags: Sequence[str] = ()) -> Json:
        """Of the session as it is now. Raises Conflict if the list is full of snapshots that people made,
        AuditUnavailable."""
        home, record = await self._finder.find(principal, session_id)
        if _full(record.snapshots):
            raise Conflict(f"The session has {MAX_SNAPSHOTS} snapshots.")
        return await self._make(principal, home, session_id, record, {"name": name, "tags": list(tags)})

    async def change(self, principal: Principal, session_id: str, snapshot_id: str, changes: Json) -> Json:
        """Sets `name` and `tags` where given; tags are all of them. Raises AuditUnavailable."""
        home, record = await self._finder.find(principal, session_id)
        before = _named(record, snapshot_id)
        said = {name: changes[name] for name in ("name", "tags") if name in changes}
        if not said:
            return told(before)
        detail = {"snapshot": snapshot_id, **said}
        after = await self._changes.make(principal, home, session_id, record, action="tagged", detail=detail)
        return told(_named(after, snapshot_id))

    def after_append(self, session: OpenSession, version: int) -> None:
        """A turn was added. Costs a turn nothing: what is due is made in the background."""
        place = (session.home, session.id)
        every = self._interval(session.home.tenant_id)
        if not every or version < every or place in self._pending or len(self._pending) >= MAX_PENDING:
            return
        known = session.record.snapshots if session.record is not None else []
        if not _due(known, version, every):
            return
        task = asyncio.get_running_loop().create_task(self._automatic(session.principal, session.id, every))
        self._pending[place] = task
        task.add_done_callback(lambda _: self._pending.pop(place, None))

    async def drain(self) -> None:
        """Waits for the automatic ones that are being made."""
        while self._pending:
            await asyncio.wait(list(self._pending.values()))

    def _interval(self, tenant_id: int) -> int:
        view = self._finder.view(tenant_id)
        return self._every if view is None or view.snapshot_every is None else view.snapshot_every

    async def _automatic(self, principal: Principal, session_id: str, every: int) -> None:
        try:
            home, record = await self._finder.find(principal, session_id)
            if _due(record.snapshots, record.version, every) and not _full(record.snapshots):
                await self._make(principal, home, session_id, record, {"automatic": True})
        except EngineError as error:  # the next turn is as good
            log.info("session %s has no automatic snapshot: %s", session_id, error)

    async def _make(self, principal: Principal, home: Home, session_id: str, record: Record, about: Json) -> Json:
        snapshot_id = os.urandom(16).hex()
        detail = {"snapshot": snapshot_id, "of": record.version, **about}
        after = await self._changes.make(principal, home, session_id, record, action="snapshot", detail=detail)
        return told(_named(after, snapshot_id))


def told(snapshot: Snapshot) -> Json:
    """As it is read. `at` is in Unix seconds."""
    return {name: getattr(snapshot, name) for name in ("id", "version", "name", "tags", "at", "automatic")}


def _due(snapshots: Sequence[Snapshot], version: int, every: int) -> bool:
    return version - max((each.version for each in snapshots), default=0) >= every


def _full(snapshots: Sequence[Snapshot]) -> bool:
    """Of what people made, which stays."""
    return sum(not each.automatic for each in snapshots) >= MAX_SNAPSHOTS


def _named(record: Record, snapshot_id: str) -> Snapshot:
    for snapshot in record.snapshots:
        if snapshot.id == snapshot_id:
            return snapshot
    raise VersionNotFound("There is no such snapshot.")
