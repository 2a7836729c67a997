"""Portions of tenants' counters that this worker spends without asking anybody.

A tag (see `subjects`) under traffic gets a lease: while its counters are far from their ends the worker takes portions
of all of them with one script (`LEND`), about eight times a second, and lets turns pass from these at once. What is
lent counts as used at the store from that moment, so nothing ever exceeds its limit:

* requests: their entries in the log bear the end of the lease, so they leave the window later than what they stand for.
* tokens: what may be lent and unused is missing from what the bucket holds at most.
* slots: a lent slot is one of the sorted set, handed out again and again.
* money: it is set aside as for a call.

A portion is good for `LIFE` from the moment it was asked for; the store reckons with `LEASE_MS` from its answer, which
is later. The next script's answer replaces it, and what was left over goes back. Nothing is lent to who was idle for a
tick, nor for a second after somebody was refused while others held portions; who is, waits until they hold them no
more and asks again. A worker that dies leaves its requests to their minute, its slots to their deadline, its tokens to
the refill, and its money to the end of what it had set aside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from tenants.limits.cash import Cash
from tenants.limits.corrections import Corrections, Owed
from tenants.limits.money import Purse
from tenants.limits.portions import MOST_SLOTS, Places, Portion
from tenants.limits.shares import Share
from tenants.limits.slots import Slots, failed, log_failure
from tenants.limits.subjects import REMEMBERED, Scope, marks
from tenants.limits.turn_scripts import LEND
from tenants.limits.waiting import Line
from tenants.resp import Reply

LIFE: Final = 0.25
TICK: Final = 0.125
HEAT: Final = 8  # turns that asked the store within a tick: from then on it pays to borrow
LEAST_LIMIT: Final = 128  # a sixteenth of a smaller one is not worth a script
MOST_REQUESTS: Final = 20_000  # asked for at once
MOST_TOKENS: Final = 10**9
SHORTEST: Final = 0.002  # no use is extrapolated from less


class Order(msgspec.Struct):
    """What a script was sent for. `firsts` are the numbers of the first slots asked for."""

    sent: float
    logs: list[Portion]
    slots: list[Places]
    buckets: list[Portion]
    firsts: list[int]
    limits: list[int]  # of the logs and the buckets


class Lease:
    """Of one tag. `logs`, `slots` and `buckets` are those of its counters that are in use, `cash` is by scope."""

    def __init__(self, leases: Leases, tag: str) -> None:
        self.tag = tag
        self.held = False
        self.logs: dict[str, Portion] = {}
        self.slots: dict[str, Places] = {}
        self.buckets: dict[str, Portion] = {}
        self.cash: dict[Scope, Cash] = {}
        self._leases = leases
        self._places: dict[str, Places] = {}
        self._portions: dict[str, Portion] = {}
        self._asking = False
        self._lends = True
        self._asked = 0.0
        self._turns = 0  # that asked the store, since `_since`
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def log(self, key: str, limit: int) -> Portion:
        known = self._portions.setdefault(key, Portion(key, limit))
        if known.limit != limit:
            self._return_requests(known, known.swap(0, 0, 0.0, 0.0))
            known.limit = limit
        return known

    def bucket(self, key: str, limit: int) -> Portion:
        known = self._portions.setdefault(key, Portion(key, limit))
        if known.limit != limit:
            self._swap_tokens(known, 0, 0, 0.0, 0.0)
            known.limit = limit
        return known

    def places(self, key: str, limit: int) -> Places:
        known = self._places.get(key)
        if known is None:
            known = self._places[key] = Places(key, limit, self._give_back)
        known.limit = limit
        return known

    def missed(self, share: Share, tokens: int, amount: int, now: float) -> None:
        """A turn had to ask the store."""
        if not self.held:
            if now - self._since > TICK:
                self._since, self._turns = now, 0
            self._turns += 1
            if self._turns < HEAT:
                return
            self._begin()
        for log in share.logs:
            log.used += 1
            self.logs[log.key] = log
        for places in share.slots:
            places.used += 1
            places.missed += 1
            places.held = True
            self.slots[places.key] = places
        for bucket in share.buckets:
            bucket.used += tokens
            self.buckets[bucket.key] = bucket
        if share.cash is not None:
            share.cash.used += amount
            self.cash[share.scope] = share.cash
        self.hurry(now)

    def hurry(self, now: float) -> None:
        """Asks before the tick, unless the last answer was that there is nothing."""
        if self._lends and not self._asking:
            self._ask(now)

    def _begin(self) -> None:
        self.held = True
        self._lends = True
        self._asked = self._since
        self._leases.began(self)

    def tick(self) -> None:
        self._timer = None
        self._drop_idle()
        if not (self.logs or self.slots or self.buckets or self.cash):
            self.end()
        elif self._asking:
            self._plan()
        else:
            self._ask(self._leases.clock())

    def _drop_idle(self) -> None:
        for log in [log for log in self.logs.values() if not log.used]:
            self._return_requests(log, log.swap(0, 0, 0.0, 0.0))
            del self.logs[log.key]
        for bucket in [bucket for bucket in self.buckets.values() if not bucket.used]:
            self._swap_tokens(bucket, 0, 0, 0.0, 0.0)
            del self.buckets[bucket.key]
        for places in [places for places in self.slots.values() if not places.used]:
            places.held = False
            places.surrender()
            del self.slots[places.key]
        for scope, cash in [(scope, cash) for scope, cash in self.cash.items() if not cash.used]:
            cash.drop()
            del self.cash[scope]

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._leases.later(TICK, self.tick)

    def _ask(self, now: float) -> None:
        leases = self._leases
        logs, slots, buckets = list(self.logs.values()), list(self.slots.values()), list(self.buckets.values())
        order = Order(now, logs, slots, buckets, [], [portion.limit for portion in (*logs, *buckets)])
        stretches = TICK / max(SHORTEST, now - self._asked)
        self._asking, self._asked = True, now
        for cash in self.cash.values():
            cash.ask(stretches, now + LIFE)
        words: list[str | int] = []
        for log in order.logs:
            words += (log.limit, log.wanted(stretches, MOST_REQUESTS))
        for places in order.slots:
            wanted, first = places.wanted(), leases.reserve_numbers()
            order.firsts.append(first)
            words += (places.limit, wanted, first, leases.id(places.oldest) if places.known else "")
        owed: Owed = {}
        for bucket in order.buckets:
            tokens = leases.corrections.take(self.tag, bucket.key)
            if tokens:
                owed[bucket.key] = (bucket.limit, tokens)
            words += (bucket.limit, bucket.wanted(stretches, MOST_TOKENS), tokens)
        keys = [*self.logs, *self.slots, *self.buckets, marks(self.tag)]
        counts = (len(order.logs), len(order.slots), len(order.buckets))
        answer = leases.store.run(LEND, keys, *counts, leases.slots.lease_ms, leases.id(""), *words)
        answer.add_done_callback(partial(self._answered, order))
        if owed:
            answer.add_done_callback(partial(leases.corrections.keep, self.tag, owed))
        leases.corrections.depart_of(self.tag)  # of buckets that no call asks for now
        self._plan()

    def _answered(self, order: Order, answer: asyncio.Future[Reply]) -> None:
        self._asking = False
        if failed(answer):
            log_failure(answer)
            self.end()
            return
        reply = iter(answer.result())
        sent, until = order.sent, order.sent + LIFE
        for log in order.logs:
            count, made, left, reset = (next(reply) for _ in range(4))
            self._return_requests(log, log.swap(count, left, sent + reset / 1000, until))
            log.stamp = made
        for places, first in zip(order.slots, order.firsts, strict=True):
            self._lent(places, first, next(reply), until)
        for bucket in order.buckets:
            count, left, reset = (next(reply) for _ in range(3))
            self._swap_tokens(bucket, count, left, sent + reset / 1000, until)
        self._lends = all(portion.granted for portion in (*order.logs, *order.buckets))
        self._return_unwanted(order)

    def _return_unwanted(self, order: Order) -> None:
        """What went out of use, or was limited otherwise, while the script was under way."""
        portions = zip((*order.logs, *order.buckets), order.limits, strict=True)
        changed = {portion.key for portion, limit in portions if portion.limit != limit}
        self._surrender(
            [log for log in order.logs if log.key in changed or log.key not in self.logs],
            [places for places in order.slots if places.key not in self.slots],
            [bucket for bucket in order.buckets if bucket.key in changed or bucket.key not in self.buckets],
        )

    def _lent(self, places: Places, first: int, count: int, until: float) -> None:
        leases = self._leases
        if count == -2:
            places.lost()
        elif count == -1:
            places.surrender()
        else:
            for number in range(first, first + count):
                leases.slots.hold(places.key, leases.id(number))
            places.lent(first, count, until)

    def end(self) -> None:
        """Gives back what is not in use."""
        self.held = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._surrender(list(self.logs.values()), list(self.slots.values()), list(self.buckets.values()))
        self.give_up_money()
        self.logs, self.slots, self.buckets, self.cash = {}, {}, {}, {}
        self._turns, self._since = 0, 0.0
        self._leases.ended(self)

    def give_up_money(self) -> None:
        for cash in self.cash.values():
            cash.drop()

    def _surrender(self, logs: list[Portion], slots: list[Places], buckets: list[Portion]) -> None:
        for log in logs:
            self._return_requests(log, log.swap(0, 0, 0.0, 0.0))
        for bucket in buckets:
            self._swap_tokens(bucket, 0, 0, 0.0, 0.0)
        for places in slots:
            places.held = False
            places.surrender()

    def _return_requests(self, log: Portion, count: int) -> None:
        if count:
            self._leases.store.send("LREM", log.key, -count, log.stamp)

    def _swap_tokens(self, bucket: Portion, granted: int, left: int, due: float, until: float) -> None:
        """For a new portion. What was lent so long ago that the bucket may be full without it is lost."""
        fresh = self._leases.clock() - bucket.until < LIFE
        over = bucket.swap(granted, left, due, until)
        if over and fresh:
            self._leases.corrections.send(self.tag, bucket.key, bucket.limit, -over)

    def _give_back(self, key: str, number: int) -> None:
        self._leases.slots.give_back(self.tag, key, self._leases.id(number))


class Leases:
    """One a process."""

    def __init__(
        self,
        slots: Slots,
        corrections: Corrections,
        purse: Purse,
        name: str,
        clock: Callable[[], float],
        *,
        lends: bool = True,
    ) -> None:
        """`name` tells this process's slots from those of others; `clock` counts seconds."""
        self._lends = lends
        self.store = purse.store
        self.purse = purse
        self.slots = slots
        self.corrections = corrections
        self.clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = 0
        self._name = f"{name}:"
        self._known: dict[str, Lease] = {}
        self._held: set[Lease] = set()
        self._line = Line()
        purse.on_loss = self.lose_money

    def id(self, number: int | str) -> str:
        return f"{self._name}{number}"

    def reserve_numbers(self) -> int:
        """The first of as many numbers as are asked for at once."""
        first, self._number = self._number, self._number + MOST_SLOTS
        return first

    def of_turn(self, scope: Scope) -> Share | None:
        """None: nothing is lent."""
        turn = scope.turn
        if not self._lends or not turn.keys or min(turn.limits) < LEAST_LIMIT:
            return None
        return Share(self._of(scope), scope, turn)

    def of_call(self, scope: Scope) -> Share | None:
        limits = [*scope.call.limits, *(limit for _, limit, _ in scope.buckets)]
        if not self._lends or not scope.asks or min(limits, default=LEAST_LIMIT) < LEAST_LIMIT:
            return None
        cash = Cash(self.purse, scope) if scope.spenders else None
        return Share(self._of(scope), scope, scope.call, scope.buckets, cash)

    def _of(self, scope: Scope) -> Lease:
        lease = self._known.get(scope.tag)
        if lease is None:
            if len(self._known) >= REMEMBERED:
                self._known = {lease.tag: lease for lease in self._held}
            lease = self._known[scope.tag] = Lease(self, scope.tag)
        return lease

    async def all_back(self, tag: str, after: int) -> bool:
        """Somebody was refused who may find room in so many ms, once nobody holds portions: this worker gives its own
        back. Returns then; False: at once, too many wait already."""
        lease = self._known.get(tag)
        if lease is not None and lease.held:
            lease.end()
        return await self._line.wait(tag, after)

    def lose_money(self, tag: str) -> None:
        """What was spent in the tag is not known any more."""
        lease = self._known.get(tag)
        if lease is not None:
            lease.give_up_money()

    def began(self, lease: Lease) -> None:
        self._held.add(lease)
        self.corrections.patient.add(lease.tag)

    def ended(self, lease: Lease) -> None:
        self._held.discard(lease)
        self.corrections.hasten(lease.tag)

    def later(self, seconds: float, what: Callable[[], None]) -> asyncio.TimerHandle:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.call_later(seconds, what)

    def close(self) -> None:
        """Gives all back; nothing is lent any more."""
        for lease in [*self._held]:
            lease.end()
