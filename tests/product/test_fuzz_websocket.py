"""Whatever a client sends on `/ws/chat`, the socket answers or ends with a code that blames the client, at once, and
the worker that served it goes on. `make soak NAME=fuzz` is the long form."""

from __future__ import annotations

import json
import socket
import struct
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clawdbot_site.test_sockets import FIN, PING, TEXT, Frames, frame
from tests.product.anything import HOSTILE, QUICK, VALUES, encoded, objects
from tests.product.running import Product

BINARY, CLOSE, PONG = 2, 8, 10
OURS = {1000, 1002, 1003, 1007, 1008, 1009, 4429}  # codes that say what the client did
WAIT = 30.0  # seconds that count as for ever

TYPES = st.sampled_from(["chat", "cancel", "resume", "watch", "unwatch", "ping", "dance", "", None, 5, ["chat"], {}])
JSON = objects(type=TYPES, ref=VALUES).map(encoded)
TEXTS = st.one_of(JSON, JSON, HOSTILE, st.binary(max_size=200), JSON.map(lambda data: data[: len(data) // 2]))


def whole(kind: int, data: bytes) -> bytes:
    return frame(FIN | kind, data)


def fragments(parts: list[bytes]) -> bytes:
    """The first says what it is, the last that it is the last; a ping may stand between."""
    sent = b""
    for number, part in enumerate(parts):
        sent += frame((FIN if number == len(parts) - 1 else 0) | (0 if number else TEXT), part)
        sent += whole(PING, b"between")
    return sent


def closing(code: int, reason: bytes) -> bytes:
    return whole(CLOSE, struct.pack("!H", code) + reason)


CODES = st.sampled_from([0, 999, 1000, 1001, 1004, 1005, 1006, 1011, 1015, 2999, 3000, 4999, 65535])
CLOSES = st.builds(closing, CODES, st.sampled_from([b"", b"bye", b"\xff\xfe", b"a" * 120]))
ODD = st.sampled_from(
    [
        frame(PING, b"a"),
        frame(FIN, b"goes on"),
        frame(TEXT, b"begun"),
        frame(FIN | TEXT, b"a", mask=False),
        whole(PING, b"a" * 126),
        whole(CLOSE, b""),
        whole(CLOSE, b"\x03"),
    ]
)
FRAMES = st.one_of(
    TEXTS.map(lambda data: whole(TEXT, data)),
    TEXTS.map(lambda data: whole(TEXT, data)),
    st.binary(max_size=300).map(lambda data: whole(BINARY, data)),
    st.lists(TEXTS, min_size=2, max_size=4).map(fragments),
    TEXTS.map(lambda data: fragments([data[:3], data[3:]])),
    st.binary(max_size=125).map(lambda data: whole(PING, data)),
    st.binary(max_size=125).map(lambda data: whole(PONG, data)),
    ODD,
    st.integers(0, 255).map(lambda first: frame(first, b"a")),
    CLOSES,
    st.binary(min_size=2, max_size=60),
)


def opened(product: Product) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", product.port), timeout=WAIT)
    client.sendall(
        b"GET /ws/chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Authorization: Bearer %b\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        % product.key.encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        assert piece, head
        head += piece
    assert b" 101 " in head
    return client


LAST = whole(TEXT, b'{"type":"ping","ref":"the last"}')


def codes_in(sent: bytes) -> set[int]:
    """Close codes the client itself may have sent: they are echoed."""
    return {int.from_bytes(sent[at : at + 2], "big") for at in range(len(sent) - 1)}


def unfinished(sent: bytes) -> bool:
    """Whether its last frame lacks bytes: the server then waits for them, which is not to be taken for hanging."""
    at = 0
    while at + 2 <= len(sent):
        size, masked = sent[at + 1] & 127, sent[at + 1] >> 7
        wide = {126: 2, 127: 8}.get(size, 0)
        if wide:
            size = int.from_bytes(sent[at + 2 : at + 2 + wide], "big")
        at += 2 + wide + 4 * masked + size
    return at != len(sent)


def judged(product: Product, sent: bytes) -> str:
    """How a socket ends that was sent these bytes and a last ping: `answered`, a close code, or `dropped`."""
    with opened(product) as client:
        try:
            client.sendall(sent + LAST)
            if unfinished(sent + LAST):
                client.shutdown(socket.SHUT_WR)
        except OSError:  # it was cut off meanwhile; why is told all the same
            pass
        frames = Frames(client)
        while True:
            try:
                kind, payload = frames.next()
            except (EOFError, ConnectionError):
                return "dropped"
            if kind == CLOSE:
                return str(int.from_bytes(payload[:2], "big"))
            if kind == TEXT:
                told: dict[str, Any] = json.loads(payload)
                assert told.get("code") not in ("internal_error", "unavailable"), told
                if told["type"] == "pong" and told.get("ref") == "the last":
                    return "answered"


@pytest.fixture(scope="module", autouse=True)
def as_before(gateway: Product, upstream_of_all):
    """The same workers, and nothing that one of them called a mistake of its own."""
    before, said = gateway.workers(), len(gateway.said())
    yield
    assert gateway.workers() == before
    assert "Traceback" not in gateway.said()[said:]
    assert gateway.ask().status_code == 200


@pytest.fixture(scope="module")
def upstream_of_all(_scripted):
    return _scripted


ENDS: Counter[str] = Counter()


@QUICK
@given(st.lists(FRAMES, min_size=1, max_size=6).map(b"".join))
def test_no_frame_is_too_much_for_it(gateway, sent):
    end = judged(gateway, sent)
    ENDS[end] += 1
    if end.isdigit():
        assert int(end) in OURS | codes_in(sent), end


def test_it_was_answered_and_refused_in_many_ways():
    """Otherwise the above would say little."""
    assert min(ENDS["answered"], ENDS["1002"], ENDS["1007"]) > 1, ENDS


def test_a_socket_that_is_closed_says_why(gateway):
    assert judged(gateway, whole(TEXT, b"a" * 300_000)) == "1009"
    assert judged(gateway, whole(TEXT, b'{"type":"ping"}') * 150) == "4429"


@pytest.mark.parametrize("data", [b"", b"\0" * 10_000, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(range(256)) * 40])
def test_no_bytes_that_are_no_frames_are_too_much_for_it(gateway, data):
    assert judged(gateway, data) in {"answered", "1002", "1007", "1009", "4429", "dropped"}
