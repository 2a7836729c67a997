"""What an open stream holds, by where that was made: `python -m benchmarks.held [--streams N] [--chunks N] [--rows N]`.

In this process, everything on, from the web server's protocol to the HTTP client's; the connections themselves are left
out, of which tracing sees little: `benchmarks.streams` measures all of it. Bytes are what Python's allocators gave out
(tracemalloc), the difference between some streams and many, so that nothing which is there once is in them."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tracemalloc
from collections import deque
from typing import Any

import uvicorn
import uvloop

from benchmarks import workload
from benchmarks.inprocess import prepared, started
from benchmarks.mock_upstream import STREAM, STREAM_HEAD
from benchmarks.wire import Transport
from clawdbot_site.serving.limits import ConnectionState, LimitedHttpProtocol, Limits
from clawdbot_site.wiring import Application
from engine.http1 import Connection, DirectClient, Origin
from engine.outbound import Timeouts

FEW = 50
STREAMS = 200
CHUNKS = 12
REST = 1.0  # seconds: who watches a client begins after a tenth of one
MOST = 23_000  # bytes a stream


class Client(Transport):
    """A client that leaves when it is told to, and reads all there is until then."""

    def close(self) -> None:
        pass


class Upstream(asyncio.Transport):
    """A connection to a model's service that answers with a part of a stream, and stays."""

    def __init__(self, chunks: int) -> None:
        super().__init__()
        self._chunks = chunks
        self.answered = False
        self.connection: Connection

    def write(self, data: Any) -> None:
        asyncio.get_running_loop().call_soon(self._answer, [STREAM_HEAD + STREAM[0], *STREAM[1 : self._chunks]])

    def _answer(self, pieces: list[bytes]) -> None:
        """Each in a step of its own, as if the model were slow."""
        self.connection.data_received(pieces[0])
        self.answered = len(pieces) == 1
        if not self.answered:
            asyncio.get_running_loop().call_later(0.001, self._answer, pieces[1:])

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)


class Service(DirectClient):
    """An HTTP client all of whose connections lead there."""

    def __init__(self, chunks: int) -> None:
        super().__init__(private=True)
        self._chunks = chunks
        self.calls: list[Upstream] = []

    async def _connect(
        self, loop: asyncio.AbstractEventLoop, origin: Origin, pool: deque[Connection], timeouts: Timeouts
    ) -> Connection:
        transport = Upstream(self._chunks)
        self.calls.append(transport)
        transport.connection = connection = Connection(pool, loop)
        connection.connection_made(transport)
        return connection

    def reaching(self, private: bool) -> Service:
        return self


class Clients:
    """Connections to the application, a stream on each."""

    def __init__(self, app: Any, key: str) -> None:
        self._config = uvicorn.Config(
            app, http=LimitedHttpProtocol, interface="asgi3", lifespan="off", log_config=None, access_log=False,
            proxy_headers=False,
        )  # fmt: skip
        self._config.load()
        self._state = ConnectionState(Limits())
        self._state.default_headers = [(b"date", b"Tue, 15 Nov 2022 12:45:26 GMT")]
        self._body = workload.openai(stream=True)
        self._key = key.encode()
        self.open: list[LimitedHttpProtocol] = []

    async def ask(self, count: int) -> None:
        """So many more streams."""
        for _ in range(count):
            protocol, transport = LimitedHttpProtocol(self._config, self._state, {}), Client()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            self.open.append(protocol)
            body = self._body(len(self.open))
            protocol.data_received(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (self._key, len(body), body)
            )
            await asyncio.sleep(0.002)

    async def leave(self) -> None:
        for protocol in self.open:
            protocol.connection_lost(None)
        while self._state.tasks:
            await asyncio.sleep(0.01)


async def traced(application: Application, key: str, service: Service, streams: int) -> list[tracemalloc.StatisticDiff]:
    """What `streams` more streams hold, each of which has had its chunks."""
    async with started(application):
        clients = Clients(application.app, key)
        snapshots = []
        await clients.ask(FEW)
        for more in (0, streams):
            await clients.ask(more)
            async with asyncio.timeout(60):
                while sum(call.answered for call in service.calls) < len(clients.open):
                    await asyncio.sleep(0.05)
            await asyncio.sleep(REST)
            assert all(protocol.cycle.response_started for protocol in clients.open)
            gc.collect()
            if not tracemalloc.is_tracing():
                tracemalloc.start()  # the few are there already: what is made once is none of the many
            snapshots.append(tracemalloc.take_snapshot())
        tracemalloc.stop()
        await clients.leave()
        return snapshots[1].compare_to(snapshots[0], "lineno")


def shown(found: list[tracemalloc.StatisticDiff], streams: int, rows: int) -> float:
    """Prints it, what holds most first; bytes a stream."""
    for line in sorted(found, key=lambda line: -line.size_diff)[:rows]:
        frame = line.traceback[0]
        sys.stdout.write(
            f"{line.size_diff / streams:7.0f} {line.count_diff / streams:6.1f}  {frame.filename[-60:]}:{frame.lineno}\n"
        )
    held = sum(line.size_diff for line in found) / streams
    blocks = sum(line.count_diff for line in found) / streams
    sys.stdout.write(f"{held:,.0f} bytes in {blocks:.0f} pieces a stream (at most {MOST:,})\n")
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="that each has had")
    parser.add_argument("--rows", type=int, default=40)
    asked = parser.parse_args()
    with prepared() as (application, keys):
        application.http = service = Service(asked.chunks)  # type: ignore[assignment]
        found = uvloop.run(traced(application, keys["full"], service, asked.streams))
    return 0 if shown(found, asked.streams, asked.rows) < MOST else 1


if __name__ == "__main__":
    sys.exit(main())
