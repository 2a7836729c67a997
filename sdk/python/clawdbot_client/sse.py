"""Server-sent events from bytes that are cut anywhere (WHATWG HTML, 9.2)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import NamedTuple

from clawdbot_client.events import Json


class Sent(NamedTuple):
    id: str
    name: str
    data: Json


async def parsed(pieces: AsyncIterator[bytes]) -> AsyncIterator[Sent]:
    """What has no end yet when the bytes end is dropped: it comes again."""
    waiting = b""
    async for piece in pieces:
        *whole, waiting = (waiting + piece).split(b"\n\n")
        for block in whole:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
            if b"data" in fields:
                name, number = fields.get(b"event", b"message"), fields.get(b"id", b"")
                yield Sent(number.decode(), name.decode(), json.loads(fields[b"data"]))
