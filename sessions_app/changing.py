"""What is done to sessions besides turns: in the journal first, then in the store, by the same rules as a replay."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from engine import retrying
from engine.entries import SessionAction, SessionEntry
from engine.errors import SessionNotFound, StoreUnavailable
from engine.ports import SessionJournal, SessionPast
from engine.turn import new_turn_id
from engine.types import Json, Principal
from sessions_app.finding import Finder
from sessions_app.layout import Home
from sessions_app.records import Record
from sessions_app.replaying import NOTES, amended, order, replay
from sessions_app.writing import SessionFiles, Stored

log = logging.getLogger(__name__)

TRIES: Final = 20  # while turns are added to the same session

T = TypeVar("T")


class SessionChanges:
    """What is durable in the journal counts. Where the store is away then, it is done there when it is back; who leaves
    meanwhile stops nothing."""

    def __init__(self, finder: Finder, journal: SessionJournal, past: SessionPast | None = None) -> None:
        """`past` tells the order of what is done to a session at the same time; None: as it reaches the store."""
        self._finder = finder
        self._journal = journal
        self._past = past
        self._files = SessionFiles(finder.stores)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def make(
        self, principal: Principal, home: Home, session_id: str, record: Record, *, action: SessionAction, detail: Json
    ) -> Record:
        """Changes the session, which was found as `record`; as it is afterwards. `detail` is what `replaying` asks for.
        Raises SessionNotFound (it was deleted meanwhile), AuditUnavailable, StoreUnavailable."""
        entry = _entry(principal, home, session_id, parent=record.version, action=action, detail=detail)
        return await self._whole(self._make(home, entry, record))

    async def begin(
        self, principal: Principal, session_id: str, *, action: SessionAction, detail: Json, version: int = 0
    ) -> Record:
        """A new session of the caller's whose first event this is. `version`: the one to go on from, where there was a
        session of this id that was deleted."""
        home = Home(principal.tenant_id, principal.user)
        entry = _entry(principal, home, session_id, parent=version, action=action, detail=detail)
        return await self._whole(self._make(home, entry, Record(version=version)))

    async def delete(self, principal: Principal, home: Home, session_id: str, record: Record) -> None:
        """Also under a turn that runs: it stays deleted. Raises AuditUnavailable."""
        await self._whole(self._delete(principal, home, session_id, record.version))

    async def _make(self, home: Home, entry: SessionEntry, known: Record) -> Record:
        await self._finder.stores.settled(home.tenant_id)
        await self._journal.session(entry)
        try:
            record = await self._apply(home, entry)
        except StoreUnavailable:
            log.warning("session %s is %s in its store when that is back", entry.session_id, entry.action)
            self._start(self._later(lambda: self._apply(home, entry), entry))
            record = replay(known, [entry]).record
        if record is None:
            raise SessionNotFound
        return record

    async def _apply(self, home: Home, entry: SessionEntry) -> Record | None:
        """The session with this in it; None: it was deleted."""
        for _ in range(TRIES):
            stored = await self._files.load(home, entry.session_id)
            if stored is None:
                await self._finder.recovery.verify(home, entry.session_id)
                stored = await self._files.load(home, entry.session_id)
                return stored.record if stored is not None else None
            if entry.turn_id in stored.recent:
                return stored.record
            after = await self._after(home, entry, stored)
            if after is None:
                return None
            recent = stored.recent if entry.action in NOTES else [entry.turn_id, *stored.recent]
            if await self._files.change(home, entry.session_id, stored, after, recent):
                return after
        raise StoreUnavailable("The session is being changed.")

    async def _after(self, home: Home, entry: SessionEntry, stored: Stored) -> Record | None:
        record = stored.record
        if self._past is None or entry.action in NOTES or record.version <= entry.parent:
            return replay(record, [entry]).record
        events = await self._past.events(home.tenant_id, entry.session_id, user=home.user, after=entry.parent)
        later = [each for each in events if each.turn_id in stored.recent and order(each) > order(entry)]
        return amended(record, entry, later)

    async def _delete(self, principal: Principal, home: Home, session_id: str, version: int) -> None:
        """Once more if it was changed after it was looked at: what was begun upon that must not outlive it."""
        await self._finder.stores.settled(home.tenant_id)
        while True:
            entry = _entry(principal, home, session_id, parent=version, action="deleted", detail={})
            await self._journal.session(entry)
            try:
                there = await self._files.remove(home, session_id, version + 1)
            except StoreUnavailable:
                log.warning("session %s is deleted in its store when that is back", session_id)
                self._start(self._later(lambda: self._finder.recovery.verify(home, session_id), entry))
                return
            if there <= version:
                return
            version = there

    async def _later(self, do: Callable[[], Awaitable[object]], entry: SessionEntry) -> None:
        for pause in retrying.STORE_LATER:
            await asyncio.sleep(pause)
            try:
                await do()
            except StoreUnavailable:
                continue
            return
        log.error("session %s could not be %s in its store; the journal has it", entry.session_id, entry.action)

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """What is begun is done to the end, also where nobody waits any more."""
        return await asyncio.shield(self._start(work))

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told to who waits, if anybody does


def _entry(
    principal: Principal, home: Home, session_id: str, *, parent: int, action: SessionAction, detail: Json
) -> SessionEntry:
    now = time.time()
    return SessionEntry(
        turn_id=new_turn_id(now),
        tenant_id=home.tenant_id,
        at=now,
        session_id=session_id,
        action=action,
        parent=parent,
        subject=principal.subject,
        user=home.user,
        key_id=principal.key_id,
        detail=detail,
    )
