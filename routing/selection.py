"""Whose turn it is in a pool of model instances: smooth weighted round robin over operator's weight x quality of
service. No I/O, no clock, no randomness.

Smooth weighted round robin is nginx's (`ngx_http_upstream_get_peer`): at every pick each member gains its weight in
credit, the richest is taken and pays the sum of all weights. Weights 5, 1, 1 give a a b a c a a: exact over every
cycle, and never five in a row at its seam.

Quality of service is 1 for what is usual in the pool and falls with the third power of a member's cost (`quality`);
small differences count for nothing, so a healthy pool keeps exactly to the operator's weights. At the pick the first in
turn is compared with the runner-up: if that one has less to do, even with this call, the turn passes to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from operator import add
from statistics import median_low
from typing import Final, Literal

import msgspec

from routing.health import Health

# Why one may not be chosen.
Removal = Literal[
    "tried", "context_window", "max_concurrency", "rate_limited", "breaker_open", "probing", "budget", "language"
]
Out = Mapping[int, Removal]  # by an instance's id: who is out of the question for this turn, whatever its health

TICK: Final = 0.25  # seconds that qualities stand
TRIFLE: Final = 0.02  # seconds to the first token that make no difference
PATIENCE: Final = 1.5  # the oldest unanswered call may take so many times as long as usual
ERROR_COST: Final = 30.0  # an instance that always fails costs so many times more than by its time
ALIKE: Final = 1.25  # costs within this ratio of the usual one are equal,
DIFFERENT: Final = 1.5  # from this one on they count in full
STEEPNESS: Final = 3
LEAST: Final = 0.001
MOST: Final = 4.0
HEALTHY: Final = 0.03  # the least quality of a member that a session stays with: three times as slow as usual there,
EQUAL: Final = 0.3  # and of the best instance's of its model
BUSY_SECONDS: Final = 1.0  # until a member at its limit of calls is asked again
KEPT: Final = 4096  # pools remembered; beyond that all start their cycle anew
NOBODY: Final[Out] = {}


class Member(msgspec.Struct, frozen=True):
    """A model instance in a pool. `limit` is of calls at a time, None: any."""

    id: int
    weight: float
    health: Health
    limit: int | None = None

    def is_full(self, tenant: int) -> bool:
        """For this tenant: of the last places some are kept for those who have few."""
        places = self.health.places
        if places is not None:
            return not places.may(tenant)
        return self.limit is not None and self.health.in_flight >= self.limit


class Selection(msgspec.Struct):
    """A choice nothing was done about yet. Members are named by their place; `first` is who is in turn and pays for it
    (None: nobody), `chosen` is None if none may be, and then `wait` says in how many seconds the first may be back.
    `scores` is None for the `removed`. `among`: the turn went round among these alone; None: among all that may."""

    chosen: int | None
    runner_up: int | None
    first: int | None
    scores: list[float | None]
    qualities: Sequence[float]
    removed: dict[int, Removal]
    wait: float
    among: Sequence[int] | None = None


class Rotation:
    """The turn of a fixed pool. `effective` are the weights of the next pick."""

    __slots__ = ("_credits", "_total", "effective", "weights")

    def __init__(self, weights: Sequence[float]) -> None:
        self.weights = tuple(weights)
        self._credits: list[float] = [0] * len(self.weights)
        self.weigh(self.weights)

    def weigh(self, effective: Sequence[float]) -> None:
        self.effective = effective
        self._total = sum(effective)

    def scores(self, eligible: Sequence[int]) -> list[float | None]:
        """Everybody's credit at the next pick, None for who may not be chosen."""
        if len(eligible) == len(self._credits):
            return list(map(add, self._credits, self.effective))
        scores: list[float | None] = [None] * len(self._credits)
        for place in eligible:
            scores[place] = self._credits[place] + self.effective[place]
        return scores

    def pay(self, first: int, scores: Sequence[float | None]) -> None:
        """The first by `scores` has had its turn; who was not eligible keeps its credit."""
        credits = self._credits
        if None not in scores:
            credits[:] = scores  # type: ignore[assignment]
            credits[first] -= self._total
            return
        total: float = 0
        for place, score in enumerate(scores):
            if score is not None:
                credits[place] = score
                total += self.effective[place]
        credits[first] -= total

    def pick(self, eligible: Sequence[int]) -> int:
        """The next among the eligible members (not empty, in ascending order)."""
        scores = self.scores(eligible)
        first = max(eligible, key=scores.__getitem__)  # type: ignore[arg-type]
        self.pay(first, scores)
        return first


def costs(healths: Sequence[Health], now: float) -> list[float]:
    """What a call costs at each, in seconds to the first token: expected, or as long as the oldest call has been
    waiting, whichever is worse; more where calls fail."""
    known = [health.ttft for health in healths if health.ttft is not None]
    usual = median_low(known) if known else 0.0
    for health in healths:
        health.usual = usual
    return [
        (max(health.expected(now), health.oldest(now) / PATIENCE) + TRIFLE) * (1 + ERROR_COST * health.error_rate(now))
        for health in healths
    ]


def quality(cost: float, usual: float) -> float:
    """1 where the cost is as usual, else its inverse cube: of the powers the one that did best in the simulation."""
    ratio = cost / usual
    distance = max(ratio, 1 / ratio)
    if distance <= ALIKE:
        return 1.0
    if distance < DIFFERENT:
        distance = 1 + (distance - ALIKE) * (DIFFERENT - 1) / (DIFFERENT - ALIKE)
    return max(LEAST, distance**-STEEPNESS) if ratio > 1 else min(MOST, distance**STEEPNESS)


class Balance:
    """A pool's turn and its members' qualities, brought up to date at most four times a second."""

    __slots__ = ("_costs", "_due", "_everybody", "_rotation", "members", "qualities")

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)
        self._everybody = range(len(members))
        self._rotation = Rotation([member.weight for member in members])
        self._costs: Sequence[float] = [1.0] * len(members)
        self.qualities: Sequence[float] = [1.0] * len(members)
        self._due = 0.0

    def select(self, out: Out, now: float, tenant: int = 0) -> Selection:
        """Who is next, for this tenant. Takes nobody's turn: see `take`."""
        if now >= self._due:
            self.renew(now)
        eligible, removed, wait = self._eligible(out, now, tenant)
        scores = self._rotation.scores(eligible)
        chosen, runner_up, first = self._in_turn(eligible, scores, now)
        return Selection(chosen, runner_up, first, scores, self.qualities, removed, wait)

    def stay(self, selection: Selection, place: int) -> None:
        """The choice falls on this member, out of turn: nobody pays, so nobody else comes too short for it. The
        runner-up is who would have been chosen otherwise."""
        if selection.chosen != place:
            selection.chosen, selection.runner_up = place, selection.chosen
        selection.first, selection.among = None, ()

    def narrow(self, selection: Selection, places: Sequence[int], now: float) -> None:
        """The choice is among these members alone (some of the eligible, in ascending order), who take turns with each
        other and with nobody else."""
        chosen, _, first = self._in_turn(places, selection.scores, now)
        assert chosen is not None
        self.stay(selection, chosen)
        selection.first, selection.among = first, places

    def take(self, selection: Selection) -> None:
        """The first in turn pays, also if its turn passed to the runner-up: who is slow loses turns, and does not
        save them up."""
        if selection.first is None:
            return
        scores = selection.scores
        if selection.among is not None:
            scores = [score if place in selection.among else None for place, score in enumerate(scores)]
        self._rotation.pay(selection.first, scores)

    def _in_turn(
        self, eligible: Sequence[int], scores: Sequence[float | None], now: float
    ) -> tuple[int | None, int | None, int | None]:
        """Who is chosen of the eligible, the runner-up, and who of both is in turn."""
        if not eligible:
            return None, None, None
        known = [scores[place] for place in eligible] if len(eligible) < len(scores) else [*scores]
        best = known.index(max(known))  # type: ignore[type-var]  # those of the eligible are numbers
        first = eligible[best]
        if len(known) == 1:
            return first, None, first
        known[best] = -inf
        second = eligible[known.index(max(known))]  # type: ignore[type-var]
        if self._is_busier(first, second, now):
            return second, first, first
        return first, second, first

    def renew(self, now: float) -> None:
        """Brings the qualities up to date."""
        healths = [member.health for member in self.members]
        self._costs = costs(healths, now)
        usual = median_low(self._costs)
        self.qualities = [
            round((1.0 if health.breaker.is_open else quality(cost, usual)) * health.breaker.share(now), 4)
            for health, cost in zip(healths, self._costs, strict=True)
        ]
        weights = self._rotation.weights
        if all(value == 1.0 for value in self.qualities):
            self._rotation.weigh(weights)
        else:
            self._rotation.weigh([w * q for w, q in zip(weights, self.qualities, strict=True)])
        self._due = now + TICK

    def _is_busier(self, first: int, second: int, now: float) -> bool:
        """Whether the first has more to do than the second would have with this call. What is waiting longer than
        expected shows here at once, not only with the next tick."""
        one, other = self.members[first], self.members[second]
        ahead = one.health.in_flight
        if not ahead or one.health.breaker.is_open:
            return False
        cost = max(self._costs[first], one.health.oldest(now) / PATIENCE)
        behind = (other.health.in_flight + 1) * self._costs[second]
        return ahead * cost * other.weight > behind * one.weight

    def _all_may(self, now: float, tenant: int) -> bool:
        for member in self.members:
            health = member.health
            if health.breaker.is_open or health.paused_until > now:
                return False
            if member.limit is not None and member.is_full(tenant):
                return False
        return True

    def _eligible(self, out: Out, now: float, tenant: int) -> tuple[Sequence[int], dict[int, Removal], float]:
        """The places that may be chosen, why others may not, and the seconds until the first of those is back."""
        if not out and self._all_may(now, tenant):
            return self._everybody, {}, BUSY_SECONDS
        eligible: list[int] = []
        removed: dict[int, Removal] = {}
        blocked: list[int] = []
        waits: list[float] = []
        for place, member in enumerate(self.members):
            health = member.health
            if out and member.id in out:
                removed[place] = out[member.id]
            elif member.limit is not None and member.is_full(tenant):
                removed[place] = "max_concurrency"
                waits.append(BUSY_SECONDS)
            elif health.paused_until > now:
                removed[place] = "rate_limited"
                waits.append(health.paused_until - now)
            elif health.breaker.is_open and health.breaker.blocks(now):
                blocked.append(place)
            else:
                eligible.append(place)
        if blocked:
            too_small = sum(reason == "context_window" for reason in removed.values()) if out else 0
            self._keep_half(blocked, eligible, len(self.members) - too_small)
            for place in blocked:
                breaker = self.members[place].health.breaker
                removed[place] = "probing" if breaker.probing else "breaker_open"
                waits.append(max(BUSY_SECONDS, breaker.open_until - now))
        return eligible, removed, min(waits, default=BUSY_SECONDS)

    def _keep_half(self, blocked: list[int], eligible: list[int], size: int) -> None:
        """Never more than half a pool is out for its failures: who would be back first stays. A pool of one may be
        out if nothing works there any more, but not for some errors: some answers are better than none. `size`: of
        the pool, without those that have no room for the turn and are no help to it."""
        if size == 1:
            spared = 0 if self.members[blocked[0]].health.breaker.cause == "down" else 1
        else:
            spared = len(blocked) - size // 2
        if spared > 0:
            blocked.sort(key=lambda place: self.members[place].health.breaker.open_until)
            eligible.extend(blocked[:spared])
            eligible.sort()
            del blocked[:spared]


class Insistent(Balance):
    """For who asks for this very instance, to see whether it answers: breakers do not count."""

    __slots__ = ()

    def _keep_half(self, blocked: list[int], eligible: list[int], size: int) -> None:
        eligible.extend(blocked)
        blocked.clear()


class Balances:
    """One balance a pool, by the ids and weights of its members: a pool keeps its turn when the configuration is
    compiled anew, and starts a fresh cycle when a member or weight changes. Tenants with the same pool share it, so
    that many quiet tenants do not all begin with the first member. For one event loop."""

    def __init__(self, make: Callable[[Sequence[Member]], Balance] = Balance) -> None:
        self._make = make
        self._pools: dict[tuple[tuple[int, float], ...], Balance] = {}

    def of(self, members: Sequence[Member]) -> Balance:
        key = tuple([(member.id, member.weight) for member in members])
        balance = self._pools.get(key)
        if balance is None:
            if len(self._pools) >= KEPT:
                self._pools.clear()
            balance = self._pools[key] = self._make(members)
        else:
            balance.members = tuple(members)  # an instance that was changed has a new health
        return balance
