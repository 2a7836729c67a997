"""What the web server and the HTTP client cost by themselves, without sockets: `python -m benchmarks.wire`.

CPU microseconds of one thread, a request: the server's protocol around an application that reads its body and answers
at once, and the client's exchange with an upstream that has already answered. The kernel's part, some 40 µs for the two
reads and two writes of a turn, comes on top. `--profile` prints where it goes instead."""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
import uvloop

from benchmarks import workload
from benchmarks.mock_upstream import JSON_ANSWER, STREAM, STREAM_HEAD
from clawdbot_site.serving.limits import ConnectionState, LimitedHttpProtocol, Limits
from engine.http1 import Connection, DirectClient, Origin
from engine.outbound import Timeouts

TOGETHER = 64
REQUESTS = 6_400
TIMEOUTS = Timeouts(connect=5, read=60, total=600)
URL = "http://127.0.0.1:9/v1/chat/completions"
HEADERS = {"Authorization": "Bearer sk-mock", "Content-Type": "application/json"}
ANSWER = JSON_ANSWER.partition(b"\r\n\r\n")[2]
ANSWERED = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(ANSWER)).encode()),
    (b"x-clawdbot-model", b"gpt-3.5-turbo"),
    (b"x-clawdbot-decision", b"0" * 32),
    (b"x-ratelimit-limit-requests", b"1000000"),
    (b"x-ratelimit-remaining-requests", b"999999"),
    (b"x-ratelimit-reset-requests", b"1s"),
    (b"x-request-id", b"0" * 32),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]


class Transport(asyncio.Transport):
    """A connection whose other end takes everything and is asked nothing."""

    def __init__(self, answered: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._answered = answered

    def write(self, data: Any) -> None:
        self._answered()

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def abort(self) -> None:
        pass


async def application(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": ANSWERED})
    await send({"type": "http.response.body", "body": ANSWER})


async def streaming(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": ANSWERED[:1] + ANSWERED[2:]})
    for chunk in STREAM:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def server(app: Any) -> Callable[[], Awaitable[None]]:
    """One request on each of `TOGETHER` kept connections."""
    config = uvicorn.Config(
        app, http=LimitedHttpProtocol, lifespan="off", log_config=None, access_log=False, proxy_headers=False
    )
    config.load()
    state = ConnectionState(Limits())
    state.default_headers = [(b"date", b"Tue, 15 Nov 2022 12:45:26 GMT")]
    body = workload.openai()(1)
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer cb_0123456789abcdef0123456789abcdef\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    connections: list[LimitedHttpProtocol] = []

    async def together() -> None:
        if not connections:
            for _ in range(TOGETHER):
                protocol, transport = LimitedHttpProtocol(config, state, {}), Transport()
                transport.set_protocol(protocol)
                protocol.connection_made(transport)
                connections.append(protocol)
        before = state.total_requests
        for connection in connections:
            connection.data_received(request)
        while state.tasks:
            await asyncio.sleep(0)
        if state.total_requests != before + TOGETHER:
            raise RuntimeError("not every request was answered")

    return together


def client(answer: list[bytes], *, stream: bool) -> Callable[[], Awaitable[None]]:
    """One exchange on each of `TOGETHER` kept connections."""
    http = DirectClient(private=True)
    body = workload.openai()(1)
    made = False

    def connect() -> None:
        loop = asyncio.get_running_loop()
        pool = http._loops.setdefault(loop, {}).setdefault(Origin(False, "127.0.0.1", 9), deque())
        for _ in range(TOGETHER):
            connection = Connection(pool, loop)

            def answered(connection: Connection = connection) -> None:
                for piece in answer:
                    loop.call_soon(connection.data_received, piece)

            connection.connection_made(Transport(answered))
            connection.idle_since = loop.time()
            pool.append(connection)

    async def exchange() -> None:
        response = await http.post(URL, headers=HEADERS, body=body, timeouts=TIMEOUTS)
        try:
            if stream:
                size = sum([len(chunk) async for chunk in response.chunks()])
            else:
                size = len(await response.read())
            if not size:
                raise RuntimeError("an answer had no body")
        finally:
            await response.close()

    async def together() -> None:
        nonlocal made
        if not made:
            connect()
            made = True
        await asyncio.gather(*(exchange() for _ in range(TOGETHER)))

    return together


def rows() -> dict[str, Callable[[], Awaitable[None]]]:
    return {
        "server: a request": server(application),
        "server: a stream of 32 chunks": server(streaming),
        "client: an exchange": client([JSON_ANSWER], stream=False),
        "client: a stream of 32 chunks, at once": client([STREAM_HEAD + b"".join(STREAM)], stream=True),
        "client: a stream of 32 chunks, each alone": client([STREAM_HEAD, *STREAM], stream=True),
    }


async def measured(work: Callable[[], Awaitable[None]], rounds: int) -> list[float]:
    await work()
    found = []
    for _ in range(rounds):
        began = time.thread_time()
        for _ in range(REQUESTS // TOGETHER):
            await work()
        found.append((time.thread_time() - began) / REQUESTS * 1e6)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", default="")
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    for name, work in rows().items():
        if asked.only not in name:
            continue
        if asked.profile:
            profile = cProfile.Profile(time.thread_time)
            with profile:
                uvloop.run(measured(work, 1))
            print(name)
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
            continue
        found = uvloop.run(measured(work, asked.rounds))
        print(f"{name:44} median {statistics.median(found):7.1f}   least {min(found):7.1f}")


if __name__ == "__main__":
    main()
