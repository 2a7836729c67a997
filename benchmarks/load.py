"""A load generator over raw connections: closed loop (as fast as answers come) or open loop (a fixed rate).

`await run(target, connections=64, seconds=8)` gives a `Result`. Every request differs: a running number stands in the
body. Only 200 answers count; others are kept by status."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools


@dataclass(frozen=True)
class Target:
    """Where and what: `body(number)` makes the bytes of a request."""

    port: int
    path: str
    headers: dict[str, str]
    body: Callable[[int], bytes]
    host: str = "127.0.0.1"

    def request(self, number: int) -> bytes:
        body = self.body(number)
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n"
            f"{head}Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


@dataclass
class Result:
    """Latencies in seconds: to the last byte, to the first byte of a body; `events` counts server-sent events."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    events: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def quantile(self, q: float, of: list[float] | None = None) -> float:
        values = sorted(self.latencies if of is None else of)
        return values[min(len(values) - 1, int(q * len(values)))] if values else float("nan")


class Connection(asyncio.Protocol):
    """One keep-alive connection that carries one request at a time."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.done: asyncio.Future[None] | None = None
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_exception(ConnectionError("closed by the server"))

    def on_message_begin(self) -> None:
        self.first = 0.0

    def on_body(self, body: bytes) -> None:
        if not self.first:
            self.first = time.perf_counter()
        self.result.events += body.count(b"data: ")

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        status = self.parser.get_status_code()
        self.result.statuses[status] += 1
        if status == 200:
            self.result.latencies.append(now - self.sent)
            self.result.first_bytes.append((self.first or now) - self.sent)
        if self.done is not None and not self.done.done():
            self.done.set_result(None)
        self.parser = httptools.HttpResponseParser(self)

    async def exchange(self, request: bytes, sent: float | None = None) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.sent = sent or time.perf_counter()
        self.transport.write(request)
        await self.done


async def run(target: Target, *, connections: int, seconds: float, warmup: float = 1.0) -> Result:
    """Closed loop: each connection sends its next request when the answer is whole."""
    numbers = itertools.count()
    result, discarded = Result(), Result()
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(lambda: Connection(discarded), target.host, target.port))[1]
        for _ in range(connections)
    ]
    began = time.perf_counter()
    counted = began + warmup
    ends = counted + seconds

    async def worker(connection: Connection) -> None:
        while (now := time.perf_counter()) < ends:
            connection.result = result if now >= counted else discarded
            await connection.exchange(target.request(next(numbers)))

    await asyncio.gather(*(worker(connection) for connection in opened))
    result.seconds = time.perf_counter() - counted
    for connection in opened:
        connection.transport.close()
    return result


async def run_at_rate(target: Target, *, rate: float, seconds: float, connections: int = 64) -> Result:
    """Open loop: requests are due at fixed times; latency counts from when a request was due, so stalls show."""
    numbers = itertools.count()
    result = Result()
    loop = asyncio.get_running_loop()
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        idle.put_nowait((await loop.create_connection(lambda: Connection(result), target.host, target.port))[1])
    began = time.perf_counter()
    running: set[asyncio.Task[None]] = set()

    async def one(connection: Connection, due: float) -> None:
        await connection.exchange(target.request(next(numbers)), due)
        idle.put_nowait(connection)

    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = loop.create_task(one(await idle.get(), due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    result.seconds = time.perf_counter() - began
    while not idle.empty():
        idle.get_nowait().transport.close()
    return result
