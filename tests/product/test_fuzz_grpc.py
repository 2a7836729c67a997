"""Whatever a client sends to the gRPC server, a call ends with a status that blames the client, at once, and the
process goes on: bytes for messages, metadata, methods that are none, calls that are left, HTTP/2 itself. `make soak
NAME=fuzz` is the long form."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict, ParseError
from hypothesis import given
from hypothesis import strategies as st

from access.edges.grpc.generated import chat_pb2 as pb
from access.edges.grpc.service import SERVICE
from tests.product.anything import QUICK, TEXTS, objects
from tests.product.running import Product

WAIT = 30.0  # seconds that count as for ever
THEIRS = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "UNAUTHENTICATED", "CANCELLED", "RESOURCE_EXHAUSTED",
          "PERMISSION_DENIED", "ALREADY_EXISTS", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"}  # fmt: skip


def transcribed(kind: Any) -> Any:
    """What can be said of an object in the message's own types, field by field."""

    def make(body: dict[str, Any]) -> bytes:
        message = kind()
        for name, value in body.items():
            with contextlib.suppress(ParseError, TypeError, ValueError, UnicodeError, AttributeError, OverflowError):
                ParseDict({name: value}, message)
        return message.SerializeToString()

    return make


def changed(data: bytes, flips: list[tuple[int, int]]) -> bytes:
    sent = bytearray(data)
    for place, byte in flips:
        if sent:
            sent[place % len(sent)] = byte
    return bytes(sent)


ASKED = objects(message=TEXTS, model=TEXTS, session_id=TEXTS).map(transcribed(pb.ChatRequest))
FLIPS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4)
BYTES = st.one_of(
    ASKED,
    st.builds(changed, ASKED, FLIPS),
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"",
            b"\x0a\xff\xff\xff\xff\x0f",  # a field longer than anything
            b"\x0a\x02\xff\xfe",  # a text that is none
            b"\x0a\x01\0",
            b"\x0b" * 200,  # groups in groups
            b"\x08" + b"\xff" * 20,  # a number without an end
            pb.ChatRequest(message="a" * (3 << 20)).SerializeToString(),
            pb.ChatRequest(messages=[pb.Message()] * 5000).SerializeToString(),
        ]
    ),
)
INNER = BYTES.filter(lambda data: len(data) < 100_000)
FRAMES = st.one_of(
    st.builds(lambda data, tag: bytes([tag << 3 | 2]) + _varint(len(data)) + data, INNER, st.integers(1, 7)),
    st.binary(max_size=60),
    st.just(b"a" * 300_000),
)
NAMES = st.sampled_from(["x-request-id", "accept-language", "idempotency-key", "x-session-id", "x-api-key", "cookie",
                         "traceparent", "x-forwarded-for", "forwarded", "user-agent-x", "cache-control"])  # fmt: skip
ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
METADATA = st.lists(st.tuples(NAMES, ASCII) | st.tuples(st.just("a-bin"), st.binary(max_size=60)), max_size=4)


def _varint(number: int) -> bytes:
    said = b""
    while number > 127:
        said += bytes([number & 127 | 128])
        number >>= 7
    return said + bytes([number])


@pytest.fixture(scope="module")
def channel(gateway: Product):
    with grpc.insecure_channel(gateway.access["grpc_target"]) as opened:
        yield opened


@pytest.fixture(scope="module", autouse=True)
def as_before(gateway: Product, _scripted):
    """The same process, and nothing that it called a mistake of its own."""
    before, said = gateway.child("gRPC server"), len(gateway.said())
    yield
    assert gateway.child("gRPC server") == before != 0
    assert "Traceback" not in (told := gateway.said()[said:]), told[:3000]


def ended(call: Any) -> str:
    """The status of a call whose answers are read."""
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass
    return call.code().name


def begin(channel: grpc.Channel, method: str, sent: list[bytes], metadata: Any = (), key: str = "") -> Any:
    """Everything is a stream on the wire: so may a call have no message, or more than its method knows."""
    given = (*((("authorization", f"Bearer {key}"),) if key else ()), *metadata)
    return channel.stream_stream(method)(iter(sent), metadata=given, timeout=WAIT)


@QUICK
@given(st.sampled_from(["Chat", "StreamChat"]), BYTES, METADATA)
def test_no_message_is_too_much_for_it(gateway, channel, method, data, metadata):
    assert ended(begin(channel, f"/{SERVICE}/{method}", [data], metadata, gateway.key)) in THEIRS


@QUICK
@given(st.lists(FRAMES, max_size=5), st.integers(0, 3))
def test_no_conversation_is_too_much_for_it(gateway, channel, frames, left_after):
    """Some are left before they are over."""
    call = begin(channel, f"/{SERVICE}/Converse", frames, (), gateway.key)
    if left_after < 2:
        for _ in itertools.islice(_heard(call), left_after):
            pass
        call.cancel()
    assert ended(call) in THEIRS


def _heard(call: Any) -> Any:
    with contextlib.suppress(grpc.RpcError):
        yield from call


@pytest.mark.parametrize("count", [0, 2, 50])
@pytest.mark.parametrize("method", ["Chat", "StreamChat"])
def test_other_numbers_of_messages_than_one_are_no_trouble(gateway, channel, method, count):
    hi = pb.ChatRequest(message="Hi").SerializeToString()
    code = ended(begin(channel, f"/{SERVICE}/{method}", [hi] * count, (), gateway.key))
    assert code == ("OK" if count else "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "method",
    ["/", "/a", f"/{SERVICE}", f"/{SERVICE}/", f"/{SERVICE}/Chat/", f"/{SERVICE}/chat", "/../Chat", "/a/b/c", "/%00/%f",
     "/" + "a" * 4000],
)  # fmt: skip
def test_it_knows_no_other_method(channel, method):
    assert ended(begin(channel, method, [b"a"])) == "UNIMPLEMENTED"


BESIDE = ["grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch",
          "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"]  # fmt: skip


@pytest.mark.parametrize("service", BESIDE)
@pytest.mark.parametrize("data", [b"\xff" * 50, b"\x0a\x02\xff\xfe", b"\x0a\xff\xff\xff\xff\x0f"])
def test_the_services_beside_it_are_no_way_in(channel, service, data):
    call = channel.stream_stream(f"/{service}")(iter([data]), timeout=WAIT)
    assert ended(call) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("size", [30_000, 200_000])
def test_large_metadata_is_refused(gateway, channel, size):
    hi = pb.ChatRequest(message="Hi").SerializeToString()
    call = begin(channel, f"/{SERVICE}/Chat", [hi], [("x-large", "a" * size)], gateway.key)
    assert ended(call) == "RESOURCE_EXHAUSTED"


# HTTP/2 itself -----

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GOAWAY, RST, PING = 7, 3, 6


def h2(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


HEAD = b"\x83\x86" + literal(b":path", f"/{SERVICE}/Chat".encode()) + literal(b":authority", b"x")
HEAD += literal(b"te", b"trailers") + literal(b"content-type", b"application/grpc")
HELLO = PREFACE + h2(4, 0, 0)


def said_to(gateway: Product, data: bytes) -> bytes:
    """All that comes until the server ends the connection, or is silent for a while."""
    host, _, port = gateway.access["grpc_target"].rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=0.5) as connection:
        received = b""
        with contextlib.suppress(OSError):
            connection.sendall(data)
            while piece := connection.recv(1 << 16):
                received += piece
        return received


def kinds(received: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at + 9 <= len(received):
        size = int.from_bytes(received[at : at + 3], "big")
        found.append((received[at + 3], received[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


FLOODS = {
    "pings": HELLO + h2(PING, 0, 0, b"\0" * 8) * 5000,
    "settings": HELLO + h2(4, 0, 0) * 5000,
    "streams that are reset at once": HELLO
    + b"".join(h2(1, 4, number, HEAD) + h2(RST, 0, number, b"\0\0\0\x08") for number in range(1, 4001, 2)),
    "more streams than it takes": HELLO + b"".join(h2(1, 4, number, HEAD) for number in range(1, 4001, 2)),
    "a head that goes on and on": HELLO + h2(1, 0, 1, HEAD) + h2(9, 0, 1, literal(b"x", b"a" * 100)) * 5000,
    "empty heads that go on": HELLO + h2(1, 0, 1, HEAD) + h2(9, 0, 1) * 5000,
    "empty data": HELLO + h2(1, 4, 1, HEAD) + h2(0, 0, 1) * 5000,
    "priorities": HELLO + h2(2, 0, 1, b"\0\0\0\0\0") * 5000,
    "a window too large": HELLO + h2(8, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "no preface": h2(4, 0, 0) * 10,
    "HTTP/1.1": b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a frame of 16 MiB": HELLO + b"\xff\xff\xff\0\0\0\0\0\1" + b"a" * 100_000,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 400,
    "nothing": b"",
}


H2 = st.tuples(st.integers(0, 12), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=40))


@pytest.mark.parametrize("name", list(FLOODS))
def test_a_flood_of_frames_keeps_nobody_from_being_answered(gateway, channel, name):
    received = said_to(gateway, FLOODS[name])
    if name == "pings":
        assert [payload[4:8] for kind, payload in kinds(received) if kind == GOAWAY] == [b"\0\0\0\x0b"]  # calm down
    hi = pb.ChatRequest(message="Hi").SerializeToString()
    assert ended(begin(channel, f"/{SERVICE}/Chat", [hi], (), gateway.key)) == "OK"


@QUICK
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=40)), max_size=8)
)
def test_no_frame_of_http2_ends_the_process(gateway, frames):
    host, _, port = gateway.access["grpc_target"].rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=WAIT) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(HELLO + b"".join(h2(*each) for each in frames))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass
