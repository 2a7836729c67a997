"""The page of limits says what the program holds."""

import re
from pathlib import Path

import pytest

from access import body_limits
from access.bodies import LARGEST_BYTES, MAX_BYTES, MAX_CHAT_BYTES, MAX_DEPTH, MAX_ITEMS, MAX_WIDTH
from access.edges.grpc import calls, server
from clawdbot_site.serving.heads import JUDGED
from clawdbot_site.serving.limits import FRAMING, Limits

PAGE = (Path(__file__).parents[2] / "docs" / "hostile-input.md").read_text(encoding="utf-8")
LIMITS, MIB = Limits(), 1 << 20


def row(begin: str) -> str:
    """The line of a table whose first cell begins like this."""
    found = re.findall(rf"^\| {re.escape(begin)}.*$", PAGE, re.MULTILINE)
    assert found, begin
    return found[0]


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        ("header: request line", f"{LIMITS.header_bytes >> 10} KiB, {LIMITS.header_fields} fields"),
        ("body of a request", f"{MAX_BYTES // MIB} MiB; a conversation on `/v1`, which may hold pictures, "
                              f"{MAX_CHAT_BYTES // MIB} MiB"),
        ("the same of a tenant", f"2 to {LARGEST_BYTES // MIB} MiB"),
        ("a form of the consoles", f"{body_limits.PAGE_BYTES // MIB} MiB"),
        ("what chunks' sizes", "eight times" if FRAMING == 8 else "?"),
        ("JSON: depth", f"{MAX_DEPTH}, {MAX_WIDTH:,}, {MAX_ITEMS:,}"),
        ("WebSocket message", f"{LIMITS.websocket_message >> 10} KiB"),
        ("frames of a WebSocket", f"{LIMITS.websocket_frames} a second"),
        ("gRPC message, for", f"{server.TRANSPORT_LIMIT // MIB} MiB"),
        ("gRPC metadata", f"{dict(server.OPTIONS)['grpc.max_metadata_size'] >> 10} KiB"),
        ("gRPC streams", f"{server.BOUNDS.streams}, {server.BOUNDS.calls:,}"),
        ("connections of a web", f"{LIMITS.connections:,} (`CONNECTIONS`)"),
        ("gRPC connections", f"{server.BOUNDS.connections:,} (`GRPC_CONNECTIONS`)"),
        ("the first 24 bytes of a gRPC", f"{server.BOUNDS.pong_within:.0f} s"),
        ("the header", f"{LIMITS.header_time:.0f} s"),
        ("a pause within a body", f"{LIMITS.body_idle:.0f} s"),
        ("a whole body", f"{LIMITS.body_time:.0f} s"),
        ("a client that takes nothing", f"{LIMITS.write_idle:.0f} s"),
        ("a kept connection", f"{LIMITS.keep_alive} s"),
        ("a WebSocket message that was begun", f"{LIMITS.websocket_message_time:.0f} s"),
        ("silence of a WebSocket", f"{LIMITS.ping_interval:.0f} s, {LIMITS.ping_timeout:.0f} s"),
        ("the message of a gRPC call", f"{calls.SENT_WITHIN:.0f} s"),
        ("a gRPC connection", f"{server.BOUNDS.age / 3600:.0f} h, {server.BOUNDS.idle / 60:.0f} minutes"),
    ],
)  # fmt: skip
def test_it_says_every_limit(begin, said):
    assert said in row(begin)


def test_it_says_whose_fields_are_judged():
    assert JUDGED == {b"host", b"transfer-encoding"} and "`Transfer-Encoding`" in PAGE and "`Host`" in PAGE
