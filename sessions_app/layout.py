"""How a session lies in its tenant's database: key names and the scripts that read and write them.

A session is a hash (`FIELDS`, and `era holder recent` for the scripts) and a list with one JSON array of messages a
turn; the leading system messages live in the hash, where a new one replaces the old. A sorted set a user holds its
session ids by the microsecond of their last turn. Who has a session's turn now, and who waits for it, is a hash of its
own (`Home.lease`). All keys of a user share the hash tag `{tenant:user}`, so each script touches one shard of a
cluster. Times are the server's.

`holder` is the last turn that was let in; empty, it has left in good order. A turn that finds another one's name there
was not let out of: what that turn left in the journal may be missing here. `era` names the life of the server in which
the session began or was last compared with the journal (`Store.era`), `recent` are the last turns that were appended.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from tenants.valkey import Script

ABOUT: Final = ("version", "last_active", "model_version", "user_profile", "name")  # a line of a list; in this order
FIELDS: Final = (*ABOUT, "system", "model", "instance", "model_changes", "pinned", "layers", "snapshots")
STATE: Final = ("recent", "era", "holder")  # what OPEN and READ return behind FIELDS
CHANGES: Final = 20  # of its model that a session notes
RECENT: Final = 8  # turns a session knows again
HOMES: Final = 4_096  # that a process has at hand
MAX_WAITING: Final = 8  # turns that wait for a session
IDLE_BUCKETS: Final = 16
NOTED: Final = 7 * 86_400_000  # ms that an API key's note of whose a session is outlives it: then the journal tells
NOW: Final = "local t = redis.call('TIME') "

# What the scripts of a lease share. The hash holds `turn` and `until` (ms) of who has it, `queue` with "turn worker
# ms;" of everyone who waits, in order, `spoiled` if the session was dropped under who has it, and `doubt` if the turn
# before was not let out, until the session was compared with the journal.
LEASES: Final = (
    NOW
    + """
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function alive(turn, till) return turn and tonumber(till) >= now end

local function others(queue, me)
  local found = {}
  for turn, worker, till in string.gmatch(queue or '', '(%S+) (%S+) (%d+);') do
    if turn ~= me and alive(turn, till) then found[#found + 1] = {turn, worker, till} end
  end
  return found
end

local function line(waiters)
  local words = {}
  for place, waiter in ipairs(waiters) do words[place] = table.concat(waiter, ' ') .. ';' end
  return table.concat(words)
end

-- Whose turn it is next, and the worker it waits at; empty if nobody waits, or somebody else has the lease.
local function leave(key, me)
  local lease = redis.call('HMGET', key, 'turn', 'until', 'queue')
  local waiters = others(lease[3], me)
  local held = lease[1] ~= me and alive(lease[1], lease[2])
  if not held and #waiters == 0 then
    redis.call('DEL', key)
    return '', ''
  end
  if not held then redis.call('HDEL', key, 'turn', 'until', 'spoiled', 'doubt') end
  redis.call('HSET', key, 'queue', line(waiters))
  if held then return '', '' end
  return waiters[1][1], waiters[1][2]
end
"""
)

_READ: Final = ", ".join(f"'{name}'" for name in (*FIELDS, *STATE))

# Keys: session, turns, lease. Returns {fields, turns}, or nil if there is none. With the lease's key, `holder` is empty
# also while its turn runs.
READ: Final = Script(
    LEASES
    + f"""
local fields = redis.call('HMGET', KEYS[1], {_READ})
if not fields[1] then return nil end
local holder = fields[#fields]
if KEYS[3] and holder and holder ~= '' then
  local lease = redis.call('HMGET', KEYS[3], 'turn', 'until')
  if lease[1] == holder and alive(lease[1], lease[2]) then fields[#fields] = '' end
end
return {{fields, redis.call('LRANGE', KEYS[2], 0, -1)}}
"""
)

# Takes the lease, or a place in the row, and reads the session. Keys: lease, session, turns. Arguments: turn id,
# worker, ms the lease is good for, ms a place is good for unless its turn asks again, '1' if the session may be new.
# Returns {'open', fields, turns} with the `holder` before this one, {'open'} if there is no session yet, {'wait',
# version}, {'busy', version}, or nil if there is none and nobody is about to make it.
OPEN: Final = Script(
    LEASES
    + f"""
local me = ARGV[1]
local fields = redis.call('HMGET', KEYS[2], {_READ})
local lease = redis.call('HMGET', KEYS[1], 'turn', 'until', 'queue')
local held = lease[1] ~= me and alive(lease[1], lease[2])
if held or lease[3] then
  local waiters, ahead, mine = {{}}, 0, false
  for turn, worker, till in string.gmatch(lease[3] or '', '(%S+) (%S+) (%d+);') do
    if turn == me then
      mine, ahead = true, #waiters
      waiters[#waiters + 1] = {{me, ARGV[2], string.format('%.0f', now + ARGV[4])}}
    elseif alive(turn, till) then
      waiters[#waiters + 1] = {{turn, worker, till}}
    end
  end
  if not mine then ahead = #waiters end
  if lease[1] ~= me and (held or ahead > 0) then
    if not mine then
      if #waiters >= {MAX_WAITING} then return {{'busy', fields[1] or '0'}} end
      waiters[#waiters + 1] = {{me, ARGV[2], string.format('%.0f', now + ARGV[4])}}
    end
    redis.call('HSET', KEYS[1], 'queue', line(waiters))
    redis.call('PEXPIRE', KEYS[1], ARGV[3] + ARGV[4])
    return {{'wait', fields[1] or '0'}}
  end
  redis.call('HSET', KEYS[1], 'queue', line(others(lease[3], me)))
end
if not fields[1] and ARGV[5] == '0' then
  leave(KEYS[1], me)
  return nil
end
if lease[1] then redis.call('HDEL', KEYS[1], 'spoiled') end
if lease[1] and lease[1] ~= me then redis.call('HDEL', KEYS[1], 'doubt') end
redis.call('HSET', KEYS[1], 'turn', me, 'until', string.format('%.0f', now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[3] + ARGV[4])
if not fields[1] then return {{'open'}} end
local before = fields[#fields]
if before and before ~= '' and before ~= me then redis.call('HSET', KEYS[1], 'doubt', before) end
redis.call('HSET', KEYS[2], 'holder', me)
return {{'open', fields, redis.call('LRANGE', KEYS[3], 0, -1)}}
"""
)

# Keys: lease, session. Arguments: turn id, ms. Prolongs the lease, and takes it again if it ran out and nobody has had
# the session since. Returns 1, or 0 if another turn has it or had it.
RENEW: Final = Script(
    LEASES
    + """
local lease = redis.call('HMGET', KEYS[1], 'turn', 'until')
if lease[1] ~= ARGV[1] then
  local session = redis.call('HMGET', KEYS[2], 'version', 'holder')
  if alive(lease[1], lease[2]) or (session[1] and session[2] ~= ARGV[1]) then return 0 end
end
redis.call('HSET', KEYS[1], 'turn', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]))
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[2])
return 1
"""
)

# Keys: lease, session. Arguments: turn id, '1' if nothing is left of the turn that the session lacks. Gives the lease
# back, or the place in the row; who left the session in doubt before this turn has its name there again. Returns whose
# turn it is next and the worker where it waits, both '' if nobody's.
RELEASE: Final = Script(
    LEASES
    + """
if ARGV[2] == '1' and redis.call('HGET', KEYS[2], 'holder') == ARGV[1] then
  local lease = redis.call('HMGET', KEYS[1], 'turn', 'doubt')
  if lease[1] == ARGV[1] then redis.call('HSET', KEYS[2], 'holder', lease[2] or '') end
end
return {leave(KEYS[1], ARGV[1])}
"""
)

# Keys: session, turns, index, lease. Arguments: session id, the turn, the version it was made upon, '1' if the session
# may be new, the turn's id, the public name of the model that answered ('': a plugin did), the server's era ('': not
# known); then pairs of fields to set. Gives the lease back. Returns {outcome, version, next turn, its worker}, outcome
# being 1: it is there; 0: the session was deleted or lost meanwhile; -1: another turn took it over, or the store is
# behind what the turn was made upon: the session is dropped, and comes from the journal when it is wanted.
# The last turns' ids are kept: a turn whose reply was lost may be sent again. Another model than the last turn's is
# noted here.
APPEND: Final = Script(
    LEASES
    + f"""
local me, parent = ARGV[5], tonumber(ARGV[3])
local had = redis.call('HMGET', KEYS[1], 'version', 'recent', 'holder', 'model')
local recent = had[2] or ''
if had[1] and string.find(recent, me, 1, true) then
  if had[3] == me then redis.call('HSET', KEYS[1], 'holder', '') end
  return {{1, tonumber(had[1]), leave(KEYS[4], me)}}
end
local lease = redis.call('HMGET', KEYS[4], 'turn', 'until', 'spoiled')
local taken = lease[1] ~= me and alive(lease[1], lease[2])
local fenced = taken or lease[3]
if had[1] then fenced = fenced or had[3] ~= me or tonumber(had[1]) < parent end
if fenced then
  redis.call('DEL', KEYS[1], KEYS[2])
  if taken then redis.call('HSET', KEYS[4], 'spoiled', '1') end
  return {{-1, 0, leave(KEYS[4], me)}}
end
if not had[1] and ARGV[4] == '0' then return {{0, 0, leave(KEYS[4], me)}} end
local before = ARGV[6] ~= '' and had[4]
if before and before ~= ARGV[6] then
  local readable, notes = pcall(cjson.decode, redis.call('HGET', KEYS[1], 'model_changes') or '[]')
  local sound = readable and type(notes) == 'table'
  for place, note in pairs(sound and notes or {{}}) do
    sound = sound and type(place) == 'number' and type(note) == 'table' and note.at ~= nil
  end
  if not sound then notes = {{}} end
  notes[#notes + 1] = {{at = tonumber(t[1]), from = before, to = ARGV[6], turn_id = me}}
  while #notes > {CHANGES} do table.remove(notes, 1) end
  redis.call('HSET', KEYS[1], 'model_changes', cjson.encode(notes))
end
recent = string.sub(me .. ' ' .. recent, 1, {RECENT * 33})
local version = (tonumber(had[1]) or parent) + 1
local holder = lease[1] == me and '' or me
redis.call('HSET', KEYS[1], 'version', string.format('%d', version), 'last_active', t[1], 'recent', recent,
  'holder', holder, unpack(ARGV, 8))
if ARGV[7] ~= '' and not had[1] then redis.call('HSET', KEYS[1], 'era', ARGV[7]) end
if ARGV[2] ~= '' then redis.call('RPUSH', KEYS[2], ARGV[2]) end
redis.call('ZADD', KEYS[3], string.format('%.0f', t[1] * 1000000 + t[2]), ARGV[1])
return {{1, version, leave(KEYS[4], me)}}
"""
)


_PLAIN: Final = re.compile(r"[\w.~:@-]*\Z", re.ASCII)  # what `quote` leaves as it is


class Home(msgspec.Struct, frozen=True):
    """Whose sessions: the names of the keys of one user of one tenant. `tag` is made here, once: a turn has eight names
    made."""

    tenant_id: int
    user: str
    tag: str = ""

    def __post_init__(self) -> None:
        user = self.user if _PLAIN.match(self.user) else quote(self.user, safe=":@")
        msgspec.structs.force_setattr(self, "tag", f"{{{self.tenant_id}:{user}}}")

    @property
    def index(self) -> str:
        return f"sessions:{self.tag}"

    @property
    def listed(self) -> str:
        """The life of the server in which the index was last known to be whole."""
        return f"listed:{self.tag}"

    def session(self, session_id: str) -> str:
        return f"session:{self.tag}:{session_id}"

    def keys(self, session_id: str) -> list[str]:
        """The hash and the list."""
        session = self.session(session_id)
        return [session, f"{session}:turns"]

    def lease(self, session_id: str) -> str:
        """Whose turn it is, and who waits."""
        return f"lease:{self.tag}:{session_id}"

    def grave(self, session_id: str) -> str:
        """For a while, the version of a session that was taken away: nobody may bring back an older one."""
        return f"gone:{self.tag}:{session_id}"

    @property
    def idle(self) -> str:
        """See `idle_key`."""
        return idle_key(self.tenant_id, self.user)

    def events(self, turn_id: str) -> str:
        """What a streamed turn sent."""
        return f"events:{self.tag}:{turn_id}"

    def owner(self, session_id: str) -> str:
        """Where an API key's home notes which of the key's users has the session, or the streamed turn."""
        return f"owner:{self.tag}:{session_id}"


home_of: Final = lru_cache(HOMES)(Home)  # the same of those who were there lately, which no turn makes anew


def idle_key(tenant_id: int, user: str) -> str:
    """A sorted set of all sessions of some users of a tenant by the second of their last turn; see `idle_member`."""
    return idle_bucket(tenant_id, zlib.crc32(user.encode()) % IDLE_BUCKETS)


def idle_bucket(tenant_id: int, number: int) -> str:
    """One of `IDLE_BUCKETS`."""
    return f"idle:{{{tenant_id}:{number:02}}}"


def idle_member(user: str, session_id: str) -> str:
    return f"{user}\x1f{session_id}"


def of_idle_member(member: str) -> tuple[str, str]:
    """The user and the session's id."""
    user, _, session_id = member.rpartition("\x1f")
    return user, session_id


_KEY: Final = re.compile(r"(session|sessions|listed|events|lease|gone|owner):\{(\d+):([^{}]*)\}(?::.*)?\Z", re.DOTALL)


def user_of(name: str, tenant_id: int) -> str | None:
    """Whose session, or what belongs to one, is kept under this name; None: it is nothing of the kind."""
    found = _KEY.match(name)
    if found is None or found[1] == "owner" or found[2] != str(tenant_id):
        return None
    return unquote(found[3])


def is_owner(name: str, tenant_id: int) -> bool:
    """Whether it is kept there which of a key's users has a session."""
    found = _KEY.match(name)
    return found is not None and found[1] == "owner" and found[2] == str(tenant_id)


def is_idle(name: str, tenant_id: int) -> bool:
    """Whether it is one of the lists by last activity."""
    return name.startswith(f"idle:{{{tenant_id}:")


def is_session(name: str) -> bool:
    """Whether it is a session itself, not its turns and no list."""
    return name.startswith("session:") and not name.endswith(":turns")
