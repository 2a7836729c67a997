"""Signs of life of every worker, in the platform's store: who misses three of them is gone."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from access.machine import MachineCpu
from engine.errors import EngineError
from tenants.handles import Store

log = logging.getLogger(__name__)

EVERY: Final = 5.0  # seconds
LIFE: Final = 15  # seconds
NAMES: Final = "clawdbot:workers"
_STATM: Final = Path("/proc/self/statm")


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as it was at most `LIFE` seconds ago. Times are Unix seconds, `memory` is bytes in use. `running` are
    turns that are being answered, `waiting` those that have not begun to be. `cpu`: how busy the machine was in the
    last minute, 0 to 1; `open`: instances whose breaker is."""

    worker: str
    host: str
    pid: int
    version: str
    started: float
    at: float
    running: int
    waiting: int
    memory: int
    journal_waiting: int = 0
    cpu: float | None = None
    open: list[int] = []


class Heartbeats:
    """One a worker. `counts` are the turns that run and those that wait, and the entries that wait for the journal;
    `broken` the instances whose breaker is open."""

    def __init__(
        self,
        store: Store,
        worker: str,
        version: str,
        counts: Callable[[], tuple[int, int, int]],
        broken: Callable[[], list[int]] = list,
    ) -> None:
        self._store = store
        self._worker = worker
        self._version = version
        self._counts = counts
        self._broken = broken
        self._cpu = MachineCpu()
        self._started = time.time()
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def stop(self) -> None:
        """Its name is taken away at once."""
        if self._beating is None:
            return
        self._beating.cancel()
        await asyncio.wait([self._beating])
        try:
            await asyncio.wait_for(self._store.call("DEL", _key(self._worker)), 1.0)
            await asyncio.wait_for(self._store.call("SREM", NAMES, self._worker), 1.0)
        except (EngineError, OSError, TimeoutError) as error:
            log.info("a worker could not take its name away: %s", error)

    async def listed(self) -> list[Beat]:
        """The workers that live, the oldest first. Raises StoreUnavailable."""
        return await listed(self._store)

    def now(self) -> Beat:
        running, waiting, spooled = self._counts()
        return Beat(
            worker=self._worker,
            host=os.uname().nodename,
            pid=os.getpid(),
            version=self._version,
            started=self._started,
            at=time.time(),
            running=running,
            waiting=waiting,
            memory=_memory(),
            journal_waiting=spooled,
            cpu=self._cpu.share(),
            open=self._broken(),
        )

    async def _beat(self) -> None:
        while True:
            try:
                said = msgspec.json.encode(self.now())
                await self._store.call("SET", _key(self._worker), said, "EX", LIFE)
                await self._store.call("SADD", NAMES, self._worker)
            except (EngineError, OSError) as error:
                log.info("a sign of life was lost: %s", error)
            await asyncio.sleep(EVERY)


async def listed(store: Store) -> list[Beat]:
    """As `Heartbeats.listed`."""
    names = sorted(name.decode() for name in await store.call("SMEMBERS", NAMES))
    found = await asyncio.gather(*(store.send("GET", _key(name)) for name in names))
    for name, beat in zip(names, found, strict=True):
        if beat is None:
            store.send("SREM", NAMES, name)
    beats = [msgspec.json.decode(bytes(beat), type=Beat) for beat in found if beat is not None]
    return sorted(beats, key=lambda beat: (beat.started, beat.worker))


def _key(worker: str) -> str:
    return f"clawdbot:worker:{worker}"


def _memory() -> int:
    """Resident bytes; 0 where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
