"""What was spent in a period, put together from what turns left on record: for a period that begins, and for one whose
counts the store may have lost.

A hash of counts is good for the life of the server in which it was begun (`!era`), so one that was emptied, restarted
or replaced is found out by the next turn that needs it. One worker takes the task, the others wait. A turn's charge
reaches the store at most 250 ms before its completion is durable; so what was charged longer ago than that, when the
records are read, is in them, and what is charged later is kept aside. Were there charges in that very moment the
records are read again; after `TRIES` readings, under a steady stream of turns, those charges are added though a few of
them may be in the records already: a budget may then be charged twice for turns that ended within half a second, never
too little. Several workers at once count nothing twice: only who holds the token of the hash may put counts there."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Final

from engine.errors import EngineError, StoreUnavailable
from engine.limiting import SpendingRecords, Spent
from tenants.handles import Store
from tenants.limits import scripts
from tenants.limits.periods import Period
from tenants.limits.subjects import PLATFORM, Scope, charged_to
from tenants.limits.turn_scripts import NOW
from tenants.resp import Script

log = logging.getLogger(__name__)

QUIET: Final = 0.3  # seconds between taking the task and reading the records: more than SETTLED_MS
TRIES: Final = 4
POLL: Final = 0.05
ALIVE: Final = 1.0  # seconds between two signs of life: who gives none for five has lost the task
PATIENCE: Final = 8.0  # seconds that turns wait for their budget to be known
PAUSE: Final = 1.0  # seconds after a failure until it is tried again
KEPT_MS: Final = 2 * 86_400_000  # beyond the period's end
CHUNK: Final = 500  # subjects a command


# Of one period. Keys: the hash, what comes in meanwhile. Arguments: era, token of the worker, 1: though it is known,
# ms that the hash is kept. Returns 'known', 'busy': another worker is at it, or 'go'.
BEGIN: Final = Script(
    NOW
    + """
local facts = redis.call('HMGET', KEYS[1], '!era', '!b', '!bt')
if facts[1] == ARGV[1] and ARGV[3] == '0' then return 'known' end
if facts[2] and facts[2] ~= ARGV[2] and now - facts[3] < 5000 then return 'busy' end
redis.call('HSET', KEYS[1], '!b', ARGV[2], '!bt', string.format('%d', now))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('UNLINK', KEYS[2])
return 'go'
"""
)

# Keys: the hash. Arguments: token. Returns the time, at which all that was charged before is recorded.
LOOK: Final = Script(
    NOW
    + """
if redis.call('HGET', KEYS[1], '!b') ~= ARGV[1] then return '' end
local text = string.format('%d', now)
redis.call('HSET', KEYS[1], '!bt', text)
return text
"""
)

# Keys: the hash, what came in meanwhile, the new hash with what is recorded. Arguments: era, token, the time of LOOK,
# 1: though there were charges at that time, ms that the hash is kept. Returns 'done', 'again' or 'lost'.
FINISH: Final = Script(
    """
if redis.call('HGET', KEYS[1], '!b') ~= ARGV[2] then
  redis.call('UNLINK', KEYS[3])
  return 'lost'
end
local first, late = math.floor((ARGV[3] - """
    + str(scripts.SETTLED_MS)
    + ") / "
    + str(scripts.SETTLED_MS)
    + """), redis.call('HGETALL', KEYS[2])
local more = {}
for i = 1, #late, 2 do
  local bucket, name = string.match(late[i], '^(%d+)/(.*)$')
  if tonumber(bucket) >= first then more[#more + 1] = {name, late[i + 1]} end
end
if #more > 0 and ARGV[4] == '0' then
  redis.call('UNLINK', KEYS[3])
  return 'again'
end
for _, each in ipairs(more) do redis.call('HINCRBY', KEYS[3], each[1], each[2]) end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 2) == '!w' then redis.call('HSET', KEYS[3], field, redis.call('HGET', KEYS[1], field)) end
end
redis.call('HSET', KEYS[3], '!era', ARGV[1], '!t0', ARGV[3])
redis.call('UNLINK', KEYS[2])
redis.call('RENAME', KEYS[3], KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 'done'
"""
)


class UnknownSpending:
    """Nobody keeps records: what was spent cannot be known."""

    async def spent(self, tenant_id: int, since: float) -> list[Spent]:
        raise StoreUnavailable("What was spent is not recorded.")


class Rebuilder:
    """One a process. `tenants` names all tenants, whose spending is the platform's."""

    def __init__(
        self, store: Store, spending: SpendingRecords, tenants: Callable[[], list[int]], time: Callable[[], float]
    ) -> None:
        self._store = store
        self._spending = spending
        self._tenants = tenants
        self._time = time
        self._token = secrets.token_hex(8)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failed: dict[str, float] = {}

    def era(self, scope: Scope) -> str:
        """Of the server where the scope's counts lie. A process keeps its data; which history it follows may change
        under it."""
        return self._store.era(scope.held).partition(".")[0] or "-"

    async def known(self, scope: Scope, *periods: Period) -> None:
        """Returns when the counts of the periods are good. Raises StoreUnavailable."""
        tasks = [self._task(scope, period, force=False) for period in periods]
        try:
            async with asyncio.timeout(PATIENCE):
                for task in tasks:
                    await asyncio.shield(task)
        except TimeoutError:
            raise StoreUnavailable("What was spent is still being added up.", retry_after=PAUSE) from None

    def again(self, scope: Scope, *periods: Period) -> None:
        """In the background, though the counts are good: a worker died, and what its turns used is on record alone."""
        for period in periods:
            self._task(scope, period, force=True)

    def _task(self, scope: Scope, period: Period, *, force: bool) -> asyncio.Task[None]:
        key = place(scope, period)
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.get_running_loop().create_task(self._rebuild(scope, period, force))
            task.add_done_callback(lambda done: self._over(key, done))
        return task

    def _over(self, key: str, task: asyncio.Task[None]) -> None:
        self._running.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("what was spent in %s could not be added up: %r", key, error)

    async def _rebuild(self, scope: Scope, period: Period, force: bool) -> None:
        key, forced = place(scope, period), "1" if force else "0"
        now = asyncio.get_running_loop().time()
        if self._failed.get(key, 0.0) > now:
            raise StoreUnavailable("What was spent cannot be added up now.", retry_after=PAUSE)
        life = int(max(0.0, period.ends - self._time()) * 1000) + KEPT_MS
        while True:
            era = self.era(scope)
            task = await self._store.run(BEGIN, [key, f"{key}:late"], era, self._token, forced, life)
            if self.era(scope) != era:  # it was known once the store had answered
                continue
            if task == b"known":
                return
            if task == b"go":
                break
            await asyncio.sleep(POLL)
        try:
            await self._add_up(scope, period, key, era, life)
        except (EngineError, OSError) as error:
            self._failed[key] = now + PAUSE
            self._store.send("HDEL", key, "!b")
            if isinstance(error, StoreUnavailable):
                error.retry_after = error.retry_after or PAUSE
            raise

    async def _add_up(self, scope: Scope, period: Period, key: str, era: str, life: int) -> None:
        fresh = f"{key}:new:{self._token}"
        for attempt in range(1, TRIES + 1):
            await asyncio.sleep(QUIET)
            read_at = await self._store.run(LOOK, [key], self._token)
            if not read_at:
                return
            sums = await self._read(scope, period, key)
            if sums is None:
                return
            await self._store.call("DEL", fresh)
            words: list[str | int] = [word for pair in sums.items() for word in pair]
            for start in range(0, len(words), 2 * CHUNK):
                self._store.send("HSET", fresh, *words[start : start + 2 * CHUNK])
            self._store.send("PEXPIRE", fresh, 60_000)  # in case this worker dies now
            last = "1" if attempt == TRIES else "0"
            done = await self._store.run(FINISH, [key, f"{key}:late", fresh], era, self._token, read_at, last, life)
            if done == b"lost":  # it took so long that another worker has the task
                return
            if done == b"done":
                log.info("what was spent in %s was added up: %d millionths", key, sums["t"])
                return

    async def _read(self, scope: Scope, period: Period, key: str) -> Counter[str] | None:
        """A month of many keys takes a while, and two workers must not take the task from each other for ever. None:
        another one has it."""
        reading = asyncio.ensure_future(self._sums(scope, period))
        try:
            while not (await asyncio.wait([reading], timeout=ALIVE))[0]:
                if not await self._store.run(LOOK, [key], self._token):
                    return None
            return reading.result()
        finally:
            reading.cancel()

    async def _sums(self, scope: Scope, period: Period) -> Counter[str]:
        """By the names of subjects."""
        sums = Counter({"t": 0})
        tenants = self._tenants() if scope.tenant_id is None else [scope.tenant_id]
        for tenant in tenants:
            for each in await self._spending.spent(tenant, period.since):
                names = charged_to(each.key_id, each.member_id, each.model)
                for name in names:
                    if scope.tag != PLATFORM or name[0] in "tM":
                        sums[name] += each.amount
        return sums


def place(scope: Scope, period: Period) -> str:
    """The key of a period's counts."""
    return scope.key(f"{period.kind}:{int(period.begins)}")
