"""Whole sessions in their store: read, written if nobody did so meanwhile, taken away. Turns have scripts of their own
(`sessions_app.layout`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from sessions_app import records
from sessions_app.layout import FIELDS, LEASES, NOTED, RECENT, Home, idle_member
from sessions_app.records import Record
from tenants.isolation import Stores
from tenants.valkey import Script

GONE: Final = 3_600_000  # ms it is remembered that a session was taken away: nobody reads the journal for so long
BARRED: Final = 60_000  # ms within which a session ends that is about to
NOTHING: Final = "0:0"  # what REMOVE finds where there is no session

_STATE: Final = ("edits", "recent")
_READ: Final = ", ".join(f"'{name}'" for name in (*FIELDS, *_STATE))

# Keys: session, turns. Returns {fields, turns}, or nil.
LOAD: Final = Script(
    f"""
local fields = redis.call('HMGET', KEYS[1], {_READ})
if not fields[1] then return nil end
return {{fields, redis.call('LRANGE', KEYS[2], 0, -1)}}
"""
)

# Keys: session, turns, index, lease, grave. Arguments: session id, "version:edits" that must be there ('': an older
# version than the new one, or nothing, and no grave of a later one), the new version, recent ids, the index's score (''
# leaves it), '1' to write the turns too, the era ('' leaves it and the holder), how many words of fields follow; these
# in pairs, then the turns. Returns 1, or 0: something else is there.
WRITE: Final = Script(
    LEASES
    + """
local had = redis.call('HMGET', KEYS[1], 'version', 'edits')
if ARGV[2] == '' then
  local gone = redis.call('GET', KEYS[5])
  if gone and tonumber(gone) >= tonumber(ARGV[3]) then return 0 end
  if had[1] and tonumber(had[1]) >= tonumber(ARGV[3]) then return 0 end
elseif not had[1] or had[1] .. ':' .. (had[2] or '0') ~= ARGV[2] then
  return 0
end
local last = 8 + tonumber(ARGV[8])
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'recent', ARGV[4], unpack(ARGV, 9, last))
redis.call('HINCRBY', KEYS[1], 'edits', 1)
if ARGV[6] == '1' then
  redis.call('DEL', KEYS[2])
  for place = last + 1, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[place]) end
end
if ARGV[7] ~= '' then
  local lease = redis.call('HMGET', KEYS[4], 'turn', 'until')
  redis.call('HSET', KEYS[1], 'era', ARGV[7], 'holder', alive(lease[1], lease[2]) and lease[1] or '')
  redis.call('HDEL', KEYS[4], 'doubt')
end
if ARGV[5] ~= '' then redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1]) end
return 1
"""
)

# Keys: session, turns, index, lease, grave. Arguments: session id, "version:edits" that must be there ('': whatever
# is), the version that the session has from now on, ms to remember it. Returns the version that was there, 0 if none
# was, -1 if something else is there.
REMOVE: Final = Script(
    """
local had = redis.call('HMGET', KEYS[1], 'version', 'edits')
if ARGV[2] ~= '' and (had[1] or '0') .. ':' .. (had[2] or '0') ~= ARGV[2] then return -1 end
local version = tonumber(had[1] or '0')
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
local gone = math.max(version + 1, tonumber(ARGV[3]), tonumber(redis.call('GET', KEYS[5]) or '0'))
redis.call('SET', KEYS[5], string.format('%d', gone), 'PX', ARGV[4])
return version
"""
)


class Stored(NamedTuple):
    """A session as it is in its store. `recent` are the ids of what was last done to it, `token` tells this state from
    all others."""

    record: Record
    recent: list[str]
    token: str


class SessionFiles:
    """All of them raise StoreUnavailable."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def era(self, home: Home, session_id: str) -> str:
        return self._stores.tenant(home.tenant_id).era(home.session(session_id))

    async def load(self, home: Home, session_id: str) -> Stored | None:
        reply = await self._stores.tenant(home.tenant_id).run(LOAD, home.keys(session_id))
        if reply is None:
            return None
        *fields, edits, recent = reply[0]
        record = records.read(session_id, fields, reply[1])
        return Stored(record, (recent or b"").decode().split(), f"{record.version}:{int(edits or 0)}")

    async def put(
        self,
        home: Home,
        session_id: str,
        record: Record,
        recent: Sequence[str],
        *,
        era: str,
        score: float,
        token: str = "",
    ) -> bool:
        """The session as the journal has it, found so under `era`, last changed at `score` (Unix seconds). False:
        something newer is there, or with `token`, something else."""
        done = await self._write(home, session_id, record, recent, token=token, score=f"{score * 1e6:.0f}", era=era)
        if done:
            store = self._stores.tenant(home.tenant_id)
            store.send("ZADD", home.idle, "GT", int(time.time()), idle_member(home.user, session_id))
        return done

    async def change(self, home: Home, session_id: str, before: Stored, after: Record, recent: Sequence[str]) -> bool:
        """False: the session is not as it was `before` any more."""
        return await self._write(
            home, session_id, after, recent, token=before.token, turns=after.turns is not before.record.turns
        )

    async def note_owner(self, home: Home, key_home: Home, session_id: str) -> None:
        """Which of an API key's users has the session: for a while, after which the journal tells it again."""
        await self._stores.tenant(home.tenant_id).call("SET", key_home.owner(session_id), home.user, "PX", NOTED)

    async def remove(self, home: Home, session_id: str, version: int, token: str = "") -> int:
        """Takes the session away, and whatever is older than `version` that somebody might still write. The version
        that was there, 0 if none was; with `token`, -1 if something else is there."""
        store = self._stores.tenant(home.tenant_id)
        store.send("ZREM", home.idle, idle_member(home.user, session_id))
        return int(await store.run(REMOVE, self._keys(home, session_id), session_id, token, version, GONE))

    async def bar(self, home: Home, session_id: str, version: int) -> bool:
        """For a minute nobody brings back the session at this version or an older one. False: it is in the store."""
        words = (session_id, NOTHING, version, BARRED)
        return int(await self._stores.tenant(home.tenant_id).run(REMOVE, self._keys(home, session_id), *words)) == 0

    async def unbar(self, home: Home, session_id: str) -> None:
        """It goes on after all."""
        await self._stores.tenant(home.tenant_id).call("DEL", home.grave(session_id))

    async def _write(
        self, home: Home, session_id: str, record: Record, recent: Sequence[str], *,
        token: str, score: str = "", era: str = "", turns: bool = True,
    ) -> bool:  # fmt: skip
        fields = _fields(record)
        said = [records.encode(turn) for turn in record.turns] if turns else []
        words = (session_id, token, record.version, " ".join(recent[:RECENT]), score, int(turns), era, len(fields))
        store = self._stores.tenant(home.tenant_id)
        return bool(await store.run(WRITE, self._keys(home, session_id), *words, *fields, *said))

    @staticmethod
    def _keys(home: Home, session_id: str) -> list[str]:
        return [*home.keys(session_id), home.index, home.lease(session_id), home.grave(session_id)]


def _fields(record: Record) -> list[str | bytes | int]:
    """Every one of `layout.FIELDS` but the version: what is empty here must not stay there."""
    words: list[str | bytes | int] = []
    for name in FIELDS[1:]:
        value = getattr(record, name)
        words += [name, value if isinstance(value, str | int) else records.encode(value) if value else b""]
    return words
