"""Clients of streams that break off wherever a test likes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from tests.product.running import Product


@dataclass
class Heard:
    """What came of a request; `body` may end anywhere."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def turn_id(self) -> str:
        return self.headers["x-clawdbot-decision"]


async def request(
    product: Product, method: str, path: str, body: Any = None, *, last: str = "", most: int | None = None
) -> Heard:
    """One request on a connection of its own, which is cut off after `most` bytes of the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", product.port)
    said = json.dumps(body).encode() if body is not None else b""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {product.key}",
        f"Content-Length: {len(said)}",
        "Connection: close",
        *([f"Last-Event-ID: {last}"] if last else []),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + said)
    try:
        async with asyncio.timeout(60):
            first, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            headers = dict(field.lower().split(": ", 1) for field in fields)
            heard = Heard(int(first.split()[1]), headers, b"")
            if headers.get("transfer-encoding") != "chunked":
                heard.body = await reader.read()
                return heard
            while most is None or len(heard.body) < most:
                size = int(await reader.readline(), 16)
                piece = await reader.readexactly(size + 2)
                if not size:
                    return heard
                heard.body += piece[:-2]
            heard.body = heard.body[:most]
            return heard
    finally:
        writer.transport.abort()


def complete(body: bytes) -> list[bytes]:
    """The events that arrived whole."""
    return [event + b"\n\n" for event in body.split(b"\n\n")[:-1]]


def last_id(events: list[bytes]) -> str:
    return events[-1].split(b"\n", 1)[0].removeprefix(b"id: ").decode() if events else ""
