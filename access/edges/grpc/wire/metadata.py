"""What headers of gRPC say, and messages that are compressed."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable
from typing import Final

from access.edges.grpc.wire import hpack

COMPRESSED: Final = {b"gzip": 31, b"deflate": 15}  # zlib's window bits
DETAILS: Final = 4096  # bytes of a status's text
UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}

Metadata = Iterable[tuple[str, str | bytes]]


def inflated(message: bytes, how: int | None, most: int) -> bytes | None:
    """At most `most` bytes. None: nothing says how, or it was done otherwise, or not to its end."""
    if how is None:
        return None
    reading = zlib.decompressobj(how)
    try:
        plain = reading.decompress(message, most)
    except zlib.error:
        return None
    return plain if reading.eof or len(plain) == most else None


def block(metadata: Metadata) -> bytes:
    return b"".join([hpack.literal(name.encode("ascii"), _value(name, value)) for name, value in metadata])


def _value(name: str, value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
    return base64.b64encode(raw).rstrip(b"=") if name.endswith("-bin") else raw


def binary(value: bytes) -> bytes:
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4))
    except binascii.Error:
        return value


def percent(details: str) -> bytes:
    """As gRPC writes texts: what is not printable ASCII, and `%`, in hexadecimal."""
    raw = details.encode()
    if details.isascii() and details.isprintable() and "%" not in details:
        return raw[:DETAILS]
    said = [
        bytes((byte,)) if 0x20 <= byte < 0x7F and byte != 0x25 else b"%%%02X" % byte for byte in raw[: DETAILS // 3]
    ]
    return b"".join(said)


def seconds(value: bytes) -> float | None:
    """Of a `grpc-timeout`: at most eight digits and a unit."""
    number, unit = value[:-1], value[-1:]
    if not number.isdigit() or len(number) > 8 or unit not in UNITS:
        return None
    return int(number) * UNITS[unit]
