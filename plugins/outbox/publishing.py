"""The publisher: looks twice a second whether any sink of any tenant has something to be sent, and sends it in threads,
so that one that is slow keeps nobody else's events."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Final

from django.db import Error as DatabaseFailure
from django.db import connections

from plugins.outbox import holding, places
from plugins.outbox.declared import Declared, declared
from plugins.outbox.delivering import Delivery, Switch
from plugins.outbox.places import LeaseLost
from plugins.outbox.sources import EventSource
from tenants.models import ConfigVersion

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.5  # seconds
CONFIGURED_EVERY: Final = 1.0
SECTIONS: Final = ("plugins", "tenants", "webhooks")
THREADS: Final = 8
A_TENANT: Final = 3  # threads that one tenant's sinks may have
FAR: Final = float("inf")

Wait = Callable[[float], bool]


class Publisher:
    """`most_failing`: after so many seconds of failing a webhook is switched off, by `switch_off`."""

    def __init__(
        self,
        source: EventSource,
        switch_off: Switch,
        *,
        most_failing: float = FAR,
        told: Callable[[], None] | None = None,
        pool: Executor | None = None,
        find: Callable[[], list[Declared]] = declared,
    ) -> None:
        self.holder = places.holder_of_this_process()
        self._source = source
        self._switch_off = switch_off
        self._most_failing = most_failing
        self._told = told
        self._find = find
        self._pool = pool or ThreadPoolExecutor(THREADS, thread_name_prefix="publisher")
        self._deliveries: dict[tuple[int, str], Delivery] = {}
        self._running: dict[tuple[int, str], Future[bool]] = {}
        self._more: set[tuple[int, str]] = set()
        self._stopped = threading.Event()
        self._versions: list[tuple[str, int]] | None = None
        self._configured = 0.0

    def run(self, wait: Wait) -> None:
        """Until `wait(seconds)`, which pauses, says that it is time to stop."""
        try:
            while not wait(0.02 if self._more else LOOK_EVERY):
                try:
                    self.look()
                except (DatabaseFailure, OSError) as error:
                    log.error("the publisher cannot look: %s", error)
                    _renew()
                    if wait(LOOK_EVERY):
                        return
        finally:
            self.stop()

    def look(self) -> None:
        """Starts whatever has something to do. Raises django.db.Error."""
        self._configure()
        self._collect()
        if not self._deliveries:
            return
        heads, due, now = self._source.heads(), holding.due_sinks(), time.time()
        busy = Counter(tenant_id for tenant_id, _ in self._running)
        for key, delivery in self._deliveries.items():
            head = heads.get(key[0], 0)
            pressing = key in due or key in self._more
            if key in self._running or busy[key[0]] >= A_TENANT:
                continue
            new = head > delivery.position and not delivery.pausing
            if pressing or new or now >= delivery.idle_until:
                self._more.discard(key)
                busy[key[0]] += 1
                self._running[key] = self._pool.submit(self._step, delivery, head)
        if self._told is not None:
            self._told()

    def settle(self, seconds: float = 30.0) -> None:
        """Looks until nothing is left to be sent now. For tests and commands."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            for future in list(self._running.values()):
                future.result(max(0.0, end - time.monotonic()))
            self._collect()
            if not self._more:
                return
        raise TimeoutError

    def stop(self) -> None:
        """Waits for what is being sent, then lets other publishers go on at once."""
        self._stopped.set()
        self._pool.shutdown()
        self._running.clear()
        for delivery in self._deliveries.values():
            delivery.close()
        self._deliveries.clear()
        try:
            places.give_back(self.holder)
        except DatabaseFailure as error:
            log.warning("the leases end by themselves: %s", error)

    def _step(self, delivery: Delivery, head: int) -> bool:
        try:
            return delivery.step(head, self._stopped.is_set)
        finally:
            _renew()

    def _collect(self) -> None:
        """What has ended; one that failed rests a while."""
        for key, future in [each for each in self._running.items() if each[1].done()]:
            del self._running[key]
            try:
                if future.result():
                    self._more.add(key)
            except LeaseLost:
                log.info("another publisher took over %s", key[1])
            except Exception:  # noqa: BLE001 - border: one sink's trouble is not the others'
                log.exception("%s of tenant %s could not be looked after", key[1], key[0])
                if (delivery := self._deliveries.get(key)) is not None:
                    delivery.rest(LOOK_EVERY * 10)

    def _configure(self) -> None:
        """Reads anew what sinks there are, when that may have changed."""
        if time.monotonic() - self._configured < CONFIGURED_EVERY:
            return
        self._configured = time.monotonic()
        rows = ConfigVersion.objects.filter(section__in=SECTIONS).order_by("section")
        versions = list(rows.values_list("section", "version"))
        if versions == self._versions:
            return
        found = {(each.tenant_id, each.sink): each for each in self._find()}
        for key in [key for key, old in self._deliveries.items() if key not in self._running]:
            if found.get(key) is None or not _same(found[key], self._deliveries[key].it):
                self._deliveries.pop(key).close()
        for key, it in found.items():
            if key not in self._deliveries:
                self._deliveries[key] = self._delivery(it)
        stale = [key for key, old in self._deliveries.items() if key not in found or not _same(found[key], old.it)]
        self._versions = None if stale else versions  # those that run now are seen to the next time

    def _delivery(self, it: Declared) -> Delivery:
        return Delivery(it, self._source, self.holder, self._switch_off, self._most_failing)


def _same(one: Declared, other: Declared) -> bool:
    """Whether what is open may go on."""
    a, b = one.spec, other.spec
    return (a.key, a.events, a.content, a.label, one.slug) == (b.key, b.events, b.content, b.label, other.slug)


def _renew() -> None:
    """No request ends here, which would see to connections that are broken or too old."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
