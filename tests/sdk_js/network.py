"""A bad network: a TCP proxy in front of the product that a test cuts, restores, or lets go silent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

PIECE = 4096


class Network:
    """All methods may be called from any thread.

    network.cut_after(900, back_in=0.5)     # that many bytes of answers from now on, then nothing for half a second
    network.every = 900                     # each connection breaks after so many bytes of answers
    network.cut(); network.restore()        # what is open breaks, what is opened is refused
    network.silence(); network.restore()    # half-open: nothing arrives, and nobody is told
    """

    def __init__(self, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.every = 0
        self.cuts = 0
        self.connections = 0
        self._to = port
        self.loop = loop
        self._down = False
        self._silent = False
        self._left: int | None = None
        self._back_in = 0.0
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        self._call(self._cut)

    def cut_after(self, count: int, back_in: float) -> None:
        self._call(lambda: self._arm(count, back_in))

    def silence(self) -> None:
        self._call(lambda: setattr(self, "_silent", True))

    def restore(self) -> None:
        self._call(self._restore)

    def _call(self, work: Callable[[], None]) -> None:
        done: Future[None] = Future()

        def run() -> None:
            work()
            done.set_result(None)

        self.loop.call_soon_threadsafe(run)
        done.result(10)

    def _arm(self, count: int, back_in: float) -> None:
        self._left, self._back_in = count, back_in

    def _cut(self) -> None:
        self._down, self._left = True, None
        self.cuts += 1
        for writer in self._writers:
            writer.transport.abort()

    def _restore(self) -> None:
        self._down = False
        if self._silent:
            self._silent = False
            for writer in self._writers:  # what it swallowed is gone for good
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._down:
            writer.transport.abort()
            return
        self.connections += 1
        answers, requests = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {writer, requests}
        self._writers |= ends
        try:
            await asyncio.gather(self._pass(reader, requests, answer=False), self._pass(answers, writer, answer=True))
        except OSError:
            pass
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answer: bool) -> None:
        """Ends by an OSError, so that the other direction does too."""
        passed = 0
        while piece := await source.read(PIECE):
            if self._silent:
                continue
            if answer and self._left is not None:
                sink.write(piece[: self._left])
                await sink.drain()
                self._left -= len(piece)
                if self._left <= 0:
                    back_in = self._back_in
                    self._cut()
                    self.loop.call_later(back_in, self._restore)
                    raise ConnectionAbortedError
                continue
            if answer and self.every:
                piece = piece[: self.every - passed]
            sink.write(piece)
            await sink.drain()
            passed += len(piece)
            if answer and self.every and passed >= self.every:
                self.cuts += 1
                raise ConnectionAbortedError
        raise ConnectionAbortedError


@contextmanager
def network_before(port: int) -> Iterator[Network]:
    """On a loop of its own, in a thread: the test's thread may have one already."""
    opened: Future[tuple[Network, asyncio.Event]] = Future()

    async def run() -> None:
        network, over = Network(port, asyncio.get_running_loop()), asyncio.Event()
        await network.open()
        opened.set_result((network, over))
        await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    network, over = opened.result(10)
    try:
        yield network
    finally:
        network.cut()
        network.loop.call_soon_threadsafe(over.set)
        thread.join(10)
