"""Balancing policies by name, for comparison: all choose among the same members and see the same health.

Small re-implementations of published ideas, not the products themselves: Finagle's peak EWMA, for one, also has failure
accrual, which stands here for itself only in `ours` and, in nginx's way, in `max fails`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp
from random import Random

from routing.selection import Balance, Member, Out, Removal, Rotation, Selection


class Plain(Balance):
    """No breakers: who was tried or is at its limit is out, `pick` chooses among the others."""

    __slots__ = ("random",)

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__(members)
        self.random = Random(len(members))

    def select(self, out: Out, now: float) -> Selection:
        removed: dict[int, Removal] = {
            place: out.get(member.id, "max_concurrency")
            for place, member in enumerate(self.members)
            if member.id in out or (member.limit is not None and member.health.in_flight >= member.limit)
        }
        eligible = [place for place in range(len(self.members)) if place not in removed]
        chosen = self.pick(eligible, now) if eligible else None
        return Selection(chosen, None, chosen, [None] * len(self.members), self.qualities, removed, 1.0)

    def pick(self, eligible: list[int], now: float) -> int | None:
        raise NotImplementedError

    def narrow(self, selection: Selection, places: Sequence[int], now: float) -> None:
        chosen = self.pick(list(places), now)
        if chosen is not None:
            self.stay(selection, chosen)

    def take(self, selection: Selection) -> None:
        """Whoever was picked has been told already."""

    def in_flight(self, place: int) -> int:
        return self.members[place].health.in_flight

    def two(self, eligible: list[int]) -> list[int]:
        return self.random.sample(eligible, 2) if len(eligible) > 1 else eligible


class RoundRobin(Plain):
    __slots__ = ("turn",)

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__(members)
        self.turn = Rotation([member.weight for member in members])

    def pick(self, eligible: list[int], now: float) -> int | None:
        return self.turn.pick(eligible)


class MaxFails(RoundRobin):
    """nginx with its defaults, max_fails=1 and fail_timeout=10s: one failure takes a server out for ten seconds; when
    all are out the request fails and all are in again."""

    __slots__ = ("out_until", "seen")

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__(members)
        self.seen = [0] * len(members)
        self.out_until = [0.0] * len(members)

    def pick(self, eligible: list[int], now: float) -> int | None:
        for place, member in enumerate(self.members):
            if member.health.failures > self.seen[place]:
                self.seen[place] = member.health.failures
                self.out_until[place] = now + 10.0
        alive = [place for place in eligible if self.out_until[place] <= now]
        if not alive:
            self.out_until = [0.0] * len(self.members)
            return None
        return self.turn.pick(alive)


class TwoChoices(Plain):
    """The less loaded of two at random."""

    __slots__ = ()

    def pick(self, eligible: list[int], now: float) -> int | None:
        return min(self.two(eligible), key=self.in_flight)


class LeastLatency(Plain):
    """Always the shortest average time to the first token."""

    __slots__ = ()

    def pick(self, eligible: list[int], now: float) -> int | None:
        return min(eligible, key=lambda place: self.members[place].health.ttft or 0.0)


class PeakEwma(Plain):
    """The cheaper of two at random: a moving average (10 s) that jumps to every peak, times the calls in flight."""

    __slots__ = ("averages", "counts", "times")

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__(members)
        self.averages = [0.0] * len(members)
        self.counts = [0] * len(members)
        self.times = [0.0] * len(members)

    def pick(self, eligible: list[int], now: float) -> int | None:
        return min(self.two(eligible), key=lambda place: self.cost(place, now) * (self.in_flight(place) + 1))

    def cost(self, place: int, now: float) -> float:
        health = self.members[place].health
        if health.answers > self.counts[place]:
            self.counts[place] = health.answers
            if health.latest > self.averages[place]:
                self.averages[place] = health.latest
            else:
                kept = exp((self.times[place] - now) / 10.0)
                self.averages[place] = self.averages[place] * kept + health.latest * (1 - kept)
            self.times[place] = now
        if not self.averages[place]:
            return 1000.0 if self.in_flight(place) else 0.0
        return self.averages[place]


POLICIES: dict[str, Callable[[Sequence[Member]], Balance]] = {
    "round robin": RoundRobin,
    "max fails": MaxFails,
    "two choices": TwoChoices,
    "least latency": LeastLatency,
    "peak ewma": PeakEwma,
    "ours": Balance,
}
