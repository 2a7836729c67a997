"""WebSockets from outside, byte by byte: clients that do not read, do not finish, flood, or are not there any more."""

import contextlib
import random
import socket
import struct
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.clawdbot_site.test_server import read_until, running, wait_for_reset
from tests.clawdbot_site.tiny_server import EVENT, MANY

SHORT = 0.4  # seconds, of every limit on time
TEXT, BINARY, PING, CONT, FIN = 1, 2, 9, 0, 0x80
KERNEL = 8 << 20  # bytes that the two kernels of a loopback connection may hold, generously


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("sockets") / "log"


@pytest.fixture(scope="module")
def server(log):
    with log.open("w") as file, running("1", str(SHORT), log=file) as started:
        yield started


def frame(first: int, payload: bytes = b"", *, mask: bool = True, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    said = 126 if 125 < size < 65536 else 127 if size >= 65536 else size
    extended = struct.pack("!H" if said == 126 else "!Q", size) if said > 125 else b""
    return bytes([first, said | (0x80 if mask else 0)]) + extended + (b"\0\0\0\0" if mask else b"") + payload


@contextlib.contextmanager
def opened(server, receive_buffer: int = 0):
    with socket.socket() as client:
        client.settimeout(20)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(("127.0.0.1", server.port))
        client.sendall(
            b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n"
        )
        assert b" 101 " in read_until(client, b"\r\n\r\n")
        yield client


class Frames:
    """What a server sent, frame by frame; pings are passed over."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.buffer = b""

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            more = self.client.recv(1 << 16)
            if not more:
                raise EOFError
            self.buffer += more
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def next(self) -> tuple[int, bytes]:
        while True:
            first, size = self._take(2)
            if size > 125:
                size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
            payload = self._take(size)
            if first & 15 != PING:
                return first & 15, payload

    def close_code(self) -> int:
        """Whatever else comes before it."""
        while True:
            kind, payload = self.next()
            if kind == 8:
                return int.from_bytes(payload[:2], "big")


def end_of(server, data: bytes, *, more: bytes = b"") -> int:
    """The close code after these bytes."""
    with opened(server) as client:
        with contextlib.suppress(OSError):
            client.sendall(data)
            client.sendall(more)
        code = Frames(client).close_code()
    assert server.process.stdout.readline() == f"socket left {code}\n"
    return code


# Readers -----------------------------------------------------------------------------------------------------------


def test_who_does_not_read_is_held_a_buffer_and_dropped(server):
    with opened(server, 64 << 10) as client:
        client.sendall(frame(FIN | TEXT, b"much"))
        sent = int(server.process.stdout.readline().split()[1])  # the writers hear of it before the connection is gone
        assert server.process.stdout.readline() == "socket left 1008\n"
        assert EVENT * sent <= KERNEL < 8 * MANY * EVENT
        wait_for_reset(client)


def test_who_begins_to_read_again_hears_why_it_was_dropped(server):
    with opened(server, 64 << 10) as client:
        client.sendall(frame(FIN | TEXT, b"much"))
        sent = int(server.process.stdout.readline().split()[1])
        frames, heard = Frames(client), 0
        while (got := frames.next())[0] == TEXT:
            assert len(got[1]) == EVENT and len(set(got[1])) == 1  # whole events, none torn or mixed
            heard += 1
        assert (got[0], got[1][:2]) == (8, (1008).to_bytes(2, "big"))
        assert heard == sent
        assert server.process.stdout.readline() == "socket left 1008\n"


def test_a_slow_reader_that_goes_on_reading_is_left_alone(server):
    """Twice as slow as the burst, for many times the limit."""
    with opened(server, 64 << 10) as client:
        client.sendall(frame(FIN | TEXT, b"much"))
        began, size = time.monotonic(), 0
        while time.monotonic() < began + 5 * SHORT:
            size += len(client.recv(256 << 10))
            time.sleep(SHORT / 10)
        assert size > 64 << 10
        while size < 8 * MANY * EVENT:
            size += len(client.recv(1 << 20))
        assert server.process.stdout.readline() == f"sent {8 * MANY}\n"
    assert server.process.stdout.readline().startswith("socket left ")  # 1011 if it took so long: it answers no ping


def test_who_trickles_is_dropped_too(server):
    with opened(server, 4 << 10) as client:
        client.sendall(frame(FIN | TEXT, b"much"))
        client.settimeout(0.05)
        with pytest.raises(OSError):  # a reset in the end
            for _ in range(2000):
                with contextlib.suppress(TimeoutError):
                    if not client.recv(64):
                        raise ConnectionResetError
                time.sleep(0.02)
    assert server.process.stdout.readline().startswith("sent ")
    assert server.process.stdout.readline() == "socket left 1008\n"


def test_pongs_are_no_way_around_the_buffer(server):
    """A flood of pings by somebody who reads no pong ends like any flood."""
    assert end_of(server, frame(FIN | PING, b"x" * 125) * 20_000) == 4429


# Writers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [frame(TEXT) + frame(CONT) * 50_000, frame(TEXT) + frame(CONT, b"x") * 50_000, frame(FIN | TEXT, b"echo") * 2_000],
    ids=["empty fragments", "small fragments", "messages"],
)
def test_a_flood_of_frames_is_ended(server, data):
    with opened(server) as client:
        with contextlib.suppress(OSError):
            client.sendall(data)
        assert Frames(client).close_code() == 4429
    assert server.process.stdout.readline() == "socket left 4429\n"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(FIN | TEXT, b"x" * 300_000), 1009),
        (frame(FIN | TEXT, length=1 << 40), 1009),
        (frame(TEXT, b"x" * 200_000) + frame(FIN | CONT, b"x" * 100_000), 1009),
        (frame(FIN | TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, "é".encode()[:1]) + frame(FIN | CONT, b"x"), 1007),
        (frame(FIN | TEXT, b"x", mask=False), 1002),
        (frame(FIN | CONT, b"x"), 1002),
        (frame(TEXT) + frame(FIN | TEXT), 1002),
        (frame(FIN | 3), 1002),
        (frame(FIN | 0x40 | TEXT, b"\x2a\x49\x2d\x00"), 1002),
        (frame(FIN | PING, b"x" * 126), 1002),
        (frame(PING), 1002),
        (frame(FIN | 8, b"\x00"), 1002),
        (frame(FIN | 8, (999).to_bytes(2, "big")), 1002),
        (frame(FIN | 8, b"\x03\xe8\xff"), 1007),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_it_says_why_it_closes(server, data, code):
    assert end_of(server, data, more=b"" if code == 1007 else b"\0" * 300_000) == code


@pytest.mark.parametrize(
    "data", [frame(TEXT, b"x"), frame(FIN | TEXT, b"x", length=100), frame(FIN | TEXT, b"echo") + b"\x81"]
)
def test_a_message_that_is_begun_has_to_be_finished(server, data):
    assert end_of(server, data) == 1008


def test_a_message_may_come_in_pieces(server):
    text = b"echo" + "é".encode() * 10
    with opened(server) as client:
        client.sendall(frame(TEXT, text[:5]))
        for byte in text[5:-1]:
            client.sendall(frame(CONT, bytes([byte])) + frame(FIN | PING))
            time.sleep(SHORT / 400)
        client.sendall(frame(FIN | CONT, text[-1:]))
        frames = Frames(client)
        while (got := frames.next())[0] != TEXT:
            pass
        assert got[1] == text


def test_nothing_is_compressed(server):
    with connect(f"ws://127.0.0.1:{server.port}/", compression="deflate") as client:
        assert not client.protocol.extensions


def test_any_bytes_end_in_a_close_code_or_an_echo(server):
    chance = random.Random(5)
    for _ in range(200):
        with opened(server) as client:
            client.settimeout(5)
            with contextlib.suppress(OSError, EOFError):
                client.sendall(chance.randbytes(chance.randint(2, 600)))
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
    assert server.get()[0] == 200


# Ends that are not there -------------------------------------------------------------------------------------------


def test_who_answers_no_ping_is_taken_for_gone(server):
    with opened(server) as client:
        assert Frames(client).close_code() == 1011
    lines = iter(server.process.stdout.readline, "")
    assert "socket left 1011\n" in lines


def test_who_answers_pings_stays(server):
    with connect(f"ws://127.0.0.1:{server.port}/") as client:
        time.sleep(5 * SHORT)
        client.send("echo")
        assert client.recv() == "echo"


def test_it_is_told_that_a_message_was_too_big(server):
    with connect(f"ws://127.0.0.1:{server.port}/", max_size=None) as client:
        with contextlib.suppress(ConnectionClosed):
            client.send("x" * 3_000_000)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
    assert closed.value.rcvd.code == 1009


def test_half_open_connections_keep_nobody_out(server):
    with contextlib.ExitStack() as stack:
        for _ in range(1_000):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
        assert server.get()[0] == 200
        with connect(f"ws://127.0.0.1:{server.port}/") as client:
            client.send("echo")
            assert client.recv() == "echo"


def test_it_logs_nothing_of_all_that(server, log):
    server.get()
    assert log.read_text() == ""
