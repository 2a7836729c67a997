"""How limits stand now: for people and programs that ask, never on the path of a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from engine.errors import StoreUnavailable, TenantSuspended
from tenants.limits.limiter import Limits
from tenants.limits.periods import Period
from tenants.limits.subjects import PLATFORM, Scope, Subject, Subjects
from tenants.limits.turn_scripts import NOW
from tenants.resp import Reply, Script

OF: Final = {"t": "tenant", "k": "key", "m": "member", "M": "model"}
PATIENCE: Final = 2.0  # seconds that are waited for what was spent, where that is not known yet

# Keys: for each subject log, bucket, slots. Arguments: for each the tokens a minute, 0: no limit. Returns for each:
# requests of the last minute, ms until the oldest is out of it, tokens left, turns under way.
READ: Final = Script(
    NOW
    + """
local found = {}
for i = 1, #KEYS / 3 do
  local log, bucket, slots = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local low, high = 0, redis.call('LLEN', log)
  local length = high
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('LINDEX', log, middle) + 60000 <= now then low = middle + 1 else high = middle end
  end
  local oldest = redis.call('LINDEX', log, low)
  local limit, kept = tonumber(ARGV[i]), redis.call('HMGET', bucket, 'level', 'at')
  local level = limit
  if kept[1] then level = math.min(limit, kept[1] + math.max(0, now - kept[2]) * limit / 60000) end
  found[#found + 1] = length - low
  found[#found + 1] = oldest and oldest + 60000 - now or 0
  found[#found + 1] = math.floor(level)
  found[#found + 1] = redis.call('ZCOUNT', slots, string.format('(%d', now), '+inf')
end
return found
"""
)


class Count(msgspec.Struct, kw_only=True):
    """`used` of `limit`; in `reset` seconds some or all of it is free again."""

    limit: int
    used: int
    reset: float = 0.0


class Money(msgspec.Struct, kw_only=True):
    """In millionths. `set_aside` is for calls under way. `used` None: nobody can say now. `resets_at`: Unix seconds."""

    limit: int
    used: int | None
    set_aside: int | None
    resets_at: int


class Standing(msgspec.Struct, kw_only=True):
    """One subject's limits as they stand; None where it has none of the kind. `name` is a row's id or a model's name;
    empty: the tenant's own, or the platform's."""

    of: str
    name: str = ""
    requests: Count | None = None
    tokens: Count | None = None
    turns: Count | None = None
    day: Money | None = None
    month: Money | None = None
    at_limit: str = "refuse"


async def tenant_standing(
    limits: Limits,
    tenant_id: int,
    *,
    keys: Collection[int] = (),
    members: Collection[int] = (),
    models: Collection[str] | None = None,
) -> list[Standing]:
    """Of a tenant, of these keys and members of it, and of these models, None: of all that it limits. Who has no limits
    is left out. Raises StoreUnavailable, TenantSuspended."""
    view = limits.view(tenant_id)
    if view is None:
        raise TenantSuspended
    subjects: Subjects = limits.subjects
    found = subjects.of_tenant(view, keys, members, models)
    scope = Scope(str(view.id), view.time_zone, view.id, tuple(found))
    return await _read(limits, scope, cheaper=view.cheaper)


async def platform_standing(limits: Limits) -> list[Standing]:
    """Of all tenants together, and of models for everybody. Raises StoreUnavailable."""
    return await _read(limits, Scope(PLATFORM, "UTC", None, tuple(limits.subjects.of_platform())), cheaper=False)


async def _read(limits: Limits, scope: Scope, *, cheaper: bool) -> list[Standing]:
    subjects = scope.subjects
    if not subjects:
        return []
    prefixes = [subject.prefix for subject in subjects]
    store = limits.store
    read = store.run(
        READ,
        [f"{prefix}{kind}" for prefix in prefixes for kind in ("requests", "tokens", "turns")],
        *(subject.quota.tokens or 0 for subject in subjects),
    )
    spent = await _spent(limits, scope) if scope.spenders else {}
    counts = await read
    return [
        _standing(scope, subject, counts[4 * place : 4 * place + 4], spent.get(subject.name), cheaper)
        for place, subject in enumerate(subjects)
    ]


Spent = tuple[Period, Period, int | None, int | None, int | None]


async def _spent(limits: Limits, scope: Scope) -> dict[str, Spent]:
    """By subject: the periods, what was spent in both, what is set aside."""
    purse = limits.purse
    day, month = purse.periods(scope)
    known = True
    try:
        async with asyncio.timeout(PATIENCE):
            await purse.rebuilder.known(scope, day, month)
    except (StoreUnavailable, TimeoutError):
        known = False
    keys, names = purse.keys(scope), [subject.name for subject in scope.spenders]
    generation = purse.generation
    fields = [f"{made}/{name}" for name in names for made in (generation, generation - 1)]
    replies: Sequence[Reply] = await asyncio.gather(
        limits.store.call("HMGET", keys[0], *names),
        limits.store.call("HMGET", keys[1], *names),
        limits.store.call("HMGET", keys[2], *fields),
    )
    found: dict[str, Spent] = {}
    for place, name in enumerate(names):
        aside = sum(int(amount or 0) for amount in replies[2][2 * place : 2 * place + 2])
        today, so_far = (int(reply[place] or 0) for reply in replies[:2])
        found[name] = (day, month, today, so_far, aside) if known else (day, month, None, None, None)
    return found


def _standing(scope: Scope, subject: Subject, counts: list[int], spent: Spent | None, cheaper: bool) -> Standing:
    quota = subject.quota
    requests, due, level, turns = counts
    standing = Standing(of=OF[subject.name[0]], name=subject.name[1:])
    if scope.tag == PLATFORM and subject.name == "t":
        standing.of = "platform"
    if quota.requests is not None:
        standing.requests = Count(limit=quota.requests, used=requests, reset=due / 1000)
    if quota.tokens is not None:
        used = quota.tokens - level
        standing.tokens = Count(limit=quota.tokens, used=used, reset=60 * used / max(1, quota.tokens))
    if quota.turns is not None:
        standing.turns = Count(limit=quota.turns, used=turns)
    if spent is not None:
        day, month, today, so_far, aside = spent
        if quota.day is not None:
            standing.day = Money(limit=quota.day, used=today, set_aside=aside, resets_at=int(day.ends))
        if quota.month is not None:
            standing.month = Money(limit=quota.month, used=so_far, set_aside=aside, resets_at=int(month.ends))
    if quota.cheaper if quota.cheaper is not None else cheaper:
        standing.at_limit = "cheaper"
    return standing
