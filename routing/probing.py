"""Active probes: a model instance with a `probe_interval` is asked every so often whether its service is there, at no
cost in tokens, so that a dead one is noticed and a repaired one is back without a user's request at risk.

One worker of all asks: who holds the lease in the platform's store. Without the store each worker asks for itself."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from engine.errors import EngineError, StoreUnavailable, UpstreamTimeout
from engine.snapshots import Cell
from routing.breaker import Change
from routing.table import Entry, RoutingTable
from tenants.handles import Store
from tenants.resp import Script

log = logging.getLogger(__name__)

KEY: Final = "routing:prober"
LEASE: Final = 6.0  # seconds after which another worker takes over from one that is gone
RENEWAL: Final = 2.0  # seconds
TICK: Final = 0.25  # seconds; as exact as probes are on time
LONGEST: Final = 5.0  # seconds a probe may take, if the instance's own timeout is not shorter
JITTER: Final = 0.1  # of the interval, either way, so that probes do not come in step
GAP: Final = 0.5  # seconds between the probes of an instance that may be back
AT_ONCE: Final = 16  # probes

_TAKE: Final = Script("""
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")
_GIVE_BACK: Final = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")


class _Watch:
    """An instance that is probed. `due` and `began` (the last time) are on the monotonic clock."""

    __slots__ = ("began", "due", "entry", "task")

    def __init__(self, entry: Entry, due: float) -> None:
        self.entry = entry
        self.due = due
        self.began = 0.0
        self.task: asyncio.Task[None] | None = None

    def is_due(self, now: float) -> bool:
        """Every interval; of an open breaker as soon as its time is over, and then quickly, before a user's request
        finds out. A service that asks to wait is left alone."""
        if self.task is not None and not self.task.done():
            return False
        health, breaker = self.entry.health, self.entry.health.breaker
        if health.paused_until > now:
            return False
        if breaker.is_open:
            return not breaker.blocks(now) and now >= self.began + GAP
        return now >= self.due


class Prober:
    """One worker's side of it. Belongs to the event loop that starts it. `tell` is told what other workers should know
    of an instance, `jitter` gives numbers from 0 to 1."""

    def __init__(
        self,
        store: Store,
        table: Cell[RoutingTable],
        *,
        tell: Callable[[Entry, Change], None],
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._table = table
        self._tell = tell
        self._monotonic = monotonic
        self._jitter = jitter
        self._worker = os.urandom(8).hex()
        self._holds_lease = False
        self._watched: dict[int, _Watch] = {}
        self._seen: RoutingTable | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        running = self._running()
        self.drop()
        if running:
            await asyncio.wait(running)
        if self._holds_lease:
            with suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(1):
                    await self._store.run(_GIVE_BACK, [KEY], self._worker)

    async def leads(self) -> bool:
        """Takes the lease or keeps it, and says whether this worker is to probe."""
        try:
            async with asyncio.timeout(RENEWAL):
                taken = await self._store.run(_TAKE, [KEY], self._worker, int(LEASE * 1000))
        except (StoreUnavailable, TimeoutError):
            self._holds_lease = False
            return True
        self._holds_lease = bool(taken)
        return self._holds_lease

    def probe_due(self) -> list[asyncio.Task[None]]:
        """Starts the probes that are due; returns all that run."""
        now = self._monotonic()
        self._look(now)
        running = self._running()
        for watch in self._watched.values():
            if len(running) < AT_ONCE and watch.is_due(now):
                watch.began = now
                watch.task = asyncio.get_running_loop().create_task(self._probe(watch))
                running.append(watch.task)
        return running

    def drop(self) -> None:
        """Another worker probes now: what runs is cancelled."""
        for watch in self._watched.values():
            if watch.task is not None:
                watch.task.cancel()
        self._watched.clear()
        self._seen = None

    def _running(self) -> list[asyncio.Task[None]]:
        return [watch.task for watch in self._watched.values() if watch.task is not None and not watch.task.done()]

    async def _run(self) -> None:
        while True:
            leads = await self.leads()
            for _ in range(round(RENEWAL / TICK)):
                if leads:
                    self.probe_due()
                await asyncio.sleep(TICK)
            if not leads:
                self.drop()

    def _look(self, now: float) -> None:
        """Who is to be probed. An instance that is gone, disabled or changed is asked no more."""
        table = self._table.value
        if table is self._seen:
            return
        self._seen = table
        before, self._watched = self._watched, {}
        for number, entry in table.entries.items():
            interval = _interval(entry)
            if not interval:
                continue
            watch = before.get(number)
            if watch is not None and watch.entry.health is entry.health:
                del before[number]
                watch.entry, watch.due = entry, min(watch.due, now + interval)
            else:
                watch = _Watch(entry, now + interval * self._jitter())
            self._watched[number] = watch
        for watch in before.values():
            if watch.task is not None:
                watch.task.cancel()

    async def _probe(self, watch: _Watch) -> None:
        entry, health = watch.entry, watch.entry.health
        check = health.begin_check(self._monotonic())
        outcome: BaseException | None = None
        try:
            async with asyncio.timeout(min(entry.instance.timeout, LONGEST)):
                await entry.adapter.probe()
        except asyncio.CancelledError as error:
            outcome = error
            raise
        except TimeoutError:
            outcome = UpstreamTimeout()
        except EngineError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001  # border: one adapter's mistake must not end the others' probes
            log.error("the probe of model instance %s is broken", entry.instance.id, exc_info=error)
            outcome = error
        finally:
            now = self._monotonic()
            watch.due = now + _interval(watch.entry) * (1 - JITTER + 2 * JITTER * self._jitter())
            change = health.end_check(check, outcome, now)
            if change is not None:
                self._tell(entry, change)


def _interval(entry: Entry) -> float:
    """Seconds; 0: it is not to be probed, or cannot be."""
    if "probe" not in getattr(entry.adapter, "capabilities", ()):
        return 0.0
    return entry.instance.probe_interval or 0.0
