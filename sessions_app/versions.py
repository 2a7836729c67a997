"""The versions of a session: read, compared, gone back to, branched from. Nothing is destroyed by any of it.

A version is what the journal's events up to it make of the session (`sessions_app.history`). A restore is a new version
with the content of an old one, a branch a new session that begins with it; both are events that carry that content."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec

from engine.errors import Conflict, StoreUnavailable, VersionNotFound
from engine.ports import SessionPast
from engine.turn import new_turn_id
from engine.types import ChatRequest, Json, Principal
from sessions_app import differences, history, patches, records
from sessions_app.changing import SessionChanges
from sessions_app.finding import Finder
from sessions_app.history import Step
from sessions_app.layout import Home
from sessions_app.records import Record
from sessions_app.replaying import contents
from sessions_app.store import OpenSession, SessionStore
from sessions_app.writing import SessionFiles

MAX_PAGE: Final = 200
ON_THE_LOOP: Final = 100  # events that are replayed without a thread

Place = int | str
"""A version, or the id of a snapshot."""

T = TypeVar("T")


class SessionVersions:
    """For whom a session is not, it does not exist: SessionNotFound. A version it never had, or whose entries are gone
    from the journal: VersionNotFound."""

    def __init__(self, finder: Finder, store: SessionStore, changes: SessionChanges, past: SessionPast) -> None:
        self._finder = finder
        self._store = store
        self._changes = changes
        self._past = past
        self._files = SessionFiles(finder.stores)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def list(self, principal: Principal, session_id: str, limit: int = 50, before: int | None = None) -> Json:
        """`{versions, next}`, see `history.line`; the newest first, those below `before`."""
        home, _ = await self._finder.find(principal, session_id)
        made = await self._steps(home, session_id)
        limit = max(1, min(limit, MAX_PAGE))
        page = [step for step in reversed(made) if before is None or step.version < before][: limit + 1]
        more = page[limit - 1].version if len(page) > limit else None
        return {"versions": [history.line(step) for step in page[:limit]], "next": more}

    async def read(self, principal: Principal, session_id: str, place: Place) -> Json:
        """Like `SessionDesk.read`; of another version than the one of now `state` is `past`."""
        home, now = await self._finder.find(principal, session_id)
        record = await self._at(home, session_id, now, place)
        return {**records.whole(session_id, record), "state": "live" if record.version == now.version else "past"}

    async def diff(self, principal: Principal, session_id: str, before: Place, after: Place | None = None) -> Json:
        """`{from, to, …}` with the versions' numbers, see `differences.difference`. `after` None: as it is now."""
        home, now = await self._finder.find(principal, session_id)
        made = await self._steps(home, session_id)
        first, second = [
            await self._at(home, session_id, now, place, made)
            for place in (before, now.version if after is None else after)
        ]
        found = differences.difference(first, second)
        return {"session_id": session_id, "from": first.version, "to": second.version, **found}

    async def restore(self, principal: Principal, session_id: str, place: Place, if_version: int | None = None) -> Json:
        """Waits for a turn that runs; answers like `SessionDesk.read`. The snapshots stay. 0 is what was before the
        first turn: nothing said, by the name and for the profile it has. Raises Conflict if the session is not at
        `if_version`, SessionBusy, AuditUnavailable."""
        home, now = await self._finder.find(principal, session_id)
        _expect(now, if_version)
        record = _empty(now) if place == 0 else await self._at(home, session_id, now, place)
        restored = await self._whole(self._restore(principal, session_id, record, if_version))
        return records.whole(session_id, restored)

    async def branch(
        self, principal: Principal, session_id: str, place: Place | None = None, new_id: str | None = None
    ) -> Json:
        """A new session of the same user's with the content of this one, as it is now or was; answers like
        `SessionDesk.read` of it. Its own versions begin at 1. Raises Conflict if there is a session `new_id`
        already."""
        home, now = await self._finder.find(principal, session_id)
        record = now if place is None else await self._at(home, session_id, now, place)
        origin = {"session_id": session_id, "version": record.version}
        content = contents(msgspec.structs.replace(record, snapshots=[]))
        owner = msgspec.structs.replace(principal, user=home.user)
        name = new_id or os.urandom(16).hex()
        made = await self._whole(self._branch(owner, name, {"record": content, "of": origin}, named=new_id is not None))
        return records.whole(name, made)

    async def patch(self, principal: Principal, session_id: str, changes: Json, if_version: int) -> Json:
        """Like `SessionDesk.patch`, but only if the session is at `if_version`: waits for a turn that runs, and lets
        none in. Raises Conflict if it is at another, SessionBusy."""
        _, now = await self._finder.find(principal, session_id)
        _expect(now, if_version)
        patched = await self._whole(self._patch(principal, session_id, changes, if_version))
        return records.whole(session_id, patched)

    async def after_turn(self, principal: Principal, session_id: str, turn_id: str) -> Json:
        """Like `read`, of the version that this turn made. Raises VersionNotFound too where it was withdrawn."""
        home, now = await self._finder.find(principal, session_id)
        made = await self._steps(home, session_id)
        version = history.of_turn(made, turn_id).version
        record = await self._at(home, session_id, now, version, made)
        return {**records.whole(session_id, record), "state": "live" if record.version == now.version else "past"}

    async def fork(self, principal: Principal, session_id: str, turn_id: str) -> str | None:
        """Where a conversation goes on after this turn: None: in the session itself, where nothing was said since; else
        in a branch with this id, made now. Raises VersionNotFound as `after_turn` does, AuditUnavailable."""
        home, _ = await self._finder.find(principal, session_id)
        made = await self._steps(home, session_id)
        step = history.of_turn(made, turn_id)
        if not history.talked_since(made, step):
            return None
        branch = await self.branch(principal, session_id, step.version)
        return str(branch["session_id"])

    async def withdraw(self, principal: Principal, session_id: str, turn_id: str) -> None:
        """From now on nothing goes on from this turn; what was said after it stays as it is. Raises VersionNotFound as
        `after_turn` does, AuditUnavailable."""
        home, record = await self._finder.find(principal, session_id)
        history.of_turn(await self._steps(home, session_id), turn_id)
        await self._changes.make(principal, home, session_id, record, action="withdrawn", detail={"turn": turn_id})

    async def _patch(self, principal: Principal, session_id: str, changes: Json, if_version: int) -> Record:
        async with self._held(principal, session_id) as session:
            record = await self._expected(session, if_version)
            detail = patches.detail(record, changes)
            if not detail:
                return record
            return await self._changes.make(
                principal, session.home, session_id, record, action="patched", detail=detail
            )

    async def _restore(self, principal: Principal, session_id: str, record: Record, if_version: int | None) -> Record:
        async with self._held(principal, session_id) as session:
            now = await self._expected(session, if_version)
            detail = {"record": contents(record), "of": {"version": record.version}}
            return await self._changes.make(principal, session.home, session_id, now, action="restored", detail=detail)

    async def _branch(self, principal: Principal, session_id: str, detail: Json, *, named: bool) -> Record:
        if not named:
            made = await self._changes.begin(principal, session_id, action="branched", detail=detail)
        else:
            async with self._held(principal, session_id, create=True) as session:
                if not session.created:
                    raise Conflict("There is a session of this id already.", param="session_id")
                made = await self._changes.begin(
                    principal, session_id, action="branched", detail=detail, version=session.version
                )
        await self._note_owner(principal, session_id)
        return made

    @asynccontextmanager
    async def _held(self, principal: Principal, session_id: str, *, create: bool = False) -> AsyncIterator[OpenSession]:
        """With its lease: no turn is let in meanwhile."""
        request = ChatRequest(messages=[], session_id=session_id, create_session=create)
        session = await self._store.open(principal, request, new_turn_id(time.time()))
        try:
            yield session
        finally:
            await self._store.close(session)

    async def _expected(self, session: OpenSession, if_version: int | None) -> Record:
        """The session as it is now that no turn can change it."""
        assert session.record is not None
        _expect(session.record, if_version)
        await self._store.confirm(session)
        return session.record

    async def _note_owner(self, principal: Principal, session_id: str) -> None:
        """Where the API key that names its users finds the session of one."""
        key = f"key:{principal.key_id}"
        if principal.key_id is None or principal.user == key:
            return
        try:
            await self._files.note_owner(
                Home(principal.tenant_id, principal.user), Home(principal.tenant_id, key), session_id
            )
        except StoreUnavailable:
            return  # recovery finds it by the journal

    async def _at(
        self, home: Home, session_id: str, now: Record, place: Place, made: Sequence[Step] | None = None
    ) -> Record:
        version = place if isinstance(place, int) else _version_of(now, place)
        if version == now.version:
            return now
        if not 0 < version < now.version:
            raise VersionNotFound
        if made is None:
            made = await self._steps(home, session_id)
        found = await _off_loop(made, version)
        if found is None:
            raise VersionNotFound
        return found

    async def _steps(self, home: Home, session_id: str) -> Sequence[Step]:
        events = await self._past.events(home.tenant_id, session_id, user=home.user)
        if len(events) <= ON_THE_LOOP:
            return history.steps(events)
        return await asyncio.to_thread(history.steps, events)

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """What is begun is done to the end, also where nobody waits any more."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told to who waits, if anybody does


async def _off_loop(made: Sequence[Step], version: int) -> Record | None:
    if len(made) <= ON_THE_LOOP:
        return history.content(made, version)
    return await asyncio.to_thread(history.content, made, version)


def _empty(record: Record) -> Record:
    return Record(version=0, last_active=record.last_active, user_profile=record.user_profile, name=record.name)


def _version_of(record: Record, snapshot_id: str) -> int:
    for snapshot in record.snapshots:
        if snapshot.id == snapshot_id:
            return snapshot.version
    raise VersionNotFound("There is no such snapshot.")


def _expect(record: Record, version: int | None) -> None:
    if version is not None and record.version != version:
        raise Conflict(f"The session is at version {record.version}.", param="if_version")
