"""How a session lies in its tenant's database: key names and the scripts that read and write them.

A session is a hash (`FIELDS`) and a list with one JSON array of messages a turn; the leading system messages live in
the hash, where a new one replaces the old. A sorted set a user holds its session ids by the microsecond of their last
turn. All keys of a user share the hash tag `{tenant:user}`, so each script touches one shard of a cluster. Times are
the server's.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from tenants.valkey import Script

ABOUT: Final = ("version", "last_active", "model_version", "user_profile", "name")  # a line of a list; in this order
FIELDS: Final = (*ABOUT, "system", "model", "instance", "model_changes", "pinned", "layers", "snapshots")
CHANGES: Final = 20  # of its model that a session notes
RECENT: Final = 8  # turns a session knows again
MAX_LISTED: Final = 10_000  # session ids a user's index remembers; the sessions themselves are not bounded by it
NOW: Final = "local t = redis.call('TIME') "

# Keys: session, turns. Arguments: ms to live from now (0: leave it). Returns {fields, turns}, or nil if there is none.
READ: Final = Script(
    f"""
local fields = redis.call('HMGET', KEYS[1], {", ".join(f"'{name}'" for name in FIELDS)})
if not fields[1] then return nil end
if ARGV[1] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
return {{fields, redis.call('LRANGE', KEYS[2], 0, -1)}}
"""
)

# Keys: session, turns, index. Arguments: session id, the turn, ms to live, '1' if the session may be new, the turn's
# id, the public name of the model that answered ('': a plugin did); then pairs of fields to set. Returns the new
# version, 0 if the session was deleted meanwhile. The last turns' ids are kept: a turn whose reply was lost may be sent
# again. Another model than the last turn's is noted here, where racing turns are one after the other.
APPEND: Final = Script(
    NOW
    + f"""
if ARGV[4] == '0' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local ttl = tonumber(ARGV[3])
local recent = redis.call('HGET', KEYS[1], 'recent') or ''
if ARGV[5] ~= '' and string.find(recent, ARGV[5], 1, true) then
  return tonumber(redis.call('HGET', KEYS[1], 'version'))
end
recent = string.sub(ARGV[5] .. ' ' .. recent, 1, {RECENT * 33})
local before = ARGV[6] ~= '' and redis.call('HGET', KEYS[1], 'model')
if before and before ~= ARGV[6] then
  local readable, notes = pcall(cjson.decode, redis.call('HGET', KEYS[1], 'model_changes') or '[]')
  local sound = readable and type(notes) == 'table'
  for place, note in pairs(sound and notes or {{}}) do
    sound = sound and type(place) == 'number' and type(note) == 'table' and note.at ~= nil
  end
  if not sound then notes = {{}} end
  notes[#notes + 1] = {{at = tonumber(t[1]), from = before, to = ARGV[6], turn_id = ARGV[5]}}
  while #notes > {CHANGES} do table.remove(notes, 1) end
  redis.call('HSET', KEYS[1], 'model_changes', cjson.encode(notes))
end
redis.call('HSET', KEYS[1], 'last_active', t[1], 'recent', recent, unpack(ARGV, 7))
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
if ARGV[2] ~= '' then redis.call('RPUSH', KEYS[2], ARGV[2]) end
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('PEXPIRE', KEYS[2], ttl)
local now = string.format('%.0f', t[1] * 1000000 + t[2])
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', t[1] * 1000000 + t[2] - (ttl + 60000) * 1000))
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -{MAX_LISTED + 1})
redis.call('PEXPIRE', KEYS[3], ttl)
return version
"""
)

# Keys: session. Arguments: pairs of fields to set. Returns the new version, 0 if there is no such session.
PATCH: Final = Script(
    """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return redis.call('HINCRBY', KEYS[1], 'version', 1)
"""
)

# Keys: session, turns, index. Arguments: session id. Returns 0 if there is no such session.
DELETE: Final = Script(
    """
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('DEL', KEYS[1], KEYS[2])
"""
)


class Home(msgspec.Struct, frozen=True):
    """Whose sessions: the names of the keys of one user of one tenant."""

    tenant_id: int
    user: str

    @property
    def tag(self) -> str:
        return f"{{{self.tenant_id}:{quote(self.user, safe=':@')}}}"

    @property
    def index(self) -> str:
        return f"sessions:{self.tag}"

    def session(self, session_id: str) -> str:
        return f"session:{self.tag}:{session_id}"

    def keys(self, session_id: str) -> list[str]:
        """The hash and the list."""
        session = self.session(session_id)
        return [session, f"{session}:turns"]

    def events(self, turn_id: str) -> str:
        """What a streamed turn sent."""
        return f"events:{self.tag}:{turn_id}"

    def owner(self, session_id: str) -> str:
        """Where an API key's home notes which of the key's users has the session, or the streamed turn."""
        return f"owner:{self.tag}:{session_id}"


_KEY: Final = re.compile(r"(session|sessions|events|owner):\{(\d+):([^{}]*)\}(?::.*)?\Z", re.DOTALL)


def user_of(name: str, tenant_id: int) -> str | None:
    """Whose session, list of sessions or stream is kept under this name; None: it is nothing of the kind."""
    found = _KEY.match(name)
    if found is None or found[1] == "owner" or found[2] != str(tenant_id):
        return None
    return unquote(found[3])


def is_owner(name: str, tenant_id: int) -> bool:
    """Whether it is kept there which of a key's users has a session."""
    found = _KEY.match(name)
    return found is not None and found[1] == "owner" and found[2] == str(tenant_id)


def is_session(name: str) -> bool:
    """Whether it is a session itself, not its turns and no list."""
    return name.startswith("session:") and not name.endswith(":turns")
