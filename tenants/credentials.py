"""API keys and members as the request path sees them: a bounded cache in memory, and one thread that reads the rest.

A hit costs a dictionary look-up. Misses are handed to the reader thread, which asks the database for all that wait in
one query; the event loop never waits for it longer than `timeout`. Rows that do not exist are remembered for
`absent_ttl` seconds, so that a wrong key cannot be used to keep the database busy. A change of the section re-reads
what is cached in the thread of `LiveConfig`, so cached credentials stay usable while the database is away."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from datetime import datetime
from itertools import islice
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

import msgspec
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import close_old_connections, connections

from engine.errors import StoreUnavailable
from tenants.live import LiveConfig
from tenants.models import ApiKey, Member
from tenants.recent import Recent
from tenants.tokens import stamp_of
from tenants.validation import DEFAULT_SCOPES

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

BATCH = 500  # rows of one query; SQLite takes 999 parameters and more
QUEUE = 10_000  # look-ups that may wait; beyond that the database is away or we are under attack

STOP_TIMEOUT = 2.0  # seconds; a database that hangs must not keep the process

logger = logging.getLogger(__name__)


class KeyView(msgspec.Struct, frozen=True):
    """An API key that is not revoked. `expires_at` is in Unix seconds and checked at each use."""

    id: int
    tenant_id: int
    scopes: frozenset[str]
    expires_at: float | None


class MemberView(msgspec.Struct, frozen=True):
    """An active membership of an active user. `stamp`: what their tokens must carry; `older` is the same of tokens that
    were made while another secret was the platform's, which is still believed."""

    id: int
    tenant_id: int
    user_id: int
    role: str
    stamp: str = ""
    older: tuple[str, ...] = ()

    def is_stamp(self, said: str) -> bool:
        return said == self.stamp or said in self.older


class _Failure:
    """What a look-up gives when the database could not be asked."""


FAILURE: Final = _Failure()


class RowCache(Generic[K, V]):
    """Rows by key. `read` fetches those of the given keys that exist; it runs in the reader's or a live thread."""

    def __init__(
        self,
        read: Callable[[list[K]], dict[K, V]],
        reader: Reader,
        *,
        capacity: int = 50_000,
        absent_ttl: float = 5.0,
        timeout: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._reader = reader
        self._present: Recent[K, V] = Recent(capacity)
        self._absent: Recent[K, float] = Recent(capacity)
        self._absent_ttl = absent_ttl
        self._timeout = timeout
        self._clock = clock
        self._waiting: dict[K, Future[V | _Failure | None]] = {}
        self._lock = threading.Lock()
        self._generation = 0
        self.applied = 0  # changes, so far
        self.cached: Callable[[K], V | None] = self._present.get
        """The row if it is in memory; None says nothing about whether it exists. Cheap, for every request."""

    async def resolve(self, key: K) -> V | None:
        """The row, from memory or the database; None: there is none. Raises StoreUnavailable after `timeout`."""
        value = self._present.get(key)
        if value is not None or self._known_absent(key):
            return value
        try:
            # shielded: who gives up must not take the answer from the others that wait for the same row
            answer = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._ask(key))), self._timeout)
        except TimeoutError:
            answer = FAILURE
        if isinstance(answer, _Failure):
            raise StoreUnavailable
        return answer

    def _known_absent(self, key: K) -> bool:
        until = self._absent.get(key)
        return until is not None and self._clock() < until

    def _ask(self, key: K) -> Future[V | _Failure | None]:
        with self._lock:
            future = self._waiting.get(key)
            if future is None:
                if len(self._waiting) >= QUEUE:
                    raise StoreUnavailable
                future = self._waiting[key] = Future()
                self._reader.wake(self)
            return future

    def serve(self) -> None:
        """In the reader's thread: answers what waits, in one query."""
        with self._lock:
            batch = list(islice(self._waiting, BATCH))
            generation = self._generation
        if not batch:
            return
        rows = self._fetch(batch)
        with self._lock:
            fresh = generation == self._generation  # else a change came meanwhile: good for an answer, not to be kept
            for key in batch:
                value = FAILURE if rows is None else rows.get(key)
                if fresh and not isinstance(value, _Failure):
                    self._keep(key, value)
                self._waiting.pop(key).set_result(value)

    def _keep(self, key: K, value: V | None) -> None:
        if value is None:
            self._absent.put(key, self._clock() + self._absent_ttl)
        else:
            self._absent.drop(key)
            self._present.put(key, value)

    def _fetch(self, batch: list[K]) -> dict[K, V] | None:
        try:
            return self._read(batch)
        except DatabaseFailure as error:
            logger.warning("credentials cannot be read: %s", error)
        except Exception:  # noqa: BLE001  # border: one thread serves everybody and must not end
            logger.exception("credentials cannot be read")
        return None

    def recheck(self) -> dict[K, V | None]:
        """Reads again what is cached, after a change: the `compile` of `LiveConfig`."""
        with self._lock:
            self._generation += 1  # a read that began before is not kept
        current: dict[K, V | None] = {}
        for batch in _chunks(self._present.keys()):
            rows = self._read(batch)
            current.update((key, rows.get(key)) for key in batch)
        return current

    def apply(self, current: dict[K, V | None]) -> None:
        self._absent.clear()
        for key, value in current.items():
            if value is None:
                self._present.drop(key)
            else:
                self._present.replace(key, value)
        self.applied += 1


class Reader:
    """The one thread that asks the database on behalf of the event loop."""

    def __init__(self) -> None:
        self._bell: SimpleQueue[RowCache[Any, Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def wake(self, cache: RowCache[Any, Any]) -> None:
        self._bell.put(cache)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="credentials", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._bell.put(None)
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT)
            self._thread = None

    def _run(self) -> None:
        while (cache := self._bell.get()) is not None:
            cache.serve()
            close_old_connections()
        connections.close_all()


class Credentials:
    """Keys by digest and members by id, of one process."""

    def __init__(self, *, capacity: int = 50_000, absent_ttl: float = 5.0, timeout: float = 0.5) -> None:
        self._reader = Reader()
        options: dict[str, Any] = {"capacity": capacity, "absent_ttl": absent_ttl, "timeout": timeout}
        self.keys: RowCache[str, KeyView] = RowCache(read_keys, self._reader, **options)
        self.members: RowCache[int, MemberView] = RowCache(read_members, self._reader, **options)

    def register(self, live: LiveConfig) -> None:
        live.register("keys", self.keys.recheck, self.keys.apply)
        live.register("members", self.members.recheck, self.members.apply)

    def start(self) -> None:
        self._reader.start()

    def stop(self) -> None:
        self._reader.stop()


def read_keys(digests: list[str]) -> dict[str, KeyView]:
    rows = ApiKey.objects.everywhere().filter(digest__in=digests, revoked_at__isnull=True)
    return {
        digest: KeyView(
            id, tenant_id, frozenset(scopes) or DEFAULT_SCOPES, None if expires is None else expires.timestamp()
        )
        for digest, id, tenant_id, scopes, expires in rows.values_list(
            "digest", "id", "tenant_id", "scopes", "expires_at"
        )
    }


def read_members(ids: list[int]) -> dict[int, MemberView]:
    rows = Member.objects.everywhere().filter(id__in=ids, is_active=True, user__is_active=True)
    found = rows.values_list("id", "tenant_id", "user_id", "role", "user__password", "user__signed_out_at")
    return {row[0]: _member(row) for row in found}


def _member(row: tuple[Any, ...]) -> MemberView:
    stamp, *older = stamps_of(row[4], row[5])
    return MemberView(*row[:4], stamp=stamp, older=tuple(older))


def stamps_of(password: str, signed_out_at: datetime | None) -> list[str]:
    """What a person's tokens may carry: the first is what new ones do. `password` is its stored hash."""
    return [stamp_of(key, password, signed_out_at) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def _chunks(keys: Iterable[K]) -> Iterator[list[K]]:
    rest = iter(keys)
    while chunk := list(islice(rest, BATCH)):
        yield chunk
