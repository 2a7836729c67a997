"""What frames of HTTP/2 are made of (RFC 9113, 6 and 7), and what is wrong with those that are not."""

from __future__ import annotations

import re
from typing import Any, Final

from access.edges.grpc.wire.hpack import Fields

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITISED = 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR = 0x0, 0x1, 0x3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, COMPRESSION_ERROR, CALM = 0x5, 0x6, 0x7, 0x9, 0xB

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME: Final = 16 * 1024  # bytes of a frame we take
INITIAL: Final = 65_535  # bytes of a window until somebody says otherwise
WIDEST: Final = 2**31 - 1
NOT_IN_NAMES: Final = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9a-z:]")
NOT_IN_VALUES: Final = re.compile(rb"[\0\r\n]")
CALLS: Final = re.compile(rb"application/grpc(?:[+; ].*)?", re.DOTALL)  # content types, of which grpc-web is none


class Fault(Exception):
    """What the client did ends the connection, with this code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def settings(values: tuple[tuple[int, int], ...]) -> bytes:
    return b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values)


def settings_in(payload: bytes) -> list[tuple[int, int]]:
    """Raises Fault."""
    if len(payload) % 6:
        raise Fault(FRAME_SIZE_ERROR, "settings that are none")
    pairs = [payload[at : at + 6] for at in range(0, len(payload), 6)]
    return [(int.from_bytes(pair[:2], "big"), int.from_bytes(pair[2:], "big")) for pair in pairs]


def unpadded(payload: bytes) -> bytes:
    if not payload or payload[0] >= len(payload):
        raise Fault(PROTOCOL_ERROR, "more padding than there is")
    return payload[1 : len(payload) - payload[0]]


def path_of(fields: Fields) -> bytes | None:
    """None: it is no call of gRPC, or its headers have other names and values than HTTP/2 allows."""
    found = dict(fields)
    if found.get(b":method") != b"POST" or CALLS.fullmatch(found.get(b"content-type", b"")) is None:
        return None
    if b"" in found or NOT_IN_NAMES.search(b"".join(found)):
        return None
    if NOT_IN_VALUES.search(b"".join([value for _, value in fields])):
        return None
    return found.get(b":path")


def peer_named(address: Any) -> str:
    """As the library names the other end."""
    if not isinstance(address, tuple):
        return "unix:"
    host, port = address[:2]
    return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"
