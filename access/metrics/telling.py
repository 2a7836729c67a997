"""Once a second a process tells the others of its machine what it has counted; asked for all of it, it adds what they
told last."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from access.metrics import processes
from access.metrics.machine import Machine
from access.metrics.processes import Process
from access.metrics.series import Book
from access.metrics.snapshot import Snapshot, Totals, decode, encode, total

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

EVERY: Final = 1.0  # seconds
PATIENCE: Final = 2.0  # seconds for the disk, when somebody asks
ROUNDS: Final = 3  # in which names may come while others are agreed upon


def _none() -> Sequence[Process]:
    return ()


def _nothing() -> tuple[int, int]:
    return 0, 0


class Teller:
    """One a process, for its event loop. Where the folder cannot be used, what is told is this process's own."""

    def __init__(
        self,
        book: Book,
        path: Path | None,
        kind: str,
        *,
        recent: Callable[[], tuple[int, int]] = _nothing,
        besides: Callable[[], Sequence[Process]] = _none,
    ) -> None:
        """`path` None: there is no folder. `besides` are other processes to tell of, which do not themselves."""
        self._book = book
        self._kind = kind
        self._machine = Machine(path, kind) if path is not None else None
        self._recent = recent
        self._besides = besides
        self._writing = asyncio.Lock()
        self._disk = ThreadPoolExecutor(1, "metrics-disk")  # one after the other, also what nobody waits for any more
        self._others: list[Snapshot] = []
        self._telling: asyncio.Task[None] | None = None

    def snapshot(self, *, ended: bool = False) -> Snapshot:
        machine, book = self._machine, self._book
        worker = machine.worker if machine is not None else f"{self._kind}-0"
        return Snapshot(
            id=machine.id if machine is not None else "",
            worker=worker,
            at=time.time(),
            ended=ended,
            counts=book.counted(),
            spreads=book.spreads(),
            gauges=book.gauges(),
            recent=self._recent(),
            processes=[processes.own(worker, self._kind), *self._besides()],
        )

    def start(self) -> None:
        self._joining = asyncio.get_running_loop().create_task(self._join())
        self._telling = asyncio.get_running_loop().create_task(self._keep_telling(self._joining))

    async def stop(self) -> None:
        if self._telling is None:
            return
        telling, self._telling = self._telling, None
        telling.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([self._joining, telling])
                await self._tell(ended=True)
        if self._machine is not None:
            self._machine.leave()
        self._disk.shutdown(wait=False)

    async def totals(self) -> Totals:
        """Of the machine. What is told here was told to the others before, so that none of them ever knows less. Where
        the disk does not answer, what they told before counts."""
        said = None
        if self._telling is not None:
            try:
                async with asyncio.timeout(PATIENCE):
                    await asyncio.shield(self._joining)
                    said = await self._tell_and_hear()
            except OSError as error:  # TimeoutError is one
                log.warning("metrics of other processes are as of before: %s", error)
        return await asyncio.to_thread(_added, said or encode(self.snapshot()), self._others)

    async def _join(self) -> None:
        if self._machine is not None:
            try:
                await self._on_disk(self._machine.join)
            except OSError as error:
                log.warning("what this process counts is told by itself alone: %s", error)
                self._machine.leave()
                self._machine = None

    async def _keep_telling(self, joining: asyncio.Task[None]) -> None:
        await asyncio.shield(joining)
        while True:
            try:
                await self._tell()
            except Exception:  # noqa: BLE001  # a border: one gauge's trouble is not the others', nor the next second's
                log.exception("what is counted could not be read")
            await asyncio.sleep(EVERY)

    async def _tell(self, *, ended: bool = False) -> None:
        machine = self._machine
        if machine is None:
            return
        try:
            async with self._writing:
                await self._settle(machine)
                await self._on_disk(machine.tell, encode(self.snapshot(ended=ended)))
        except OSError as error:
            log.info("what was counted could not be told: %s", error)

    async def _tell_and_hear(self) -> bytes | None:
        machine = self._machine
        if machine is None:
            return None
        async with self._writing:
            await self._settle(machine)
            said = encode(self.snapshot())
            await self._on_disk(machine.tell, said)
            self._others = await self._on_disk(machine.others)
            return said

    async def _on_disk(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, partial(work, *arguments, **named))

    async def _settle(self, machine: Machine) -> None:
        """After it there is no name that the machine has not agreed upon."""
        labels = self._book.labels
        for _ in range(ROUNDS):
            if fresh := labels.fresh():
                self._book.settle(fresh, await self._on_disk(machine.agree, fresh, labels.limits))
        if fresh := labels.fresh():
            self._book.settle(
                fresh, {label: labels.of[label].known.difference(names) for label, names in fresh.items()}
            )


class Aside:
    """A teller with a thread of its own, for a process without an event loop. It tells of no names that tenants give:
    what is counted meanwhile is not held up."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Its last word is said. Safe to call twice."""
        if self._thread.is_alive() and self._ready.wait(PATIENCE):
            with contextlib.suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._teller.start()
        self._ready.set()
        await self._over.wait()
        await self._teller.stop()


def _added(said: bytes, others: list[Snapshot]) -> Totals:
    mine = decode(said)
    return total([*([mine] if mine is not None else []), *others], time.time())
