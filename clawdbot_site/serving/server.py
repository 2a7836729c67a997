"""One web worker: a uvicorn server that finishes what it has begun before it goes.

On SIGTERM: readiness is false at once; after `drain_delay` (the time a load balancer needs to notice) the listeners
close, and so do idle WebSockets, with 1012; turns in flight get `drain_timeout` together; then uvicorn's own shutdown
closes the WebSockets that are left with 1012.

On SIGINT there is no delay: somebody sits at the terminal. On REPLACED the listeners close at once and readiness stays
as it is, since the other workers accept from the same socket; the delay is what kept connections have to go elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

import msgspec
import uvicorn

from clawdbot_site.serving.limits import ConnectionState, LimitedHttpProtocol, Limits
from clawdbot_site.serving.silences import Silences
from clawdbot_site.serving.sockets import SocketProtocol

log = logging.getLogger("clawdbot.server")

REPLACED = signal.SIGUSR1
LAST_WORDS = 5.0  # seconds cancelled requests get to write their journal entries
DATE_EVERY = 1.0  # seconds


class Served(Protocol):
    """What a worker serves. `app` is an ASGI callable."""

    @property
    def app(self) -> Any: ...

    async def startup(self) -> None:
        """Called on the running loop before the worker accepts a connection."""

    async def shutdown(self) -> None:
        """Called last, when no request is running."""

    async def drain(self, *, replaced: bool = False) -> None:
        """From the call on `ready()` is false, unless others take connections in its place (`replaced`); returns when
        no turn is running. Called more than once."""

    def retire(self) -> None:
        """No connection will come any more: those that are open and do nothing are told to go elsewhere."""

    def ready(self) -> bool: ...

    def watch_connections(self, number: Callable[[], int]) -> Callable[[str], None]:
        """`number` gives those that are open. What is returned hears `refused` and `made_way` where they are too
        many."""


class Drain(msgspec.Struct, frozen=True):
    """Seconds."""

    delay: float = 0.0
    timeout: float = 75.0


class CannotListen(Exception):
    """Somebody else listens at the address; it was free when it was bound."""


class DrainingServer(uvicorn.Server):
    def __init__(
        self,
        served: Served,
        *,
        limits: Limits | None = None,
        drain: Drain | None = None,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        """`started` is called once, when the worker accepts connections."""
        limits = limits or Limits()
        super().__init__(
            uvicorn.Config(
                served.app,
                loop="uvloop",
                http=LimitedHttpProtocol,
                ws=SocketProtocol,
                ws_max_size=limits.websocket_message,
                ws_ping_interval=limits.ping_interval,
                ws_ping_timeout=limits.ping_timeout,
                ws_per_message_deflate=False,  # deltas are small; a deflate window costs more than it saves
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",  # at "info" every handshake is logged with its query string, which may hold a ticket
                access_log=False,
                proxy_headers=False,  # forwarded headers are judged in one place, by TRUSTED_PROXIES
                server_header=False,
                timeout_keep_alive=limits.keep_alive,
                backlog=2048,
            )
        )
        tell = served.watch_connections(lambda: len(self.server_state.connections))
        self.server_state: ConnectionState = ConnectionState(limits, tell)
        self._silences = Silences(limits.event_silence)
        self._served = served
        self._drain = drain or Drain()
        self._started = started
        self._replaced = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()  # that it is to stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second signal changes nothing: who is in a hurry kills. uvicorn would cut all streams at a second SIGINT,
        and end the process with the signal it was stopped by."""
        if self.should_exit:
            return
        if sig == signal.SIGINT:
            self._drain = Drain(timeout=self._drain.timeout)
        self._replaced = sig == REPLACED
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """Wakes once a second for the date of answers and for streams on which nothing comes, and when it is told to
        stop; uvicorn's looks ten times."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            self._silences.look(self.server_state.connections, self._loop.time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_EVERY):
                    await self._told.wait()

    async def _look_on(self) -> None:
        """Turns that are to be finished may be silent as long as any others."""
        clock = asyncio.get_running_loop().time
        while True:
            self._silences.look(self.server_state.connections, clock())
            await asyncio.sleep(DATE_EVERY)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Raises CannotListen."""
        await self._served.startup()
        asyncio.get_running_loop().add_signal_handler(REPLACED, self.handle_exit, REPLACED, None)
        for listener in sockets or []:
            try:
                listener.listen(self.config.backlog)  # uvloop would close a socket that cannot, and say nothing
            except OSError as error:
                raise CannotListen(error.strerror) from error
        await super().startup(sockets)
        spare_the_collector()
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        deadline = time.monotonic() + self._drain.delay + self._drain.timeout
        looking = asyncio.ensure_future(self._look_on())
        try:
            await self._finish_turns(sockets or [], deadline)
        finally:
            looking.cancel()
        self.config.timeout_graceful_shutdown = max(1, round(deadline - time.monotonic()))
        await super().shutdown(sockets)
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=LAST_WORDS)
        await self._served.shutdown()

    async def _finish_turns(self, sockets: list[socket.socket], deadline: float) -> None:
        self.server_state.draining = True
        unready = asyncio.ensure_future(self._served.drain(replaced=self._replaced))
        if self._replaced:
            self._stop_listening(sockets)
        await asyncio.sleep(self._drain.delay)
        self._stop_listening(sockets)
        self._served.retire()
        for connection in list(self.server_state.connections):
            if isinstance(connection, LimitedHttpProtocol):
                connection.shutdown()  # idle: closed; busy: closed after its answer
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await unready  # turns that were let in while it waited are the second call's
                await self._served.drain(replaced=self._replaced)
            return
        log.warning("turns still running after %s s are cut", self._drain.timeout)

    def _stop_listening(self, sockets: list[socket.socket]) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()


def spare_the_collector() -> None:
    """What a worker is made of lives as long as it does, and a turn leaves hardly a cycle behind: the collector looks
    only at what is new, and less often (`docs/performance.md`)."""
    gc.collect()
    _give_back()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _give_back() -> None:
    """What starting has freed goes back to the system, where the C library can: about a tenth of a worker's memory."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def run_worker(
    served: Served,
    listener: socket.socket,
    *,
    limits: Limits | None = None,
    drain: Drain | None = None,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Serves in this process until SIGTERM or SIGINT, then drains and returns."""
    DrainingServer(served, limits=limits, drain=drain, started=started).run(sockets=[listener])
