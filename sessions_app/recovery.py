"""Brings sessions back into their store: those that left it, and what of them it lost. Implements `finding.Recovery`.

The journal is the truth: a session is its archived form, if there is one, and all that the journal says happened since
(`sessions_app.replaying`). What is written to the store is never older than what is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from engine.entries import PastEvent, PastTurn, SessionEntry
from engine.errors import StoreUnavailable
from engine.ports import SessionPast
from engine.types import Principal, SessionName
from sessions_app.finding import Recovered
from sessions_app.layout import RECENT, Home
from sessions_app.namesakes import Namesakes
from sessions_app.records import Record
from sessions_app.replaying import ENDS, NOTES, order, replay
from sessions_app.writing import SessionFiles, Stored
from tenants.isolation import Stores

log = logging.getLogger(__name__)

TRIES: Final = 5  # while others write the same session

T = TypeVar("T")


class Base(NamedTuple):
    """What a session is rebuilt upon. `record` None: it ended there, and one of its id that begins now goes on from
    `version`. `recent` are the ids of what was last done to it."""

    record: Record | None
    version: int
    recent: Sequence[str] = ()


NOTHING: Final = Base(None, 0)


class Archive(Protocol):
    """Where sessions are that left the store."""

    async def seen(self, names: Collection[SessionName]) -> set[SessionName]:
        """Those that anybody's session has there, or had. Raises StoreUnavailable."""

    async def fetch(self, home: Home, session_id: str) -> Base | None:
        """The session as it was put away. Raises StoreUnavailable."""

    async def whose(self, tenant_id: int, key_id: int, session_id: str) -> Home | None:
        """Which of the users that an API key named has such a session there."""

    async def forget(self, home: Home, session_id: str) -> None:
        """The session was deleted. Raises StoreUnavailable."""


class NoArchive:
    async def seen(self, names: Collection[SessionName]) -> set[SessionName]:
        return set()

    async def fetch(self, home: Home, session_id: str) -> Base | None:
        return None

    async def whose(self, tenant_id: int, key_id: int, session_id: str) -> Home | None:
        return None

    async def forget(self, home: Home, session_id: str) -> None:
        """There is nothing."""


class Rebuilt(NamedTuple):
    """A session by its archived form and the journal. `record` None: there is none, and one that begins now goes on
    from `version`. `recent` are the ids of what was last done, the newest first; `at` is when. `buried`: the archive
    has still what was deleted."""

    home: Home
    record: Record | None
    version: int
    recent: list[str]
    at: float
    buried: bool = False


class SessionRecovery:
    """One a process. Whoever asks for the same session at the same time shares the work, but nobody gets what was read
    before they asked."""

    def __init__(self, stores: Stores, past: SessionPast, *, archive: Archive | None = None) -> None:
        self._files = SessionFiles(stores)
        self._past = past
        self._archive = archive or NoArchive()
        self._namesakes = Namesakes(self._archive, past)
        self._next: dict[object, asyncio.Task[Any]] = {}
        self._running: dict[object, asyncio.Task[Any]] = {}

    async def recover(self, principal: Principal, session_id: str) -> Recovered:
        found = await self._shared(
            (principal.tenant_id, principal.user, principal.nameless, session_id),
            lambda: self._recover(
                principal.tenant_id, session_id, principal.user, principal.key_id if principal.nameless else None
            ),
        )
        if found.home is not None and principal.kind == "key" and found.home.user != principal.subject:
            await self._files.note_owner(found.home, Home(principal.tenant_id, principal.subject), session_id)
        return found

    async def verify(self, home: Home, session_id: str) -> None:
        await self._shared((home, session_id), lambda: self._verify(home, session_id))

    async def rebuild(self, home: Home, session_id: str, *, key_id: int | None = None) -> Rebuilt:
        """What the session is, whatever the store has. With `key_id`, where the key itself, naming nobody, has none, it
        is that of the one of its users who did the last of it. A new one is the key's own, and goes on from what the
        key's own was."""
        # mostly nobody has, or had, one of this id: a key whose caller names their sessions comes here with each new
        # one, and would ask twice as often about its users, in threads
        if key_id is not None and not await self._namesakes.seen(home.tenant_id, session_id):
            return Rebuilt(home, None, 0, [], 0.0)
        own = await self._rebuild(home, session_id)
        if own.record is not None or key_id is None:
            return own
        other = await self._rebuild(home, session_id, key_id)
        return other if other.record is not None else own

    async def _rebuild(self, home: Home, session_id: str, key_id: int | None = None) -> Rebuilt:
        if key_id is None:
            base = await self._base(home, session_id)
            events = await self._past.events(home.tenant_id, session_id, user=home.user, after=base.version)
        else:
            events = await self._past.events(home.tenant_id, session_id, key_id=key_id)
            if events:
                home = Home(home.tenant_id, events[-1].user)
            elif (owner := await self._archive.whose(home.tenant_id, key_id, session_id)) is not None:
                home = owner
            else:
                return Rebuilt(home, None, 0, [], 0.0)
            base = await self._base(home, session_id)
            events = [event for event in events if event.parent >= base.version]
        record, version = replay(base.record, events)
        version = max(version, base.version)
        at = max((event.at for event in events if isinstance(event, PastTurn)), default=None)
        if at is None:
            at = float(record.last_active) if record is not None else 0.0
        recent = list(dict.fromkeys([*recent_of(events), *base.recent]))[:RECENT]
        return Rebuilt(home, record, version, recent, at, buried=record is None and base.record is not None)

    async def _recover(self, tenant_id: int, session_id: str, user: str, key_id: int | None) -> Recovered:
        for _ in range(TRIES):
            home = Home(tenant_id, user)
            eras = [self._files.era(home, session_id)]  # before anything is read
            found = await self.rebuild(home, session_id, key_id=key_id)
            if found.record is None:
                if found.buried:  # whoever deleted it was stopped before they could
                    await self._archive.forget(found.home, session_id)
                return Recovered(None, found.version)
            era = eras[0] if found.home == home else ""
            if await self._put(found, session_id, era) or await self._files.load(found.home, session_id) is not None:
                return Recovered(found.home)
        raise StoreUnavailable("The session could not be brought back: it is being changed.")

    async def _put(self, found: Rebuilt, session_id: str, era: str) -> bool:
        assert found.record is not None
        return await self._files.put(found.home, session_id, found.record, found.recent, era=era, score=found.at)

    async def _verify(self, home: Home, session_id: str) -> None:
        for _ in range(TRIES):
            era = self._files.era(home, session_id)
            stored = await self._files.load(home, session_id)
            if stored is None:
                found = await self.rebuild(home, session_id)
                if found.record is None or await self._put(found, session_id, era):
                    return
            elif await self._mend(home, session_id, stored, era):
                return
        raise StoreUnavailable("The session could not be verified: it is being changed.")

    async def _mend(self, home: Home, session_id: str, stored: Stored, era: str) -> bool:
        """Adds what the journal has and the session lacks. False: it was changed meanwhile.

        Whatever was done to it upon one of its last versions is among its recent ids if the store has it, however the
        journal orders it: each made a version of its own, and there are as many ids."""
        before = stored.record
        after = max(0, before.version - (RECENT - 1))
        events = await self._past.events(home.tenant_id, session_id, user=home.user, after=after)
        missing = [event for event in events if event.turn_id not in stored.recent]
        if any(isinstance(event, SessionEntry) and event.action in ENDS for event in missing):
            return await self._replace(home, session_id, stored, era)
        record = replay(before, missing).record
        assert record is not None, "what does not end a session leaves one"
        if record.version > before.version:
            log.warning("session %s had lost %d changes in its store", session_id, record.version - before.version)
        recent = list(dict.fromkeys([*recent_of(missing), *stored.recent]))
        at = max((event.at for event in missing if isinstance(event, PastTurn)), default=float(record.last_active))
        return await self._files.put(home, session_id, record, recent, era=era, score=at, token=stored.token)

    async def _replace(self, home: Home, session_id: str, stored: Stored, era: str) -> bool:
        """It ended lately, before or after what is in the store began: the whole journal tells which."""
        found = await self.rebuild(home, session_id)
        if found.record is None:
            log.warning("session %s was deleted, and its store had forgotten that", session_id)
            return await self._files.remove(home, session_id, found.version, token=stored.token) >= 0
        return await self._files.put(
            home, session_id, found.record, found.recent, era=era, score=found.at, token=stored.token
        )

    async def _base(self, home: Home, session_id: str) -> Base:
        return await self._archive.fetch(home, session_id) or NOTHING

    # Shared work -------------------------------------------------------------------------------------------------

    async def _shared(self, name: object, work: Callable[[], Awaitable[T]]) -> T:
        task = self._next.get(name)
        if task is None:
            task = self._next[name] = asyncio.get_running_loop().create_task(self._in_turn(name, work))
            task.add_done_callback(_heard)
        found: T = await asyncio.shield(task)
        return found

    async def _in_turn(self, name: object, work: Callable[[], Awaitable[T]]) -> T:
        while (running := self._running.get(name)) is not None:
            await asyncio.wait([running])
        self._running[name] = self._next.pop(name)
        try:
            return await work()
        finally:
            del self._running[name]


def _heard(task: asyncio.Task[Any]) -> None:
    """Who left does not ask what went wrong."""
    if not task.cancelled():
        task.exception()


def recent_of(events: Sequence[PastEvent]) -> list[str]:
    """The ids of the last of them that made versions, the newest first."""
    made = [e for e in sorted(events, key=order) if not (isinstance(e, SessionEntry) and e.action in NOTES)]
    return [event.turn_id for event in reversed(made[-RECENT:])]
