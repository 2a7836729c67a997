"""Turns over WebSocket with everything on: `python -m benchmarks.websocket [--seconds N] [--rounds N]`.

As `benchmarks.gateway`: the web server's one worker has the first core; load, mock upstream and Valkey share the last,
every turn asks something else, and the mock must have been asked exactly as often as answers came. CPU is the worker's,
all threads. A session lasts six turns. `POST /api/chat` is measured in turn with it: on a machine that others use the
ratio of two figures says more than each."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import orjson
import uvloop

from benchmarks import workload
from benchmarks.callers import saturated
from benchmarks.environment import Environment
from benchmarks.gateway import CHUNKS, HEAD, Row, Server
from benchmarks.processes import LOAD_CORE, pin
from benchmarks.socket_clients import frame

SOCKETS = 256  # each may send 20 frames a second
CONNECTIONS = 48
GOAL = 2_500  # turns a second and core


class Socket(asyncio.Protocol):
    """One open socket that carries one turn at a time, as cheap as Python allows."""

    def __init__(self, port: int, key: str) -> None:
        self._handshake = (
            f"GET /ws/chat HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._told: asyncio.Future[None] | None = None
        self._buffer = b""
        self._turn = 0
        self._session = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(self._handshake)

    def connection_lost(self, error: Exception | None) -> None:
        for waiting in (self.opened, self._told):
            if waiting is not None and not waiting.done():
                waiting.set_exception(ConnectionError("closed by the server"))

    async def ask(self, number: int) -> None:
        """One turn."""
        self._turn = self._turn % workload.TURNS + 1
        body = workload.rest(session_id=self._session if self._turn > 1 else "")(number)
        self._told = asyncio.get_running_loop().create_future()
        self.transport.write(frame(0x81, b'{"type":"chat","ref":1,' + body[1:]))
        await self._told

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self.opened.done():
            head, found, buffer = buffer.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            if b" 101 " in head[:20]:
                self.opened.set_result(None)
            else:
                self.opened.set_exception(ConnectionError(head.decode("latin-1")))
        at, size = 0, len(buffer)
        while size - at >= 2:
            length, begin = buffer[at + 1], at + 2
            if length == 126:
                length, begin = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            if (end := begin + length) > size:
                break
            self._hear(buffer[at], buffer[begin:end])
            at = end
        self._buffer = buffer[at:]

    def _hear(self, first: int, payload: bytes) -> None:
        if first == 0x89:
            self.transport.write(frame(0x8A, payload))
        elif payload.startswith(b'{"type":"start"'):
            if self._turn == 1:
                self._session = orjson.loads(payload)["session_id"]
        elif not payload.startswith(b'{"type":"delta"') and self._told is not None and not self._told.done():
            if payload.startswith(b'{"type":"done"'):
                self._told.set_result(None)
            else:
                self._told.set_exception(RuntimeError(payload.decode()))


async def turns(environment: Environment, sockets: list[Socket], seconds: float, pieces: int, **paced: float) -> Row:
    environment.mock.answer(pieces=pieces, **paced)
    name = f"/ws/chat, answers of {pieces} chunk{'s' * (pieces > 1)}{', one each 5 ms' if paced else ''}"
    asks = [socket.ask for socket in sockets]
    row = await saturated(name, asks, seconds, pid=environment.worker, mock=environment.mock)
    environment.mock.answer()
    return row


async def all_rounds(environment: Environment, seconds: float, rounds: int) -> list[Row]:
    key, loop = environment.keys["full"], asyncio.get_running_loop()
    web = Server("web", environment.worker, environment.port, environment.mock, _bearer(key), "auto")
    sockets = []
    for _ in range(SOCKETS):
        _, socket = await loop.create_connection(lambda: Socket(environment.port, key), "127.0.0.1", environment.port)
        await socket.opened
        sockets.append(socket)
    rows = []
    for _ in range(rounds):
        target = web.target("/api/chat", talk=workload.GivenSessions, rest=True)
        beside = await web.saturated("POST /api/chat (always with a session)", target, CONNECTIONS, seconds)
        rows += [
            beside,
            await turns(environment, sockets, seconds, 1),
            await turns(environment, sockets, seconds, CHUNKS),
        ]
        for row in rows[-3:]:
            print(row, flush=True)
        print(f"a turn of one chunk takes {rows[-2].cpu / beside.cpu:.2f} of HTTP's CPU", flush=True)
    rows.append(await turns(environment, sockets, seconds, CHUNKS, pace=0.005))
    print(rows[-1], flush=True)
    for socket in sockets:
        socket.transport.close()
    return rows


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    pin(os.getpid(), LOAD_CORE)
    print(HEAD)
    try:
        with Environment() as environment:
            rows = uvloop.run(all_rounds(environment, asked.seconds, asked.rounds))
    except subprocess.CalledProcessError as error:
        print(error, file=sys.stderr)
        return 1
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    a_core = 1e6 / statistics.median(row.cpu for row in rows if row.name.endswith(" 1 chunk"))
    print(f"{a_core:,.0f} turns of one chunk a second and core by CPU (goal {GOAL:,})")
    return 0 if a_core >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
