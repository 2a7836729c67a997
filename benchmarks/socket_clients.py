"""WebSocket clients by the thousand, good and bad ones: `python -m benchmarks.socket_clients KIND PORT KEY COUNT`.

`idle` opens sockets, answers pings and does nothing else. The others open again at once when they are ended: `flood`
sends messages without pause, `fragments` the smallest pieces of a message that never ends, `junk` random bytes, `large`
frames that are too big, `knock` leaves by itself, `slow` asks for turns and reads nothing. Prints `open N` once all
are, and goes on until its standard input ends; then it prints how often it had to open again."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Callable
from typing import Final

import uvloop

TOGETHER: Final = 32  # handshakes
MASK: Final = b"\0\0\0\0"
NOTHING: Final = b""


def frame(first: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """One of a client's, masked with zeros."""
    size = len(payload) if length is None else length
    if size < 126:
        return bytes([first, 0x80 | size]) + MASK + payload
    if size < 65536:
        return bytes([first, 0xFE]) + size.to_bytes(2, "big") + MASK + payload
    return bytes([first, 0xFF]) + size.to_bytes(8, "big") + MASK + payload


CHAT: Final = frame(0x81, b'{"type":"chat","message":"Tell me a long story, please."}')
SAYS: Final[dict[str, Callable[[], bytes]]] = {
    "idle": lambda: NOTHING,
    "flood": lambda: frame(0x81, b'{"type":"ping"}') * 2_000,
    "fragments": lambda: frame(0x01) + frame(0x00) * 20_000,
    "junk": lambda: os.urandom(50_000),
    "knock": lambda: NOTHING,
    "large": lambda: frame(0x81, b"x" * 1_000_000),
    "slow": lambda: CHAT * 8,
}


class Client(asyncio.Protocol):
    """Opens, says what its kind says, answers pings."""

    def __init__(self, herd: Herd) -> None:
        self.herd = herd
        self.opened = asyncio.get_running_loop().create_future()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(self.herd.handshake)

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            self._answer(data)
            return
        self.buffer += data
        if b"\r\n\r\n" in self.buffer:
            if b" 101 " not in self.buffer[:20]:
                self.opened.set_exception(ConnectionError(self.buffer[:200].decode("latin-1")))
                return
            self.buffer = b""
            self.opened.set_result(None)
            if said := self.herd.says():
                self.transport.write(said)
            if self.herd.kind == "slow":
                self.transport.pause_reading()
            elif self.herd.kind == "knock":
                self.transport.abort()

    def _answer(self, data: bytes) -> None:
        if self.herd.kind == "idle" and data[0] == 0x89:
            self.transport.write(bytes([0x8A, 0x80 | data[1]]) + MASK + data[2 : 2 + data[1]])
        elif data[0] == 0x88:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("closed"))
        else:
            self.herd.lost()


class Herd:
    def __init__(self, kind: str, port: int, key: str) -> None:
        self.kind, self.port = kind, port
        self.says = SAYS[kind]
        self.again = 0
        self.handshake = (
            f"GET /ws/chat HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        _, client = await asyncio.get_running_loop().create_connection(lambda: Client(self), "127.0.0.1", self.port)
        await client.opened

    async def open_all(self, count: int) -> None:
        left = iter(range(count))

        async def some() -> None:
            for _ in left:
                await self.open()

        await asyncio.gather(*(some() for _ in range(TOGETHER)))

    def lost(self) -> None:
        self.again += 1
        if self.kind != "idle":
            task = asyncio.get_running_loop().create_task(self.open())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def work(kind: str, port: int, key: str, count: int) -> None:
    herd = Herd(kind, port, key)
    await herd.open_all(count)
    print(f"open {count}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(f"again {herd.again}", flush=True)
    os._exit(0)  # ten thousand farewells are nobody's business


def main() -> None:
    kind, port, key, count = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(work(kind, int(port), key, int(count)))


if __name__ == "__main__":
    main()
