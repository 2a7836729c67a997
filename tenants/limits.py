"""What a tenant may use: requests and tokens a minute, turns at the same time. Implements `engine.ports.Limiter`.

An unlimited tenant costs no round trip. Anybody else's turn is admitted by one script, atomic over all workers, by the
server's clock, and its tokens are reserved by another. What a turn gives back rides along with the next one's scripts,
or leaves by itself a millisecond later:

* requests: a sliding-window log. The times of the last `limit` requests are a list; the oldest of them must be a minute
  old. No sixty seconds ever hold more than the limit, and a check takes constant time.
* turns at the same time: a sorted set of turn ids by deadline. A worker renews its own; a dead worker's run out.
* tokens: a token bucket (https://en.wikipedia.org/wiki/Token_bucket) that holds a minute's worth and refills evenly. A
  turn reserves its estimate and settles what was used, even if that leaves a debt. A turn larger than the whole bucket
  passes when the bucket is full, and reserves two of them at most: a reservation nobody settles, since its worker died,
  is gone after two minutes.

What could not be given back, since the store was away, rides along later. A command that failed on its way may have
been carried out nevertheless; then it counts twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Final

from engine.errors import ModelNotFound, RateLimited, StoreUnavailable, TenantSuspended
from engine.ports import Admission, Reservation
from engine.snapshots import Cell
from engine.types import ChatRequest, Instance, Principal, Usage
from tenants.directory import TenantTable, TenantView
from tenants.isolation import Stores
from tenants.valkey import Reply, Script
from tenants.visitor_limits import VisitorLimits

log = logging.getLogger(__name__)

SLOT_LEASE: Final = 30.0
DEFAULT_ANSWER_TOKENS: Final = 256
MAX_ANSWER_TOKENS: Final = 32_768  # reserved for an answer at most; a longer one is settled when it is there
MAX_TURN_TOKENS: Final = 4_000_000  # no model's window holds more: a larger count is a mistake of who counted
MAX_RESERVED_MINUTES: Final = 2
BUSY_RETRY_AFTER: Final = 1.0
RIDE: Final = 0.001  # seconds that something given back waits for a turn that takes it along
MAX_RIDERS: Final = 1000  # turn ids one script takes along

NOW: Final = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "

# Keys: request log, slots. Arguments: requests a minute, concurrent turns (0: no limit), turn id, lease in ms, ids of
# turns that are over.
# Returns 'ok', or 'requests' and the ms until the next is due, or 'turns'.
ADMIT: Final = Script(
    NOW
    + """
local limit, turns = tonumber(ARGV[1]), tonumber(ARGV[2])
if ARGV[5] then redis.call('ZREM', KEYS[2], unpack(ARGV, 5)) end
if turns > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  if redis.call('ZCARD', KEYS[2]) >= turns then return {'turns', 0} end
end
if limit > 0 then
  local oldest = redis.call('LINDEX', KEYS[1], -limit)
  if oldest and oldest + 60000 > now then return {'requests', oldest + 60000 - now} end
  redis.call('RPUSH', KEYS[1], string.format('%d', now))
  redis.call('LTRIM', KEYS[1], -limit, -1)
  redis.call('PEXPIRE', KEYS[1], 60000)
end
if turns > 0 then
  redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return {'ok', 0}
"""
)

# Keys: slots. Arguments: lease in ms, turn ids.
RENEW: Final = Script(
    NOW
    + """
for index = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[index]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
)

# Keys: bucket (hash of level and time). Arguments: tokens a minute, tokens to take, tokens used beyond earlier
# estimates (negative: not used). Returns the ms to wait, 0 when they were taken.
TAKE: Final = Script(
    NOW
    + """
local limit, amount = tonumber(ARGV[1]), tonumber(ARGV[2])
local rate, wait = limit / 60000, 0
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = limit
if kept[1] then level = math.min(limit, kept[1] + math.max(0, now - kept[2]) * rate) end
level = math.min(limit, level - ARGV[3])
local lacking = math.min(amount, limit) - level
if lacking > 0 then wait = math.ceil(lacking / rate) else level = level - amount end
redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'at', string.format('%d', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((limit - level) / rate) + 1000)
return wait
"""
)


class Unlimited:
    """The admission and the reservation of a tenant without the limit in question."""

    def release(self) -> None:
        pass

    def settle(self, usage: Usage) -> None:
        pass


UNLIMITED: Final = Unlimited()


class Slot:
    """One of a tenant's concurrent turns."""

    __slots__ = ("_key", "_limits", "_turn_id")

    def __init__(self, limits: Limits, key: str, turn_id: str) -> None:
        self._limits = limits
        self._key = key
        self._turn_id = turn_id

    def release(self) -> None:
        self._limits.give_back(self._key, self._turn_id)


class Tokens:
    """An estimate taken from a tenant's bucket."""

    __slots__ = ("_amount", "_limits", "_settled", "_view")

    def __init__(self, limits: Limits, view: TenantView, amount: int) -> None:
        self._limits = limits
        self._view = view
        self._amount = amount
        self._settled = False

    def settle(self, usage: Usage) -> None:
        if not self._settled:
            self._settled = True
            self._limits.correct(self._view, min(max(usage.total_tokens, 0), MAX_TURN_TOKENS) - self._amount)


class Limits:
    """`answer_tokens` is what a request without `max_tokens` is expected to produce."""

    def __init__(
        self,
        stores: Stores,
        tenants: Cell[TenantTable],
        *,
        lease: float = SLOT_LEASE,
        answer_tokens: int = DEFAULT_ANSWER_TOKENS,
    ) -> None:
        self._stores = stores
        self._tenants = tenants
        self._lease = lease
        self._answer_tokens = answer_tokens
        self._held: defaultdict[str, set[str]] = defaultdict(set)
        self._over: defaultdict[str, list[str]] = defaultdict(list)  # by slots: turns that ended
        self._visitors = VisitorLimits(stores.platform())
        self._owed: defaultdict[int, int] = defaultdict(int)  # by tenant: tokens used beyond the estimates
        self._renewal: asyncio.TimerHandle | None = None
        self._departure: asyncio.TimerHandle | None = None

    async def admit(self, principal: Principal, request: ChatRequest, turn_id: str) -> Admission:
        if principal.kind == "system":  # the platform's operator, at a test button
            return UNLIMITED
        view = self._view(principal)
        if principal.kind == "visitor":
            if not view.site.offers(request.model):
                raise ModelNotFound(param="model")
            await self._visitors.turn(view, principal.subject, principal.address)
        requests, turns = view.requests_per_minute, view.concurrent_turns
        if requests is None and turns is None:
            return UNLIMITED
        if requests == 0 or turns == 0:
            raise RateLimited("This tenant may not use the service.")
        slots = _key(view, "turns")
        if turns is not None:
            self._hold(slots, turn_id)
        try:
            lease, over = int(self._lease * 1000), self._over.pop(slots, [])
            answer = self._stores.platform().run(
                ADMIT, [_key(view, "requests"), slots], requests or 0, turns or 0, turn_id, lease, *over
            )
            answer.add_done_callback(partial(self._keep_slots, slots, over))
            _check_admitted(view, await asyncio.shield(answer))
        except BaseException as error:
            if turns is not None:
                self.give_back(slots, turn_id, taken=not isinstance(error, RateLimited | StoreUnavailable))
            raise
        return Slot(self, slots, turn_id) if turns is not None else UNLIMITED

    async def reserve(
        self, principal: Principal, instance: Instance, prompt_tokens: int, max_tokens: int | None
    ) -> Reservation:
        if principal.kind == "system":
            return UNLIMITED
        view = self._view(principal)
        limit = view.tokens_per_minute
        if limit is None:
            return UNLIMITED
        if limit == 0:
            raise RateLimited("This tenant may not use any tokens.")
        amount = min(prompt_tokens + self._expected(instance, max_tokens), limit * MAX_RESERVED_MINUTES)
        owed = self._owed.pop(view.id, 0)
        answer = self._stores.platform().run(TAKE, [_key(view, "tokens")], limit, amount, owed)
        answer.add_done_callback(partial(self._keep_tokens, view.id, owed))
        try:
            wait = await asyncio.shield(answer)
        except asyncio.CancelledError:
            answer.add_done_callback(partial(self._refund, view, amount))
            raise
        if wait:
            raise RateLimited(f"This tenant may use {limit} tokens a minute.", retry_after=wait / 1000)
        return Tokens(self, view, amount)

    def _expected(self, instance: Instance, max_tokens: int | None) -> int:
        """How long the answer may become, in tokens: what a caller writes there is no fact."""
        if max_tokens is None:
            return self._answer_tokens
        return min(max_tokens, instance.context_window or MAX_ANSWER_TOKENS, MAX_ANSWER_TOKENS)

    def correct(self, view: TenantView, amount: int) -> None:
        """`amount` tokens more than estimated were used, whatever is in the bucket; negative: less."""
        if amount and view.tokens_per_minute:
            self._owed[view.id] += amount
            self._depart_soon()

    def give_back(self, key: str, turn_id: str, *, taken: bool = True) -> None:
        """Ends a slot, once: a second call finds nothing."""
        held = self._held.get(key)
        if held is None or turn_id not in held:
            return
        held.discard(turn_id)
        if not held:
            del self._held[key]
        if taken:
            over = self._over[key]
            over.append(turn_id)
            if len(over) >= MAX_RIDERS:
                self._depart()
            else:
                self._depart_soon()

    def close(self) -> None:
        for timer in (self._renewal, self._departure):
            if timer is not None:
                timer.cancel()
        self._renewal = None
        self._depart()

    def _depart_soon(self) -> None:
        if self._departure is None:
            self._departure = asyncio.get_running_loop().call_later(RIDE, self._depart)

    def _depart(self) -> None:
        """What no turn has taken along."""
        self._departure = None
        over, self._over = self._over, defaultdict(list)
        owed, self._owed = self._owed, defaultdict(int)
        store = self._stores.platform()
        for key, turn_ids in over.items():
            removed = store.send("ZREM", key, *turn_ids)
            removed.add_done_callback(partial(self._keep_slots, key, turn_ids))
            removed.add_done_callback(_log_failure)
        for tenant_id, amount in owed.items():
            view = self._tenants.value.by_id.get(tenant_id)
            if view is not None and view.tokens_per_minute:
                taken = store.run(TAKE, [_key(view, "tokens")], view.tokens_per_minute, 0, amount)
                taken.add_done_callback(partial(self._keep_tokens, tenant_id, amount))
                taken.add_done_callback(_log_failure)

    def _keep_slots(self, key: str, turn_ids: Sequence[str], answer: asyncio.Future[Reply]) -> None:
        """For the next one to take along, where the store did not hear of them. Beyond the bound their leases end."""
        if turn_ids and _failed(answer):
            self._over[key] = [*self._over.get(key, ()), *turn_ids][:MAX_RIDERS]

    def _keep_tokens(self, tenant_id: int, amount: int, answer: asyncio.Future[Reply]) -> None:
        if amount and _failed(answer):
            self._owed[tenant_id] += amount

    def _refund(self, view: TenantView, amount: int, answer: asyncio.Future[Reply]) -> None:
        """What a cancelled turn has got after all."""
        if not _failed(answer) and answer.result() == 0:
            self.correct(view, -amount)

    def _view(self, principal: Principal) -> TenantView:
        view = self._tenants.value.by_id.get(principal.tenant_id)
        if view is None:
            raise TenantSuspended
        return view

    def _hold(self, key: str, turn_id: str) -> None:
        self._held[key].add(turn_id)
        if self._renewal is None:
            self._renewal = asyncio.get_running_loop().call_later(self._lease / 3, self._renew)

    def _renew(self) -> None:
        self._renewal = None
        if not self._held:
            return
        lease = int(self._lease * 1000)
        for key, turn_ids in self._held.items():
            self._stores.platform().run(RENEW, [key], lease, *turn_ids).add_done_callback(_log_failure)
        self._renewal = asyncio.get_running_loop().call_later(self._lease / 3, self._renew)


def _key(view: TenantView, what: str) -> str:
    return f"limits:{{{view.id}}}:{what}"


def _check_admitted(view: TenantView, reply: Reply) -> None:
    verdict, wait = reply
    if verdict == b"requests":
        raise RateLimited(
            f"This tenant may make {view.requests_per_minute} requests a minute.", retry_after=wait / 1000
        )
    if verdict == b"turns":
        raise RateLimited(
            f"This tenant may run {view.concurrent_turns} turns at the same time.", retry_after=BUSY_RETRY_AFTER
        )


def _failed(answer: asyncio.Future[Reply]) -> bool:
    return answer.cancelled() or answer.exception() is not None


def _log_failure(answer: asyncio.Future[Reply]) -> None:
    if not answer.cancelled() and (error := answer.exception()) is not None:
        log.warning("a tenant's limits could not be brought up to date: %r", error)
