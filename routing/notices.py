"""What the workers tell each other of model instances: breakers that open and close, pauses a service asked for, how
slow ones answer.

One stream of the platform's store holds the latest notices; every worker adds its own at once and reads the others'
four times a second. Without the store each worker goes by what it sees itself."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Final

import msgspec

from engine.errors import StoreUnavailable
from engine.snapshots import Cell
from routing.breaker import Change
from routing.table import Entry, RoutingTable
from tenants.handles import Store
from tenants.resp import Reply, Script

log = logging.getLogger(__name__)

STREAM: Final = "routing:notices"
POLL: Final = 0.25  # seconds
KEPT: Final = 1000  # notices, about
LIFE: Final = 120  # seconds; longer than the longest pause

# Keys: stream. Arguments: after which notice, how many. Returns the time of the server that has them, and the notices.
_READ: Final = Script("return {redis.call('TIME'), redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])}")


class Notice(msgspec.Struct, frozen=True):
    """`fingerprint` is the instance's configuration: what is true of an old one says nothing about the new one."""

    worker: str
    instance: int
    fingerprint: str
    change: Change


class NoticeBoard:
    """One worker's side of it. Belongs to the event loop that starts it."""

    def __init__(
        self, store: Store, table: Cell[RoutingTable], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._table = table
        self._monotonic = monotonic
        self._worker = os.urandom(8).hex()
        self._read_to = b"0-0"
        self._task: asyncio.Task[None] | None = None

    def tell(self, entry: Entry, change: Change) -> None:
        """Sends it on its way and waits for nothing."""
        level = logging.DEBUG if change.what == "answered" else logging.WARNING
        log.log(level, "model instance %s (%s): %s", entry.instance.id, entry.instance.name, change.what)
        notice = Notice(self._worker, entry.instance.id, entry.fingerprint, change)
        self._store.send("XADD", STREAM, "MAXLEN", "~", KEPT, "*", "notice", msgspec.json.encode(notice))
        self._store.send("EXPIRE", STREAM, LIFE)

    async def read(self) -> None:
        """Takes in what is new since the last time. Raises StoreUnavailable."""
        clock, notices = await self._store.run(_READ, [STREAM], b"(" + self._read_to, KEPT)
        now = int(clock[0]) + int(clock[1]) / 1e6
        for number, fields in notices:
            self._read_to = number
            self._adopt(fields, now - int(number.partition(b"-")[0]) / 1000)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._poll())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _poll(self) -> None:
        while True:
            try:
                await self.read()
            except StoreUnavailable:
                log.debug("the notices of other workers cannot be read")
            await asyncio.sleep(POLL)

    def _adopt(self, fields: list[Reply], age: float) -> None:
        """`age`: seconds since it was written, by the store's own clock."""
        try:
            notice = msgspec.json.decode(fields[1], type=Notice)
        except (msgspec.DecodeError, IndexError):
            log.warning("a notice makes no sense: %r", fields)
            return
        entry = self._table.value.entries.get(notice.instance)
        left = notice.change.seconds - age
        if notice.worker == self._worker or entry is None or entry.fingerprint != notice.fingerprint:
            return
        if left > 0 or notice.change.what == "closed":
            entry.health.adopt(msgspec.structs.replace(notice.change, seconds=max(0.0, left)), self._monotonic())
