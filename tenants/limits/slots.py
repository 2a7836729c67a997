"""The slots of turns at the same time that this process holds: renewed while it lives, given back as turns end."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Final

from tenants.handles import Store
from tenants.limits import turn_scripts
from tenants.resp import Reply

log = logging.getLogger(__name__)

SLOT_LEASE: Final = 30.0
RIDE: Final = 0.001  # seconds that something given back waits for a turn that takes it along
MAX_RIDERS: Final = 1000  # ids one script takes along

Rider = tuple[str, str]  # a key of slots, and the id that gives its own back


class Slots:
    """Ids hold slots at keys; those given back ride along with scripts of the same hash tag."""

    def __init__(self, store: Store, lease: float = SLOT_LEASE) -> None:
        self._store = store
        self._lease = lease
        self._held: defaultdict[str, set[str]] = defaultdict(set)
        self._over: defaultdict[str, list[Rider]] = defaultdict(list)  # by hash tag
        self._renewal: asyncio.TimerHandle | None = None
        self._departure: asyncio.TimerHandle | None = None

    @property
    def lease_ms(self) -> int:
        return int(self._lease * 1000)

    @property
    def held(self) -> int:
        return sum(map(len, self._held.values()))

    def hold(self, key: str, number: str) -> None:
        self._held[key].add(number)
        if self._renewal is None:
            self._renewal = asyncio.get_running_loop().call_later(self._lease / 3, self._renew)

    def give_back(self, tag: str, key: str, number: str, *, taken: bool = True) -> None:
        """Ends a slot, once: a second call finds nothing."""
        held = self._held.get(key)
        if held is None or number not in held:
            return
        held.discard(number)
        if not held:
            del self._held[key]
        if taken:
            over = self._over[tag]
            over.append((key, number))
            if len(over) >= MAX_RIDERS:
                self.depart()
            elif self._departure is None:
                self._departure = asyncio.get_running_loop().call_later(RIDE, self.depart)

    def riders(self, tag: str) -> list[Rider]:
        """What the next script takes along; it must be told of by `arrive`."""
        return self._over.pop(tag, []) if self._over else []

    def arrive(self, tag: str, riders: Sequence[Rider], answer: asyncio.Future[Reply]) -> None:
        """Keeps what the store did not hear of."""
        if riders:
            answer.add_done_callback(partial(self._keep, tag, riders))

    def depart(self) -> None:
        """What no script has taken along."""
        self._departure = None
        over, self._over = self._over, defaultdict(list)
        for tag, riders in over.items():
            by_key: defaultdict[str, list[str]] = defaultdict(list)
            for key, number in riders:
                by_key[key].append(number)
            for key, numbers in by_key.items():
                removed = self._store.send("ZREM", key, *numbers)
                removed.add_done_callback(partial(self._keep, tag, [(key, number) for number in numbers]))
                removed.add_done_callback(log_failure)

    def close(self) -> None:
        for timer in (self._renewal, self._departure):
            if timer is not None:
                timer.cancel()
        self._renewal = None
        self.depart()

    def _keep(self, tag: str, riders: Sequence[Rider], answer: asyncio.Future[Reply]) -> None:
        if failed(answer):
            self._over[tag] += riders

    def _renew(self) -> None:
        self._renewal = None
        if not self._held:
            return
        for key, numbers in self._held.items():
            self._store.run(turn_scripts.RENEW, [key], self.lease_ms, *numbers).add_done_callback(log_failure)
        self._renewal = asyncio.get_running_loop().call_later(self._lease / 3, self._renew)


def failed(answer: asyncio.Future[Reply]) -> bool:
    return answer.cancelled() or answer.exception() is not None


def log_failure(answer: asyncio.Future[Reply]) -> None:
    if not answer.cancelled() and (error := answer.exception()) is not None:
        log.warning("a tenant's limits could not be brought up to date: %r", error)
