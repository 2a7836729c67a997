"""Puts idle sessions away: what nobody used for a while leaves the store for the archive, and comes back when touched.

The index by last activity (`layout.idle_key`) says who may be idle. Each step can be the last one before a crash:

1. the session is read from the store
2. object and row are written, and durable
3. one script takes it out of the store, if nothing of it changed since and no turn has it or waits for it
4. it leaves the index

A session that is in both places is a live one; the archive's copy is then what it would be rebuilt upon."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NamedTuple

from django.db import DatabaseError

from engine.errors import EngineError, StoreUnavailable
from sessions_app import layout, records
from sessions_app.layout import FIELDS, IDLE_BUCKETS, Home
from sessions_app.recovery import SessionRecovery
from sessions_app.shelf import Idle, Shelf
from tenants.isolation import Store
from tenants.valkey import Script

log = logging.getLogger(__name__)

BATCH: Final = 64  # sessions that are read, written and removed together,
AT_ONCE: Final = 8  # so many read at a time,
BYTES: Final = 16 << 20  # and no more of them once they have so many bytes
REST: Final = 1.0  # pauses as long as the work before them: turns have the store and the disk the other half
LONGEST_REST: Final = 1.0
SCAN: Final = 500

KEPT: Final = (*FIELDS, "recent", "edits")  # what must not have changed since it was read
DOUBTS: Final = ("era", "holder")

# Keys: session, turns, lease, index. Arguments: session id. Returns {fields, turns, whether anybody has or wants the
# lease, the index's score}, or nil.
LOOK: Final = Script(
    f"""
local fields = redis.call('HMGET', KEYS[1], {", ".join(f"'{name}'" for name in (*KEPT, *DOUBTS))})
if not fields[1] then return nil end
local turns = redis.call('LRANGE', KEYS[2], 0, -1)
return {{fields, turns, redis.call('EXISTS', KEYS[3]), redis.call('ZSCORE', KEYS[4], ARGV[1])}}
"""
)

# Keys: session, turns, lease, index. Arguments: session id, how many turns it has, then its fields as they were read
# ('': not there). Returns 1: it is gone from here; 0: it was used, or is about to be; -1: it was gone before.
REMOVE: Final = Script(
    f"""
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local fields = redis.call('HMGET', KEYS[1], {", ".join(f"'{name}'" for name in KEPT)})
if not fields[1] then return -1 end
if redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[2]) then return 0 end
for place, value in ipairs(fields) do
  if (value or '') ~= ARGV[place + 2] then return 0 end
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[4], ARGV[1])
return 1
"""
)

# Keys: an idle index. Arguments: pairs of member and score. Takes out those whose score is still this one.
SETTLE: Final = Script(
    """
for place = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[place])
  if score and tonumber(score) == tonumber(ARGV[place + 1]) then redis.call('ZREM', KEYS[1], ARGV[place]) end
end
"""
)


class Member(NamedTuple):
    """Of an idle index."""

    text: str
    score: float
    home: Home
    session_id: str


class Found(NamedTuple):
    """A session as it lies in the store, its index's score for it, and whether anybody has or wants its lease."""

    member: Member
    fields: list[bytes | None]
    state: list[bytes | None]
    turns: list[bytes]
    at: int
    held: bool

    def idle(self) -> Idle:
        record = records.read(self.member.session_id, self.fields[: len(FIELDS)], self.turns)
        recent = (self.fields[len(FIELDS)] or b"").decode().split()
        return Idle(self.member.home.user, self.member.session_id, self.at, record, recent)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.turns)) + sum(len(value or b"") for value in self.fields)


class PutAway(NamedTuple):
    """How many were looked at, who of them may leave the index, how many were archived, and how many were active after
    all: their place in the index is right now."""

    seen: int
    gone: list[Member]
    archived: int
    active: int


class Swept(NamedTuple):
    """`left`: idle sessions that were in use after all, or could not be put away."""

    archived: int = 0
    left: int = 0
    complete: bool = True


class Sweeper:
    """Sweeps one tenant's store. `rest` is how many times as long as its work it pauses."""

    def __init__(
        self,
        store: Store,
        shelf: Shelf,
        tenant_id: int,
        recovery: SessionRecovery,
        *,
        batch: int = BATCH,
        most_bytes: int = BYTES,
        rest: float = REST,
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._tenant_id = tenant_id
        self._recovery = recovery
        self._batch = batch
        self._bytes = most_bytes
        self._rest = rest

    async def sweep(self, before: int, goes_on: Callable[[], bool] = lambda: True) -> Swept:
        """Puts away what was last active before then (Unix seconds), the longest idle first in each part of the index.
        Not `complete`: `goes_on` said no. Raises StoreUnavailable: the store is away; nothing is lost."""
        archived = left = 0
        for number in range(IDLE_BUCKETS):
            key = layout.idle_bucket(self._tenant_id, number)
            skipped = 0
            while members := await self._members(key, before, skipped):
                if not goes_on():
                    return Swept(archived, left, complete=False)
                began = time.perf_counter()
                done = await self._put_away(members, before)
                await self._settle(key, done.gone)
                archived += done.archived
                stay = done.seen - len(done.gone) - done.active
                left, skipped = left + stay, skipped + stay
                await asyncio.sleep(min(LONGEST_REST, self._rest * (time.perf_counter() - began)))
        return Swept(archived, left)

    async def _members(self, key: str, before: int, skipped: int) -> list[Member]:
        limits = ("LIMIT", skipped, self._batch)
        found = await self._store.call("ZRANGEBYSCORE", key, "-inf", f"({before}", "WITHSCORES", *limits)
        pairs = zip(found[::2], found[1::2], strict=True)
        return [_member(self._tenant_id, text.decode(), float(score)) for text, score in pairs]

    async def _put_away(self, members: Sequence[Member], before: int) -> PutAway:
        read = await self._read(members)
        members = members[: len(read)]
        gone = [member for member, found in zip(members, read, strict=True) if found is None]
        idle: list[tuple[Found, Idle]] = []
        active = 0
        for found in read:
            if found is None:
                continue
            session = found.idle()
            if session.record.last_active >= before:
                await self._correct(found.member, session.record.last_active)
                active += 1
            elif found.held:
                continue
            elif self._in_doubt(found):  # what its store may have lost comes first; then it is idle still
                await self._recovery.verify(found.member.home, found.member.session_id)
            else:
                idle.append((found, session))
        kept = await self._keep([one for _, one in idle])
        ready = [found for (found, _), stored in zip(idle, kept, strict=True) if stored]
        outcomes = await asyncio.gather(*(self._remove(found) for found in ready))
        removed = [found.member for found, outcome in zip(ready, outcomes, strict=True) if outcome == 1]
        lost = [found.member for found, outcome in zip(ready, outcomes, strict=True) if outcome == -1]
        if lost:
            await self._see_to(lost)
        return PutAway(len(members), [*gone, *removed, *lost], len(removed), active)

    async def _read(self, members: Sequence[Member]) -> list[Found | None]:
        """Of the first ones, as many as there is memory for."""
        read: list[Found | None] = []
        size = 0
        while len(read) < len(members) and size < self._bytes:
            some = members[len(read) : len(read) + AT_ONCE]
            found = await asyncio.gather(*(_look(self._store, member) for member in some))
            size += sum(one.size for one in found if one is not None)
            read += found
        return read

    async def _see_to(self, lost: Sequence[Member]) -> None:
        """They left the store while they were put away. What was deleted or erased must not come back from the archive;
        what somebody else put away, or the store lost, is there rightly."""
        for member in lost:
            if (await self._recovery.rebuild(member.home, member.session_id)).record is None:
                await asyncio.to_thread(self._shelf.drop, member.home, [member.session_id])

    def _in_doubt(self, found: Found) -> bool:
        """As when a turn opens it: its store lived through something since, or its last turn was never let out."""
        written, holder = found.state
        era = self._store.era(found.member.home.session(found.member.session_id))
        return bool(holder) or bool(era and written != era.encode())

    async def _keep(self, sessions: list[Idle]) -> list[bool]:
        if not sessions:
            return []
        try:
            return await asyncio.to_thread(self._shelf.put, self._tenant_id, sessions)
        except (EngineError, OSError, DatabaseError) as error:
            log.error("sessions of tenant %d stay in the store: %s", self._tenant_id, error)
            raise StoreUnavailable from error

    async def _remove(self, found: Found) -> int:
        values = [value or b"" for value in found.fields]
        session_id, turns = found.member.session_id, len(found.turns)
        return int(await self._store.run(REMOVE, _keys(found.member), session_id, turns, *values))

    async def _correct(self, member: Member, last_active: int) -> None:
        await self._store.call("ZADD", member.home.idle, "GT", last_active, member.text)

    async def _settle(self, key: str, members: Sequence[Member]) -> None:
        if members:
            pairs: list[Any] = [word for member in members for word in (member.text, repr(member.score))]
            await self._store.run(SETTLE, [key], *pairs)


async def read_all(store: Store, tenant_id: int) -> AsyncIterator[Found]:
    """Every session of the store, as it is when its turn comes."""
    async for names in store.scan(SCAN, "session:*"):
        for name in names:
            place = _place(name, tenant_id) if layout.is_session(name) else None
            if place is not None and (found := await _look(store, _member_of(*place))) is not None:
                yield found


async def index_all(store: Store, tenant_id: int, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Looks at every session of the store; those that the index by last activity does not know are added. How many."""
    added = 0
    async for names in store.scan(SCAN, "session:*"):
        if not goes_on():
            break
        mine = [name for name in names if layout.is_session(name)]
        places = [place for name in mine if (place := _place(name, tenant_id)) is not None]
        added += sum(await asyncio.gather(*(_indexed(store, *place) for place in places)))
        await asyncio.sleep(0.01)
    return added


async def _indexed(store: Store, home: Home, session_id: str) -> int:
    seen = await store.call("HGET", home.session(session_id), "last_active")
    at = int(seen) if seen is not None and seen.isdigit() else 0
    return int(await store.call("ZADD", home.idle, "NX", at, layout.idle_member(home.user, session_id)))


def _member(tenant_id: int, text: str, score: float) -> Member:
    user, session_id = layout.of_idle_member(text)
    return Member(text, score, Home(tenant_id, user), session_id)


async def _look(store: Store, member: Member) -> Found | None:
    reply = await store.run(LOOK, _keys(member), member.session_id)
    if reply is None:
        return None
    values, turns, held, score = reply
    fields, state = values[: len(KEPT)], values[len(KEPT) :]
    at = int(float(score)) if score is not None else int(fields[1] or 0) * 1_000_000
    return Found(member, fields, state, turns, at, bool(held))


def _member_of(home: Home, session_id: str) -> Member:
    return Member(layout.idle_member(home.user, session_id), 0.0, home, session_id)


def _keys(member: Member) -> list[str]:
    home, session_id = member.home, member.session_id
    return [*home.keys(session_id), home.lease(session_id), home.index]


def _place(name: str, tenant_id: int) -> tuple[Home, str] | None:
    """Whose session is kept under this name, and its id."""
    user = layout.user_of(name, tenant_id)
    return (Home(tenant_id, user), name.rpartition(":")[2]) if user is not None else None


def goes_on_for(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() < until
