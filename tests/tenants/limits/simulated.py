"""Workers that limit turns by a clock of the test's own: the store's scripts, the leases and their timers go by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.errors import RateLimited
from engine.types import Instance, Usage
from tenants.isolation import Stores
from tenants.limits import Limits, leases, limiter, scripts, turn_scripts, waiting
from tenants.resp import Script
from tests.cast import ALICE
from tests.tenants.limits.test_limiter import REQUEST

INSTANCE = Instance(id=1, name="m")
CLOCK = "local now = tonumber(redis.call('GET', 'clock')) "
SLICE = 40  # ms in which the clock goes on


class Timer:
    def __init__(self, due: float, what: Callable[[], None]) -> None:
        self.due = due
        self.what: Callable[[], None] | None = what

    def cancel(self) -> None:
        self.what = None


class World:
    """Milliseconds. `admitted` are times of turns, `reserved` times and tokens."""

    def __init__(self, url: str, tenants, workers: int) -> None:
        self.now = 1_000_000_000_000
        self.stores = Stores([url], tenants)
        self.store = self.stores.platform()
        self.admitted: list[int] = []
        self.reserved: list[tuple[int, int]] = []
        self.lent = 0  # turns that asked nobody
        self._tenants = tenants
        self._count = workers

    async def start(self) -> None:
        await self.store.call("FLUSHALL")
        await self.store.call("SET", "clock", self.now)
        self.workers = [Worker(self) for _ in range(self._count)]

    async def go_on(self, ms: int, asleep: int | None = None) -> None:
        """Time passes; `asleep` is a worker that does nothing but renew its slots."""
        until = self.now + ms
        while self.now < until:
            self.now = min(until, self.now + (SLICE if until - self.now < 2_000 else 1_000))
            await self.store.call("SET", "clock", self.now)
            for place, worker in enumerate(self.workers):
                worker.renew()
                if place != asleep:
                    worker.wake()
            await self.settled()

    async def settled(self) -> None:
        for _ in range(3):
            await self.store.call("PING")
            await asyncio.sleep(0)

    async def turns(self, place: int, count: int) -> int:
        """That were let pass."""
        worker = self.workers[place]
        found = await asyncio.gather(*(worker.admit() for _ in range(count)), return_exceptions=True)
        passed = [each for each in found if not isinstance(each, BaseException)]
        assert all(isinstance(each, RateLimited) for each in found if each not in passed), found
        worker.open += passed
        self.admitted += [self.now] * len(passed)
        return len(passed)

    async def calls(self, place: int, count: int, tokens: int) -> int:
        worker = self.workers[place].limits
        asked = (worker.reserve(ALICE.principal, INSTANCE, 0, tokens) for _ in range(count))
        found = await asyncio.gather(*asked, return_exceptions=True)
        passed = [each for each in found if not isinstance(each, BaseException)]
        assert all(isinstance(each, RateLimited) for each in found if each not in passed), found
        for each in passed:
            each.settle(Usage(completion_tokens=tokens))
        self.reserved += [(self.now, tokens)] * len(passed)
        return len(passed)

    async def end(self, place: int, count: int) -> None:
        worker = self.workers[place]
        over, worker.open = worker.open[:count], worker.open[count:]
        for each in over:
            each.release()
        await asyncio.sleep(0.002)
        await self.settled()

    async def traffic(self, place: int, count: int, tokens: int = 30) -> None:
        """Enough of it to borrow for."""
        for _ in range(count):
            await self.turns(place, 20)
            await self.calls(place, 20, tokens)
            await self.end(place, 20)
            await self.go_on(60)

    async def trickle(self, place: int, count: int) -> None:
        """The same with so few tokens that the bucket stays full."""
        await self.traffic(place, count, 1)

    async def flood(self, place: int, count: int) -> None:
        """Until one is refused."""
        passed = 50
        while passed == 50:
            passed = await self.turns(place, 50)
            await self.end(place, passed)

    async def spend(self, place: int, tokens: int) -> None:
        """Until one is refused."""
        while await self.calls(place, 100, tokens) == 100:
            pass

    async def sips(self, place: int, count: int) -> None:
        await self.calls(place, count, 1)

    async def wait(self, place: int, ms: int) -> None:
        await self.go_on(ms)

    async def stall(self, place: int, ms: int) -> None:
        await self.go_on(ms, place)

    async def die(self, place: int, count: int) -> None:
        self.workers[place].stop()
        self.workers[place] = Worker(self)

    @property
    def running(self) -> int:
        return sum(len(worker.open) for worker in self.workers)

    async def close(self) -> None:
        for worker in self.workers:
            worker.stop()
        await self.stores.close()

    def check(self, requests: int, turns: int, tokens: int) -> None:
        assert self.running <= turns
        times = self.admitted
        assert all(later - first >= 60_000 for first, later in zip(times, times[requests:], strict=False))
        most, low = 0.0, 0.0  # what was used beyond the refill since the moment when that was least
        for at, amount in self.reserved:
            low = min(low, most - at * tokens / 60_000)
            most += amount
            assert most - at * tokens / 60_000 - low <= tokens + 1


class Worker:
    def __init__(self, world: World) -> None:
        self._world = world
        self.timers: list[Timer] = []
        self.open: list = []
        self.limits = Limits(world.stores, world._tenants, clock=lambda: world.now / 1000)
        self.limits.leases.later = self._later  # type: ignore[method-assign]
        self._renewed = world.now
        self._numbers = iter(range(10**9))

    def _later(self, seconds: float, what: Callable[[], None]) -> Timer:
        timer = Timer(self._world.now + seconds * 1000, what)
        self.timers.append(timer)
        return timer

    def wake(self) -> None:
        due = [timer for timer in self.timers if timer.due <= self._world.now]
        self.timers = [timer for timer in self.timers if timer not in due and timer.what is not None]
        for timer in due:
            if timer.what is not None:
                timer.what()

    def renew(self) -> None:
        if self._world.now - self._renewed >= 10_000:
            self._renewed = self._world.now
            self.limits.slots._renew()

    async def admit(self):
        name = f"{id(self)}-{next(self._numbers)}"
        admission = await self.limits.admit(ALICE.principal, REQUEST, name)
        self._world.lent += not (admission._logs or admission._taken)
        return admission

    def stop(self) -> None:
        """It is gone, without a word."""
        self.timers.clear()
        for timer in (self.limits.slots._renewal, self.limits.slots._departure):
            if timer is not None:
                timer.cancel()


def simulate(monkeypatch) -> None:
    """The scripts go by the key `clock`, and nobody waits until portions are back."""

    def by_clock(script: Script) -> Script:
        return Script(script.source.replace(turn_scripts.NOW, CLOCK))

    async def at_once(line: waiting.Line, tag: str, after: int) -> bool:
        return True

    monkeypatch.setattr(limiter, "ADMIT", by_clock(limiter.ADMIT))
    monkeypatch.setattr(leases, "LEND", by_clock(leases.LEND))
    monkeypatch.setattr(turn_scripts, "RENEW", by_clock(turn_scripts.RENEW))
    monkeypatch.setattr(scripts, "RESERVE", by_clock(scripts.RESERVE))
    monkeypatch.setattr(waiting.Line, "wait", at_once)
