"""How a saved change reaches every worker: a version row a section, and a bus that says "look now".

The version row is the truth: it is counted up in the transaction of the change, and every process reads all of them
once a second. The bus (a Valkey channel) only saves the wait; without it a change is live within that second. Sections
are compiled in this module's thread and swapped whole into the cells the request path reads. Those that may take long
have threads of their own, so that a revoked key never waits for a word list."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import redis
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import close_old_connections, connection, connections, transaction
from django.db.models import F
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry

from tenants.models import ConfigVersion
from tenants.signals import config_changed

T = TypeVar("T")

CHANNEL = "clawdbot:config"
BUS_TIMEOUT = 0.25  # seconds a saving request may lose to a bus that hangs
NAP = 0.5  # seconds between two looks at the stop flag
STOP_TIMEOUT = 5.0  # seconds; a database that hangs must not keep the process
BUS_AWAY = (redis.RedisError, OSError, UnicodeError)  # UnicodeError: a host name that cannot be one

logger = logging.getLogger(__name__)


def connect() -> None:
    """Called once all models are loaded."""
    config_changed.connect(_on_change, dispatch_uid="tenants.live")


def _on_change(section: str, **_: object) -> None:
    announce(section)


def announce(section: str) -> None:
    """Says that rows of the section changed: for bulk changes, which send no signals. Call it in their transaction."""
    versions = ConfigVersion.objects.filter(section=section)
    with transaction.atomic():
        if not versions.update(version=F("version") + 1):
            ConfigVersion.objects.get_or_create(section=section)
            versions.update(version=F("version") + 1)
        announcement = _Announcement(section)
        if all(announcement != function for _, function, *_ in connection.run_on_commit):  # a thousand rows: said once
            transaction.on_commit(announcement)


@dataclass(frozen=True)
class _Announcement:
    """What is said on the bus once the transaction holds. Best effort: who does not hear it reads the version row."""

    section: str

    def __call__(self) -> None:
        try:
            with bus(settings.VALKEY_NODES[0], BUS_TIMEOUT) as client:
                client.publish(CHANNEL, self.section)
        except BUS_AWAY as error:
            logger.warning("the change bus is away, %s goes live by polling: %s", self.section, error)


def bus(url: str, timeout: float) -> redis.Redis:
    """Does not say which library it is: finding out reads the package's metadata, for each connection anew."""
    return redis.Redis.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0), driver_info=None
    )


class _Consumer(Generic[T]):
    """Something compiled from a section: at `version` last; `wanted` is the newest version seen, `failed` the one that
    could not be compiled. `thread` is that of a slow one while it compiles."""

    def __init__(self, section: str, compile: Callable[[], T], apply: Callable[[T], None], slow: bool) -> None:
        self.section = section
        self.compile = compile
        self.apply = apply
        self.slow = slow
        self.thread: threading.Thread | None = None
        self.wanted = 0
        self.version: int | None = None
        self.failed: int | None = None

    def refresh(self, version: int) -> None:
        self.apply(self.compile())
        self.version = version

    def try_refresh(self, version: int) -> bool:
        try:
            self.refresh(version)
            self.failed = None
        except Exception:  # noqa: BLE001  # border: a broken section must not stop the others
            if self.failed != version:
                logger.exception("section %s version %s cannot be compiled, the last stays", self.section, version)
            self.failed = version
        return self.failed is None


class LiveConfig:
    """Keeps every registered consumer as new as the database. One a process; `bus_url` is a node of the Valkey server.

    A section may have several consumers. `compile` and `apply` run in the thread of this class, never on the event
    loop; when either raises, the old snapshot stays and the next look, a second later, tries again. A `slow` consumer
    holds nobody up: it runs in a thread that lives as long as its work, one at a time."""

    def __init__(self, bus_url: str, *, interval: float = 1.0) -> None:
        self._bus_url = bus_url
        self._interval = interval
        self._consumers: list[_Consumer[Any]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._bus_lost = False
        self._database_lost = False

    def register(
        self, section: str, compile: Callable[[], T], apply: Callable[[T], None], *, slow: bool = False
    ) -> None:
        self._consumers.append(_Consumer(section, compile, apply, slow))

    def load(self) -> None:
        """Compiles everything once, in the calling thread. Raises whatever a consumer raises."""
        versions = _versions()
        for consumer in self._consumers:
            consumer.refresh(versions.get(consumer.section, 0))

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="live-config", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the threads; waits a while for compilations that are running."""
        self._stop.set()
        until = time.monotonic() + STOP_TIMEOUT
        for thread in (self._thread, *(consumer.thread for consumer in self._consumers)):
            if thread is not None:
                thread.join(max(0.0, until - time.monotonic()))
        self._thread = None

    def look(self) -> None:
        """Reads the version rows and compiles what changed; what is slow has only begun when this returns. Never
        raises: a border where everything is logged."""
        try:
            versions = _versions()
            self._database_lost = False
        except DatabaseFailure as error:
            if not self._database_lost:
                logger.error("the configuration cannot be read, the last one stays: %s", error)
            self._database_lost = True
            return
        for consumer in self._consumers:
            consumer.wanted = versions.get(consumer.section, 0)
            if consumer.version == consumer.wanted:
                continue
            if not consumer.slow:
                consumer.try_refresh(consumer.wanted)
            elif consumer.thread is None or not consumer.thread.is_alive():
                name = f"live-{consumer.section}"
                consumer.thread = threading.Thread(target=self._run_slowly, args=(consumer,), name=name, daemon=True)
                consumer.thread.start()

    def _run_slowly(self, consumer: _Consumer[Any]) -> None:
        while consumer.version != consumer.wanted and consumer.try_refresh(consumer.wanted):
            if self._stop.is_set():
                break
        connections.close_all()

    def _run(self) -> None:
        subscription: PubSub | None = None
        while not self._stop.is_set():
            if subscription is None:
                subscription = self._subscribe()
            self.look()  # after subscribing: what was said before is in the rows
            close_old_connections()
            subscription = self._wait(subscription)
        if subscription is not None:
            subscription.close()
        connections.close_all()

    def _subscribe(self) -> PubSub | None:
        subscription: PubSub = bus(self._bus_url, self._interval).pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        try:
            subscription.subscribe(CHANNEL)
        except BUS_AWAY as error:
            if not self._bus_lost:
                logger.warning("the change bus is away, changes go live by polling: %s", error)
            self._bus_lost = True
            subscription.close()
            return None
        self._bus_lost = False
        return subscription

    def _wait(self, subscription: PubSub | None) -> PubSub | None:
        """Until the bus says something or the interval is over. Returns the subscription while it is of use."""
        end = time.monotonic() + self._interval
        while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
            if subscription is None:
                self._stop.wait(left)
                continue
            try:
                heard = subscription.get_message(timeout=min(left, NAP))
                while heard is not None:  # a burst of changes is one look
                    end = 0
                    heard = subscription.get_message(timeout=0)
            except BUS_AWAY:
                subscription.close()
                subscription = None
        return subscription


def _versions() -> dict[str, int]:
    return dict(ConfigVersion.objects.values_list("section", "version"))
