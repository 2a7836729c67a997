"""A discrete-event simulation of several gateway workers before a pool of instances that can be made to misbehave.

Deterministic by its seed. Every worker has its own balance and health, as in the product; what breakers tell each other
arrives with the next poll of a quarter of a second. The scenarios A to H are at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from heapq import heappop, heappush
from itertools import count
from math import inf, log
from random import Random
from typing import Any

from msgspec import structs

from benchmarks.routing.policies import POLICIES
from benchmarks.routing.shares import Shares
from engine.errors import UpstreamError, UpstreamTimeout
from engine.retrying import RetryBudget
from routing.breaker import Change
from routing.health import Call, Classes, Health
from routing.selection import Member

POLL = 0.25


@dataclass(frozen=True)
class Fault:
    """What is wrong with the first `count` instances from `begin` to `end`: they answer in `seconds`, or `slower` times
    as slow; the part `erring` of calls fails (`at_once` or when it would have been answered); they `hang`."""

    begin: float = 20.0
    end: float = 50.0
    count: int = 1
    seconds: float = 0.0
    slower: float = 1.0
    erring: float = 0.0
    at_once: bool = False
    hang: bool = False


@dataclass(frozen=True)
class Scenario:
    """`speeds` of the instances: 2 is twice as slow. `sigma` of the lognormal service time around `median` seconds."""

    rate: float = 600.0
    length: float = 80.0
    speeds: Sequence[float] = (1.0,) * 10
    slots: int | None = 16
    median: float = 0.167
    sigma: float = 0.4
    cut: float = 3.0
    timeout: float = 10.0
    faults: Sequence[Fault] = ()
    weights: Sequence[float] = ()


@dataclass
class Attempt:
    """One call of an instance, for the request that came `at` to `worker`."""

    at: float
    worker: int
    began: float
    instance: int
    call: Call
    tried: tuple[int, ...]
    over: bool = False


@dataclass
class Result:
    """`latencies` of good answers; `picks` are (when, instance) of all calls."""

    total: int = 0
    failed: int = 0
    calls: int = 0
    cut: float = 0.0
    latencies: list[float] = field(default_factory=list)
    picks: list[tuple[float, int]] = field(default_factory=list)

    @property
    def good(self) -> float:
        """Percent answered within the cut."""
        return 100 * sum(seconds <= self.cut for seconds in self.latencies) / self.total

    @property
    def amplification(self) -> float:
        """Calls a request."""
        return self.calls / self.total

    @property
    def errors(self) -> float:
        """Percent."""
        return 100 * self.failed / self.total

    def quantile(self, q: float) -> float:
        values = sorted(self.latencies)
        return values[int(q * len(values))]

    def shares(self) -> Shares:
        """`picks` decide how many instances take part."""
        return Shares(self.picks, len({who for _, who in self.picks}))

    def left_within(self, fault: Fault) -> float:
        """Seconds until instance 0 has less than a quarter of its part."""
        found = self.shares().left_within(0, fault.begin, fault.end)
        return inf if found is None else found

    def back_within(self, fault: Fault) -> float:
        """Seconds from the repair until instance 0 has 70 percent of its part."""
        found = self.shares().back_within(0, fault.end, self.picks[-1][0])
        return inf if found is None else found


class Instance:
    """Serves `slots` calls at a time and the others in order; a caller that gave up leaves the queue."""

    def __init__(self, simulation: Simulation, number: int) -> None:
        self.simulation = simulation
        self.number = number
        self.running = 0
        self.queue: deque[Attempt] = deque()

    def ask(self, attempt: Attempt) -> None:
        slots = self.simulation.scenario.slots
        if slots is not None and self.running >= slots:
            self.queue.append(attempt)
        else:
            self._start(attempt)

    def _start(self, attempt: Attempt) -> None:
        self.running += 1
        simulation, scenario = self.simulation, self.simulation.scenario
        seconds = scenario.median * scenario.speeds[self.number] * simulation.noise()
        error: UpstreamError | None = None
        for fault in scenario.faults:
            if self.number < fault.count and fault.begin <= simulation.now < fault.end:
                seconds = scenario.timeout if fault.hang else (fault.seconds or seconds) * fault.slower
                if fault.erring and simulation.random.random() < fault.erring:
                    error = UpstreamError()
                    seconds = 0.001 if fault.at_once else seconds
        left = attempt.began + scenario.timeout - simulation.now
        if seconds >= left:
            seconds, error = left, UpstreamTimeout()
        simulation.later(seconds, self._end, attempt, error)

    def _end(self, attempt: Attempt, error: UpstreamError | None) -> None:
        self.running -= 1
        while self.queue and self.running < (self.simulation.scenario.slots or 0):
            waiting = self.queue.popleft()
            if waiting.began + self.simulation.scenario.timeout > self.simulation.now:
                self._start(waiting)
            else:
                self.simulation.answered(waiting, UpstreamTimeout())
        self.simulation.answered(attempt, error)


class Worker:
    """A gateway process: what it knows of the instances, whose turn it is, its retry budget."""

    def __init__(self, scenario: Scenario, policy: str, random: Random) -> None:
        classes = Classes()
        self.healths = [Health(classes, jitter=random.random) for _ in scenario.speeds]
        weights = scenario.weights or [1] * len(self.healths)
        members = [
            Member(number, weight, health)
            for number, (weight, health) in enumerate(zip(weights, self.healths, strict=True))
        ]
        self.balance = POLICIES[policy](members)
        self.budget = RetryBudget()
        self.active = 0


class Simulation:
    def __init__(self, scenario: Scenario, policy: str, *, workers: int, seed: int, retry: bool) -> None:
        self.scenario = scenario
        self.retry = retry
        self.random = Random(seed)
        self.now = 0.0
        self.result = Result(cut=scenario.cut)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()
        self.instances = [Instance(self, number) for number in range(len(scenario.speeds))]
        self.workers = [Worker(scenario, policy, self.random) for _ in range(workers)]

    def later(self, seconds: float, do: Callable[..., None], *what: Any) -> None:
        heappush(self._events, (self.now + seconds, next(self._numbers), do, what))

    def noise(self) -> float:
        return self.random.lognormvariate(0.0, self.scenario.sigma)

    def run(self) -> Result:
        self.later(0.0, self._arrive)
        while self._events:
            self.now, _, do, what = heappop(self._events)
            do(*what)
        return self.result

    def _arrive(self) -> None:
        gap = -log(1 - self.random.random()) / self.scenario.rate
        if self.now + gap < self.scenario.length:
            self.later(gap, self._arrive)
        self.result.total += 1
        number = self.random.randrange(len(self.workers))
        worker = self.workers[number]
        worker.active += 1
        worker.budget.deposit()
        if not self._call(self.now, number, ()):
            self._over(number, failed=True)

    def _call(self, at: float, number: int, tried: tuple[int, ...]) -> bool:
        worker = self.workers[number]
        selection = worker.balance.select(dict.fromkeys(tried, "tried"), self.now)
        if selection.chosen is None:
            return False
        worker.balance.take(selection)
        chosen = selection.chosen
        self.result.calls += 1
        self.result.picks.append((self.now, chosen))
        call = worker.healths[chosen].begin(self.now)
        self.instances[chosen].ask(Attempt(at, number, self.now, chosen, call, tried))
        return True

    def answered(self, attempt: Attempt, error: UpstreamError | None) -> None:
        worker = self.workers[attempt.worker]
        health = worker.healths[attempt.instance]
        if error is None:
            self._tell(attempt, health.first_token(attempt.call, self.now))
        self._tell(attempt, health.end(attempt.call, error, self.now))
        if attempt.tried:
            worker.budget.give_back()
        if error is None:
            self.result.latencies.append(self.now - attempt.at)
        elif self.retry and not attempt.tried and worker.budget.take(worker.active):
            if self._call(attempt.at, attempt.worker, (attempt.instance,)):
                return
            worker.budget.give_back()
        self._over(attempt.worker, failed=error is not None)

    def _over(self, number: int, *, failed: bool) -> None:
        self.workers[number].active -= 1
        self.result.failed += failed

    def _tell(self, attempt: Attempt, change: Change | None) -> None:
        for number, worker in enumerate(self.workers):
            if change is not None and number != attempt.worker:
                phase = POLL * number / len(self.workers)
                wait = POLL - (self.now - phase) % POLL
                self.later(wait, self._hear, worker.healths[attempt.instance], change, wait)

    def _hear(self, health: Health, change: Change, late: float) -> None:
        health.adopt(structs.replace(change, seconds=max(0.0, change.seconds - late)), self.now)


@cache
def simulate(scenario: Scenario, policy: str, *, workers: int = 4, seed: int = 1, retry: bool = False) -> Result:
    return Simulation(scenario, policy, workers=workers, seed=seed, retry=retry).run()


SCENARIOS = {
    "A": Scenario(  # Linkerd's published comparison: one of eleven at 2 s for half a minute
        rate=1000, length=60, speeds=(1,) * 11, slots=None, sigma=0.03, cut=1.0, faults=(Fault(15, 45, seconds=2.0),)
    ),
    "B": Scenario(length=40),  # all equal
    "C": Scenario(rate=370, speeds=(1, 1, 1, 1, 2, 2, 2, 4, 4, 4)),
    "D": Scenario(faults=(Fault(slower=4.0),)),
    "E": Scenario(faults=(Fault(erring=1.0, at_once=True),)),
    "F": Scenario(faults=(Fault(erring=0.3),)),
    "G": Scenario(faults=(Fault(hang=True),)),
    "H": Scenario(length=40, faults=(Fault(0, 40, count=10, erring=0.05),)),
}
