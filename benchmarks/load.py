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

from benchmarks.workload import Talk


@dataclass(frozen=True)
class Target:
    """Where and what: `body(number)` makes the bytes of a request; `talk` one connection's side of a conversation."""

    port: int
    path: str
    headers: dict[str, str]
    body: Callable[[int], bytes]
    host: str = "127.0.0.1"
    talk: type[Talk] = Talk

    def head(self) -> str:
        """What all requests share."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n{lines}"
        )


@dataclass
class Result:
    """Latencies in seconds: to the last byte, to the first byte of a body; `events` counts server-sent events;
    `answers` all of them, the warm-up's too."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    events: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    answers: int = 0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @property
    def failures(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)

    def quantile(self, q: float, of: list[float] | None = None) -> float:
        values = sorted(self.latencies if of is None else of)
        return values[min(len(values) - 1, int(q * len(values)))] if values else float("nan")


class Connection(asyncio.Protocol):
    """One keep-alive connection that carries one request at a time."""

    def __init__(self, result: Result, target: Target) -> None:
        self.result = result
        self.done: asyncio.Future[None] | None = None
        self.talk = target.talk(target.body)
        self._head = target.head()
        self._heard: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.parser = httptools.HttpResponseParser(self)

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
        if self.talk.hears:
            self._heard.append(body)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        status = self.parser.get_status_code()
        self.result.statuses[status] += 1
        if status == 200:
            self.result.latencies.append(now - self.sent)
            self.result.first_bytes.append((self.first or now) - self.sent)
            if self.talk.hears:
                self.talk.hear(b"".join(self._heard))
        self._heard.clear()
        if self.done is not None and not self.done.done():
            self.done.set_result(None)
        self.parser = httptools.HttpResponseParser(self)

    async def exchange(self, number: int, sent: float | None = None) -> None:
        lines, body = self.talk.say(number)
        request = f"{self._head}{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self.done = asyncio.get_running_loop().create_future()
        self.sent = sent or time.perf_counter()
        self.transport.write(request)
        await self.done


async def connect(target: Target, result: Result) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(result, target), target.host, target.port)
    return connection


async def run(
    target: Target, *, connections: int, seconds: float, warmup: float = 1.0, warm: Callable[[], None] = lambda: None
) -> Result:
    """Closed loop: each connection sends its next request when the answer is whole. `warm` is called when the part that
    counts begins."""
    numbers = itertools.count()
    result, discarded = Result(), Result()
    opened = [await connect(target, discarded) for _ in range(connections)]
    began = time.perf_counter()
    counted = began + warmup
    ends = counted + seconds
    asyncio.get_running_loop().call_later(warmup, warm)

    async def worker(connection: Connection) -> None:
        while (now := time.perf_counter()) < ends:
            connection.result = result if now >= counted else discarded
            await connection.exchange(next(numbers))

    await asyncio.gather(*(worker(connection) for connection in opened))
    result.seconds = time.perf_counter() - counted
    result.answers = sum(result.statuses.values()) + sum(discarded.statuses.values())
    result.statuses += discarded.statuses - Counter({200: discarded.statuses[200]})
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
        idle.put_nowait(await connect(target, result))
    began = time.perf_counter()
    running: set[asyncio.Task[None]] = set()

    async def one(connection: Connection, due: float) -> None:
        await connection.exchange(next(numbers), due)
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
    result.answers = sum(result.statuses.values())
    while not idle.empty():
        idle.get_nowait().transport.close()
    return result
