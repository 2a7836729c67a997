"""Eleven scripted OpenAI-compatible upstreams in one process: `python -m benchmarks.routing.upstreams PORT…`.

Each answers streams after 167 ms, give or take (lognormal, sigma 0.1). `GET /fault/COUNT/KIND` makes the first COUNT of
them misbehave, `GET /fault/0/none` repairs them, `GET /asked` answers all calls as `[[seconds, upstream], …]` by the
machine's monotonic clock, and forgets them. Every port answers these for all."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

import uvloop

from benchmarks.mock_upstream import STREAM, STREAM_HEAD

MEDIAN = 0.167
SLOW = 2.0
ERRORS = 0.05
RETRY_AFTER = 2
WHOLE = STREAM_HEAD + STREAM[0] + STREAM[1] + STREAM[-1]  # few chunks: not they are measured
HALF = STREAM_HEAD + STREAM[0]
FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}"
GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 27\r\n\r\n<html>Under repair.</html>\n"
BUSY = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: %d\r\nContent-Length: 2\r\n\r\n{}" % RETRY_AFTER


class Script:
    """What all upstreams do now, and what they were asked."""

    def __init__(self) -> None:
        self.count = 0
        self.kind = "none"
        self.asked: list[tuple[float, int]] = []
        self.random = random.Random(11)

    def of(self, number: int) -> str:
        return self.kind if number < self.count else "none"


class Upstream(asyncio.Protocol):
    def __init__(self, script: Script, number: int) -> None:
        self.script = script
        self.number = number
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        _, at, length = head.lower().partition(b"content-length:")
        if at and len(body) < int(length.split(b"\r\n", 1)[0]):
            return
        self.buffer = b""
        if head.startswith(b"GET "):
            self.tell(json.dumps(self.obey(head.split(b" ", 2)[1].decode())).encode())
        else:
            self.answer()

    def obey(self, path: str) -> Any:
        script = self.script
        if path == "/asked":
            asked, script.asked = script.asked, []
            return asked
        _, _, count, kind = path.split("/")
        script.count, script.kind = int(count), kind
        return []

    def tell(self, body: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def answer(self) -> None:
        script = self.script
        script.asked.append((time.monotonic(), self.number))
        seconds = MEDIAN * script.random.lognormvariate(0.0, 0.1)
        kind = script.of(self.number)
        if kind == "failing" or (kind == "erring" and script.random.random() < ERRORS):
            self.transport.write(FAILED)
        elif kind == "busy":
            self.transport.write(BUSY)
        elif kind == "garbage":
            self.later(seconds, GARBAGE)
        elif kind == "dying":
            self.later(seconds, HALF, close=True)
        elif kind != "hanging":
            self.later(SLOW if kind == "slow" else seconds, WHOLE)

    def later(self, seconds: float, data: bytes, *, close: bool = False) -> None:
        asyncio.get_running_loop().call_later(seconds, self.write, data, close)

    def write(self, data: bytes, close: bool) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)
            if close:
                self.transport.close()


async def serve(ports: list[int]) -> None:
    loop, script = asyncio.get_running_loop(), Script()
    for number, port in enumerate(ports):
        await loop.create_server(lambda number=number: Upstream(script, number), "127.0.0.1", port, backlog=4096)  # type: ignore[misc]
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve([int(port) for port in sys.argv[1:]]))
