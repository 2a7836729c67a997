"""What a caller says of kept answers: `Cache-Control` of a request, the field `cache` of a frame."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from engine.types import RawHeaders

Wish = Literal["", "no-cache", "no-store"]

HEADER: Final = b"cache-control"
_QUOTED: Final = re.compile(rb'"(?:\\.|[^"])*"?', re.DOTALL)


class CacheField(msgspec.Struct):
    """The part of a WebSocket frame that is read here."""

    cache: Literal["no-cache", "no-store"] | None = None


def wish(headers: RawHeaders) -> Wish:
    """`no-store`, else `no-cache`, else nothing, of all `Cache-Control` lines (RFC 9111, 5.2.1 and 5.2; RFC 9110, 5.3).
    Names in any case; arguments and every other directive have no meaning here."""
    lines = b",".join([value for name, value in headers if name == HEADER])
    if not lines:
        return ""
    directives = {item.partition(b"=")[0].strip().lower() for item in _QUOTED.sub(b"", lines).split(b",")}
    if b"no-store" in directives:
        return "no-store"
    return "no-cache" if b"no-cache" in directives else ""


def frame_wish(field: CacheField, handshake: RawHeaders) -> Wish:
    """The frame's own word. Of the handshake only `no-store` counts, for every turn of its socket: browsers send
    `no-cache` with each handshake, and no page can keep them from it."""
    if wish(handshake) == "no-store":
        return "no-store"
    return field.cache or ""
