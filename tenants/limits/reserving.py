"""One call's tokens and money at one place: its tenant's counters, or the platform's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Final

import msgspec

from engine.errors import BudgetExceeded, RateLimited, StoreUnavailable
from engine.types import Instance, RateLimits, Window
from tenants.limits import scripts
from tenants.limits.corrections import Owed
from tenants.limits.leases import Leases
from tenants.limits.money import MOST, Purse, Refused, Word, hold
from tenants.limits.periods import Period
from tenants.limits.shares import Held
from tenants.limits.slots import failed
from tenants.limits.subjects import Scope, Subject
from tenants.limits.waiting import due_back
from tenants.resp import Reply

MAX_RESERVED_MINUTES: Final = 2
BUSY_RETRY_AFTER: Final = 1.0


class Taken(msgspec.Struct):
    """What was set aside: tokens by bucket and its limit, money by generation, slots; `held` are slots that this worker
    had of its own."""

    scope: Scope
    buckets: list[tuple[str, int, int]]
    slots: list[str]
    number: str
    holds: list[tuple[str, int]]
    held: Held = []
    window: Window | None = None


class Ask(msgspec.Struct, frozen=True):
    """What a call may need: `tokens` in all, and money as `price` says for an instance. `cheaper`: see `Refused`."""

    tokens: int
    instance: Instance
    price: Callable[[Instance], int]
    cheaper: bool

    @property
    def amount(self) -> int:
        return min(self.price(self.instance), MOST)


class Reserver:
    """One a process."""

    def __init__(self, leases: Leases, purse: Purse, name: str) -> None:
        """`name` tells this process's slots from those of others."""
        self._store = leases.store
        self._slots = leases.slots
        self._corrections = leases.corrections
        self._leases = leases
        self._purse = purse
        self._numbers = count()
        self._name = name

    async def take(self, scope: Scope, ask: Ask) -> Taken:
        """Raises RateLimited, BudgetExceeded, StoreUnavailable; then nothing is taken."""
        retried = waited = False
        for _ in range(4):
            departed = self._purse.departures
            taken, reply = await self._run(scope, ask)
            verdict = reply[0]
            if verdict == b"ok":
                if reply[4]:
                    self._purse.rebuilder.again(scope, *self._purse.periods(scope))
                return taken
            if verdict == b"era":
                self._purse.on_loss(scope.tag)
                await self._purse.rebuilder.known(scope, *self._lacking(scope, reply[1]))
                continue
            if verdict == b"money":
                if not retried and (self._purse.waits or self._purse.departures != departed):
                    retried = True  # what ended a moment ago may leave room
                    self._purse.depart()
                    continue
                refused = Refused(ask.amount, ask.price, ask.cheaper)
                error: RateLimited | BudgetExceeded = self._purse.refusal(scope, scope.spenders, reply, refused)
                after = reply[2]
            else:
                error, after = self._refusal(scope, reply), reply[3]
            if waited or not after or error.retry_after is None:  # None: it is larger than the whole budget
                raise error
            waited = await self._leases.all_back(scope.tag, after)
            if not waited:
                error.retry_after = min(error.retry_after, due_back(after))
                raise error
        raise StoreUnavailable(retry_after=BUSY_RETRY_AFTER)

    def _lacking(self, scope: Scope, which: int) -> list[Period]:
        day, month = self._purse.periods(scope)
        return [period for bit, period in ((1, day), (2, month)) if which & bit]

    async def _run(self, scope: Scope, ask: Ask) -> tuple[Taken, Reply]:
        tag, number = scope.tag, f"{self._name}.{next(self._numbers)}"
        taken = Taken(scope, [], [], number, [])
        keys, words, owed = self._script(scope, ask, taken)
        riders = self._slots.riders(tag)
        keys += [*(key for key, _ in riders), scope.marks]
        words += [rider for _, rider in riders]
        for key in taken.slots:
            self._slots.hold(key, number)
        answer = self._store.run(scripts.RESERVE, keys, *words)
        self._slots.arrive(tag, riders, answer)
        if owed:
            answer.add_done_callback(partial(self._corrections.keep, tag, owed))
        try:
            reply = await asyncio.shield(answer)
        except asyncio.CancelledError:
            answer.add_done_callback(partial(self._refund, taken))
            raise
        except BaseException:
            self._drop_slots(taken)
            raise
        if reply[0] != b"ok":
            self._drop_slots(taken)
        else:
            self._note_hold(taken, reply)
        if reply[0] == b"ok" and taken.buckets:
            taken.window = Window(reply[1], reply[2], reply[3] / 1000)
        return taken, reply

    def _script(self, scope: Scope, ask: Ask, taken: Taken) -> tuple[list[str], list[Word], Owed]:
        """Keys and arguments without riders, and what of earlier estimates' errors goes along. Raises RateLimited."""
        call = scope.call
        if scope.shut is not None:
            raise RateLimited(f"{scope.shut.who} may not be used.")
        words: list[Word] = [
            len(scope.buckets),
            len(call.logs),
            len(call.slots),
            len(scope.spenders),
            taken.number,
            self._slots.lease_ms,
        ]
        keys: list[str] = []
        owed: Owed = {}
        for key, limit, _ in scope.buckets:
            amount = min(ask.tokens, limit * MAX_RESERVED_MINUTES)
            taken.buckets.append((key, limit, amount))
            if more := self._corrections.take(scope.tag, key):
                owed[key] = (limit, more)
            keys.append(key)
            words += (limit, amount, more)
        taken.slots = call.slot_keys
        keys += call.keys
        words += call.limits
        if scope.spenders:
            purse = self._purse
            generation, amount = purse.generation, ask.amount
            keys += purse.keys(scope)
            words += (purse.rebuilder.era(scope), generation, amount, *scope.money)
            taken.holds.append((str(generation), amount))
        return keys, words, owed

    def _drop_slots(self, taken: Taken) -> None:
        for key in taken.slots:
            self._slots.give_back(taken.scope.tag, key, taken.number, taken=False)

    def _refund(self, taken: Taken, answer: asyncio.Future[Reply]) -> None:
        """Its turn was gone before the answer came."""
        if failed(answer) or answer.result()[0] != b"ok":
            self._drop_slots(taken)
        else:
            self._note_hold(taken, answer.result())
            self.settle(taken, 0, 0)

    @staticmethod
    def _note_hold(taken: Taken, reply: Reply) -> None:
        taken.holds = [(hold(reply[5], int(generation)), amount) for generation, amount in taken.holds]

    def settle(self, taken: Taken, tokens: int, cost: int) -> None:
        """Replaces what was set aside by what was used."""
        tag = taken.scope.tag
        for key, limit, amount in taken.buckets:
            self._corrections.add(tag, key, limit, tokens - amount)
        for places, number in taken.held:
            places.put(number)
        for key in taken.slots:
            self._slots.give_back(tag, key, taken.number)
        self._purse.charge(taken.scope, cost, taken.holds)

    def close(self) -> None:
        self._corrections.close()
        self._purse.depart()

    def _refusal(self, scope: Scope, reply: Reply) -> RateLimited:
        verdict, wait = reply[0].decode(), reply[2] / 1000
        if verdict == "tokens":
            _, limit, subject = scope.buckets[reply[1] - 1]
            error = RateLimited(f"{subject.who} may use {limit} tokens a minute.", retry_after=wait)
            error.limit, error.limits = "tokens", RateLimits(tokens=Window(limit, 0, wait))
            return error
        return limited((scope.call.slots if verdict == "turns" else scope.call.logs)[reply[1] - 1], verdict, wait)


def limited(subject: Subject, verdict: str, wait: float) -> RateLimited:
    """Of too many requests or turns."""
    if verdict == "turns":
        error = RateLimited(
            f"{subject.who} may run {subject.quota.turns} turns at the same time.", retry_after=BUSY_RETRY_AFTER
        )
        error.limit = "turns"
        return error
    limit = subject.quota.requests or 0
    error = RateLimited(f"{subject.who} may make {limit} requests a minute.", retry_after=wait)
    error.limit, error.limits = "requests", RateLimits(requests=Window(limit, 0, wait))
    return error
