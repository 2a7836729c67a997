"""A TCP balancer that sends connections where Kubernetes would: to the backends that say they are ready, in turn.

What it has given to a backend stays there until one side closes. It tries no second backend: one that refuses although
it said it was ready has failed its caller."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Self

Check = Callable[[int], Awaitable[bool]]

EVERY = 0.2  # seconds between two looks at a backend
PATIENCE = 5.0  # seconds a connection waits while no backend is ready


class Balancer:
    """`ports` are the backends on loopback; `check` says whether one is ready; what it raises is a no."""

    def __init__(self, ports: Sequence[int], check: Check) -> None:
        self.ready = dict.fromkeys(ports, False)
        self.given = dict.fromkeys(ports, 0)
        self.port = 0
        self._check = check
        self._turn = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._looking = [asyncio.create_task(self._look(port)) for port in self.ready]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in [*self._looking, *self._tasks]:
            task.cancel()
        await asyncio.gather(*self._looking, *self._tasks, return_exceptions=True)

    async def _look(self, port: int) -> None:
        while True:
            try:
                async with asyncio.timeout(2.0):
                    self.ready[port] = await self._check(port)
            except Exception:  # noqa: BLE001  # border: whatever a check raises
                self.ready[port] = False
            await asyncio.sleep(EVERY)

    async def _choose(self) -> int:
        async with asyncio.timeout(PATIENCE):
            while not (ready := [port for port, good in self.ready.items() if good]):
                await asyncio.sleep(0.02)
        return ready[next(self._turn) % len(ready)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            port = await self._choose()
            self.given[port] += 1
            from_backend, to_backend = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(_pump(reader, to_backend), _pump(from_backend, writer))
            finally:
                to_backend.transport.abort()
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(1 << 16):
        writer.write(piece)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()
