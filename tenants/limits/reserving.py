"""One call's tokens and money at one place: its tenant's counters, or the platform's."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Final

import msgspec

from engine.errors import RateLimited, StoreUnavailable
from engine.types import Instance, RateLimits, Window
from tenants.handles import Store
from tenants.limits import scripts
from tenants.limits.money import MOST, Purse, Refused, Word, hold
from tenants.limits.periods import Period
from tenants.limits.slots import RIDE, Slots, failed, log_failure
from tenants.limits.subjects import Scope, Subject
from tenants.resp import Reply

MAX_RESERVED_MINUTES: Final = 2
BUSY_RETRY_AFTER: Final = 1.0


class Taken(msgspec.Struct):
    """What was set aside: tokens by bucket, money by generation, slots."""

    scope: Scope
    buckets: list[tuple[Subject, int]]
    slots: list[str]
    number: str
    holds: list[tuple[str, int]]
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

    def __init__(self, store: Store, slots: Slots, purse: Purse) -> None:
        self._store = store
        self._slots = slots
        self._purse = purse
        self._owed: defaultdict[str, dict[str, tuple[int, int]]] = defaultdict(dict)  # by tag and bucket: limit, tokens
        self._departure: asyncio.TimerHandle | None = None
        self._numbers = count()
        self._name = f"{id(self):x}"

    def name(self, name: str) -> None:
        """What tells this process's slots from those of others."""
        self._name = name

    async def take(self, scope: Scope, ask: Ask) -> Taken:
        """Raises RateLimited, BudgetExceeded, StoreUnavailable; then nothing is taken."""
        retried = False
        for _ in range(3):
            departed = self._purse.departures
            taken, reply = await self._run(scope, ask)
            verdict = reply[0]
            if verdict == b"ok":
                if reply[4]:
                    self._purse.rebuilder.again(scope, *self._purse.periods(scope))
                return taken
            if verdict == b"era":
                await self._purse.rebuilder.known(scope, *self._lacking(scope, reply[1]))
                continue
            if verdict == b"money":
                if not retried and (self._purse.waits or self._purse.departures != departed):
                    retried = True  # what ended a moment ago may leave room
                    self._purse.depart()
                    continue
                refused = Refused(ask.amount, ask.price, ask.cheaper)
                raise self._purse.refusal(scope, scope.spenders, reply, refused)
            raise self._refusal(scope, reply)
        raise StoreUnavailable(retry_after=BUSY_RETRY_AFTER)

    def _lacking(self, scope: Scope, which: int) -> list[Period]:
        day, month = self._purse.periods(scope)
        return [period for bit, period in ((1, day), (2, month)) if which & bit]

    async def _run(self, scope: Scope, ask: Ask) -> tuple[Taken, Reply]:
        tag, number = scope.tag, f"{self._name}.{next(self._numbers)}"
        taken = Taken(scope, [], [], number, [])
        keys, words, owed = self._script(scope, ask, taken)
        riders = self._slots.riders(tag)
        keys += [key for key, _ in riders]
        words += [rider for _, rider in riders]
        for key in taken.slots:
            self._slots.hold(key, number)
        answer = self._store.run(scripts.RESERVE, keys, *words)
        self._slots.arrive(tag, riders, answer)
        if owed:
            answer.add_done_callback(partial(self._keep, tag, owed))
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

    def _script(self, scope: Scope, ask: Ask, taken: Taken) -> tuple[list[str], list[Word], dict[str, tuple[int, int]]]:
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
        owed: dict[str, tuple[int, int]] = {}
        waiting = self._owed.get(scope.tag) or {}
        for key, limit, subject in scope.buckets:
            amount = min(ask.tokens, limit * MAX_RESERVED_MINUTES)
            taken.buckets.append((subject, amount))
            if (more := waiting.pop(key, None)) is not None:
                owed[key] = more
            keys.append(key)
            words += (limit, amount, more[1] if more is not None else 0)
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
        for subject, amount in taken.buckets:
            self.correct(tag, subject, tokens - amount)
        for key in taken.slots:
            self._slots.give_back(tag, key, taken.number)
        self._purse.charge(taken.scope, cost, taken.holds)

    def correct(self, tag: str, subject: Subject, tokens: int) -> None:
        """So many more were used than estimated, whatever is in the bucket; negative: less."""
        if not tokens:
            return
        key = f"{subject.prefix}tokens"
        _, owed = self._owed[tag].get(key, (0, 0))
        self._owed[tag][key] = (subject.quota.tokens or 1, owed + tokens)
        if self._departure is None:
            self._departure = asyncio.get_running_loop().call_later(RIDE, self.depart)

    def depart(self) -> None:
        """What no reservation has taken along."""
        self._departure = None
        leaving, self._owed = self._owed, defaultdict(dict)
        for tag, buckets in leaving.items():
            for key, (limit, owed) in buckets.items():
                answer = self._store.run(scripts.RESERVE, [key], 1, 0, 0, 0, "", 0, limit, 0, owed)
                answer.add_done_callback(partial(self._keep, tag, {key: (limit, owed)}))
                answer.add_done_callback(log_failure)

    def close(self) -> None:
        if self._departure is not None:
            self._departure.cancel()
        self.depart()
        self._purse.depart()

    def _keep(self, tag: str, buckets: dict[str, tuple[int, int]], answer: asyncio.Future[Reply]) -> None:
        if failed(answer):
            for key, (limit, owed) in buckets.items():
                _, more = self._owed[tag].get(key, (0, 0))
                self._owed[tag][key] = (limit, owed + more)

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
