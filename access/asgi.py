"""What the bare ASGI edges share: the types of the protocol, reading a bounded body, sending a whole answer."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import quote

from access import rate_limits
from access.bodies import MAX_BYTES
from engine.context import CONTEXT
from engine.errors import InvalidRequest, PayloadTooLarge
from engine.types import RateLimits, Start

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]
Larger = Callable[[], Awaitable[int]]

FROM_CACHE: Final = {"cache": b"hit", "shared": b"shared"}  # by where an answer came from
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")


class ClientGone(Exception):
    """The client left before its request was whole: nobody is there to be answered."""


async def read_body(
    receive: Receive, headers: dict[bytes, bytes], limit: int = MAX_BYTES, larger: Larger | None = None
) -> bytes:
    """The request's body. Raises PayloadTooLarge as soon as it is known to be too large, and ClientGone. A body that
    stalls is the server's to end. `larger` is asked for the caller's own limit once the usual one is exceeded. Raises
    InvalidRequest of one that is compressed."""
    pieces: list[bytes] = []
    size = 0
    length = announced(headers)
    if length > limit:
        limit, larger = await _raised(limit, larger), None
        if length > limit:
            raise too_large(limit)
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        piece = event.get("body", b"")
        size += len(piece)
        if size > limit:
            limit, larger = await _raised(limit, larger), None
            if size > limit:
                raise too_large(limit)
        if not event.get("more_body", False):
            return b"".join([*pieces, piece]) if pieces else piece
        pieces.append(piece)


def announced(headers: dict[bytes, bytes]) -> int:
    """How long the body is said to be; 0 where nothing is said. Raises InvalidRequest: it is compressed, so nobody can
    know how large it is."""
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        raise InvalidRequest("Content-Encoding: a body is taken as it is, never unpacked.")
    length = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() and len(length) <= 19 else sys.maxsize


async def _raised(limit: int, larger: Larger | None) -> int:
    return limit if larger is None else max(limit, await larger())


def too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit} bytes.")


def request_id(headers: dict[bytes, bytes]) -> str:
    """The caller's own `X-Request-Id` where it is safe to repeat, else a new one; the same for the whole request."""
    context = CONTEXT.get()
    if context is not None and context.is_request and context.request_id:
        return context.request_id
    given = headers.get(b"x-request-id")
    number = given.decode("ascii") if given is not None and _REQUEST_ID.match(given) else os.urandom(16).hex()
    if context is not None and context.is_request:
        context.request_id = number
    return number


def header_value(text: str) -> bytes:
    """Text as a header may carry it; what is not printable ASCII is percent-encoded."""
    if text.isascii() and text.isprintable():
        return text.encode("ascii")
    return quote(text, safe=" !#$&'()*+,/:;=?@[]~").encode("ascii")


def turn_headers(start: Start, limits: Callable[[RateLimits | None], RawHeaders] = rate_limits.openai) -> RawHeaders:
    """What every answer of a turn says of it, whatever its body's format, and of its limits as that says it."""
    headers = [(b"x-clawdbot-model", header_value(start.model)), (b"x-clawdbot-decision", start.id.encode("ascii"))]
    if start.source in FROM_CACHE:
        headers.append((b"x-clawdbot-cache", FROM_CACHE[start.source]))
    if start.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    if start.limits is not None:
        headers += limits(start.limits)
    return headers


def peer(scope: Scope) -> str | None:
    """The other end's address; None on a unix socket."""
    client = scope.get("client")
    return client[0] if client else None


async def respond(
    send: Send, status: int, body: bytes, headers: RawHeaders, *, content_type: bytes = b"application/json"
) -> None:
    """A whole answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
