"""Bytes on a raw socket: what is answered, and whether the connection goes on. Nothing that two readers could take for
different requests is answered as one (RFC 9112; the tricks are those of request smuggling's literature)."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress

import pytest

from tests.clawdbot_site.test_server import refusal, running

HOST = b"Host: x"
CHUNKED = b"Transfer-Encoding: chunked"
KEPT, CLOSED = "kept", "closed"
OK = ([200], KEPT)
BAD = ([400], CLOSED)
LARGE = ([431], CLOSED)
LATE = ([408], CLOSED)


def ask(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return b"".join(each + b"\r\n" for each in (line, *fields)) + b"\r\n" + body


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return ask(b"POST / HTTP/1.1", HOST, *fields, body=body)


def get(target: bytes = b"/", *fields: bytes, host: bytes = HOST) -> bytes:
    return ask(b"GET " + target + b" HTTP/1.1", host, *fields)


def chunks(data: bytes) -> bytes:
    return post(CHUNKED, body=data)


UPGRADE = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")

HELLO = b"3\r\nabc\r\n"
END = b"0\r\n\r\n"

# Where a body ends
LENGTHS = {
    "a length and chunks": (post(b"Content-Length: 5", CHUNKED, body=END), BAD),
    "chunks and a length": (post(CHUNKED, b"Content-Length: 5", body=END), BAD),
    "chunks twice": (post(CHUNKED, CHUNKED, body=END), BAD),
    "chunks within chunks": (post(b"Transfer-Encoding: chunked, chunked", body=END), BAD),
    "identity, then chunks": (post(b"Transfer-Encoding: identity, chunked", body=END), BAD),
    "chunks, then identity": (post(b"Transfer-Encoding: chunked, identity", body=END), BAD),
    "gzip, then chunks": (post(b"Transfer-Encoding: gzip, chunked", body=END), BAD),
    "chunks and another encoding": (post(CHUNKED, b"Transfer-Encoding: x", body=END), BAD),
    "another encoding and chunks": (post(b"Transfer-Encoding: x", CHUNKED, body=END), BAD),
    "almost chunks": (post(b"Transfer-Encoding: xchunked", body=END), BAD),
    "chunks in quotes": (post(b"Transfer-Encoding: 'chunked'", body=END), BAD),
    "chunks; with a parameter": (post(b"Transfer-Encoding: chunked;q=1", body=END), BAD),
    "chunks after a vertical tab": (post(b"Transfer-Encoding: \x0bchunked", body=END), BAD),
    "chunks on the next line": (post(b"Transfer-Encoding:\r\n chunked", body=END), BAD),
    "chunks before the colon": (post(b"Transfer-Encoding : chunked", body=END), BAD),
    "no encoding": (post(b"Transfer-Encoding:", body=END), BAD),
    "identity": (post(b"Transfer-Encoding: identity", body=END), BAD),
    "chunks in capitals": (post(b"Transfer-Encoding: CHUNKED", body=END), OK),
    "chunks after a tab": (post(b"Transfer-Encoding:\tchunked", body=END), OK),
    "chunks in HTTP/1.0": (ask(b"POST / HTTP/1.0", HOST, CHUNKED, body=END), BAD),
    "two lengths": (post(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"), BAD),
    "one length twice": (post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), BAD),
    "a list of lengths": (post(b"Content-Length: 3, 3", body=b"abc"), BAD),
    "a length with a sign": (post(b"Content-Length: +3", body=b"abc"), BAD),
    "a negative length": (post(b"Content-Length: -1", body=b"abc"), BAD),
    "a length in hexadecimal": (post(b"Content-Length: 0x3", body=b"abc"), BAD),
    "a length with a fraction": (post(b"Content-Length: 3.0", body=b"abc"), BAD),
    "a length of two numbers": (post(b"Content-Length: 1 2", body=b"abc"), BAD),
    "a length in other digits": (post("Content-Length: ３".encode(), body=b"abc"), BAD),
    "no length in the field": (post(b"Content-Length:"), BAD),
    "a length beyond 64 bits": (post(b"Content-Length: 18446744073709551616"), BAD),
    "a length of 100 digits": (post(b"Content-Length: " + b"9" * 100), BAD),
    "a length before the colon": (post(b"Content-Length : 3", body=b"abc"), BAD),
    "a length and a space": (post(b"Content-Length: 3 ", body=b"abc"), OK),
    "a length by another name": (post(b"Content_Length: 9", b"Content-Length: 3", body=b"abc"), OK),
    "more than its length": (post(b"Content-Length: 3", body=b"abcXX\r\n\r\n"), ([400], CLOSED)),
    "less than its length": (post(b"Content-Length: 9", body=b"abc"), LATE),
    "a GET with a body": (get(b"/", b"Content-Length: 3") + b"abc", OK),
}

# Chunks
CHUNKS = {
    "a chunk": (chunks(HELLO + END), OK),
    "an extension": (chunks(b"3;a=b\r\nabc\r\n" + END), OK),
    "an extension in quotes": (chunks(b'3;a="b;c"\r\nabc\r\n' + END), OK),
    "an extension over lines": (chunks(b"3;a\nabc\r\n" + END), BAD),
    "an extension with a carriage return": (chunks(b"3;a\rb\r\nabc\r\n" + END), BAD),
    "an endless extension": (chunks(b"3;" + b"a" * (1 << 20) + b"\r\nabc\r\n" + END), BAD),
    "extensions all over": (chunks((b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 1000 + END), BAD),
    "a negative size": (chunks(b"-3\r\nabc\r\n" + END), BAD),
    "a size with a sign": (chunks(b"+3\r\nabc\r\n" + END), BAD),
    "a size with 0x": (chunks(b"0x3\r\nabc\r\n" + END), BAD),
    "a size with a line between": (chunks(b"1_0\r\nabc\r\n" + END), BAD),
    "no size": (chunks(b"\r\nabc\r\n" + END), BAD),
    "a size of letters": (chunks(b"zz\r\nabc\r\n" + END), BAD),
    "a space after the size": (chunks(b"3 \r\nabc\r\n" + END), BAD),
    "a space before the size": (chunks(b" 3\r\nabc\r\n" + END), BAD),
    "a tab after the size": (chunks(b"3\t\r\nabc\r\n" + END), BAD),
    "a size of 64 bits": (chunks(b"ffffffffffffffff\r\nabc"), LATE),
    "a size of 68 bits": (chunks(b"fffffffffffffffff\r\nabc"), BAD),
    "a size that wraps to 3": (chunks(b"10000000000000003\r\nabc\r\n" + END), BAD),
    "zeros before the size": (chunks(b"0" * 40 + HELLO + END), OK),
    "a mebibyte of zeros before it": (chunks(b"0" * (1 << 20) + HELLO + END), BAD),
    "line feeds alone": (chunks(b"3\nabc\n0\n\n"), BAD),
    "carriage returns alone": (chunks(b"3\rabc\r0\r\r"), BAD),
    "less than its size": (chunks(b"5\r\nabc\r\n" + END), BAD),
    "more than its size": (chunks(b"2\r\nabc\r\n" + END), BAD),
    "a body that never ends": (chunks(HELLO + b"0\r\n"), LATE),
    "a trailer": (chunks(HELLO + b"0\r\nX: y\r\n\r\n"), OK),
    "a length in the trailer": (chunks(HELLO + b"0\r\nContent-Length: 50\r\n\r\n"), BAD),
    "a host in the trailer": (chunks(HELLO + b"0\r\nHost: evil\r\n\r\n"), OK),
    "5,000 trailers": (chunks(HELLO + b"0\r\n" + b"x: y\r\n" * 5000 + b"\r\n"), LARGE),
    "a trailer of a mebibyte": (chunks(HELLO + b"0\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n"), BAD),
    "a trailer that is none": (chunks(HELLO + b"0\r\nX y\r\n\r\n"), BAD),
}

# Fields and lines
FIELDS = {
    "a folded field": (get(b"/", b"X: a\r\n b"), BAD),
    "a field folded with a tab": (get(b"/", b"X: a\r\n\tb"), BAD),
    "a space before the first field": (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", BAD),
    "line feeds alone": (b"GET / HTTP/1.1\nHost: x\n\n", BAD),
    "a line feed among them": (b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", BAD),
    "carriage returns alone": (b"GET / HTTP/1.1\rHost: x\r\r", BAD),
    "a carriage return in a value": (get(b"/", b"X: a\rb"), BAD),
    "a space before the colon": (get(b"/", b"X : y"), BAD),
    "a tab before the colon": (get(b"/", b"X\t: y"), BAD),
    "no colon": (get(b"/", b"X"), BAD),
    "no name": (get(b"/", b": y"), BAD),
    "NUL in a name": (get(b"/", b"X\0: y"), BAD),
    "NUL in a value": (get(b"/", b"X: a\0b"), BAD),
    "a control character in a value": (get(b"/", b"X: a\x01b"), BAD),
    "DEL in a value": (get(b"/", b"X: a\x7fb"), BAD),
    "high bytes in a value": (get(b"/", b"X: \xff\xfe"), OK),
    "high bytes in a name": (get(b"/", b"X\xff: y"), BAD),
    "brackets in a name": (get(b"/", b"X(): y"), BAD),
    "empty lines first": (b"\r\n\r\n" + get(), OK),
    "20,000 empty lines": (b"\r\n" * 20_000, LARGE),
    "100 fields": (get(b"/", *[b"x: y"] * 99), OK),
    "101 fields": (get(b"/", *[b"x: y"] * 100), LARGE),
    "5,000 fields": (get(b"/", *[b"x: y"] * 5000), LARGE),
    "31 KB": (get(b"/", b"x: " + b"a" * 31_000), OK),
    "33 KB": (get(b"/", b"x: " + b"a" * 33_000), LARGE),
    "a mebibyte": (get(b"/", b"x: " + b"a" * (1 << 20)), LARGE),
    "a long name": (get(b"/", b"a" * 33_000 + b": x"), LARGE),
    "a head that stops in a name": (b"GET / HTTP/1.1\r\nHost: x\r\nX-Ha", LATE),
    "a head that stops in a value": (b"GET / HTTP/1.1\r\nHost: x\r\nX: ha", LATE),
    "a head that stops before its end": (b"GET / HTTP/1.1\r\nHost: x\r\n", LATE),
    "a line that stops": (b"GET /ha", LATE),
    "a method that stops": (b"GE", LATE),
    "an unknown option of the connection": (get(b"/", b"Connection: a, b,, c"), OK),
    "another protocol to change to": (get(b"/", b"Connection: upgrade", b"Upgrade: foo"), OK),
    "HTTP/2 to change to": (get(b"/", *UPGRADE), OK),
    "an end of the connection": (get(b"/", b"Connection: close"), ([200], CLOSED)),
    "an expectation": (post(b"Expect: 100-continue", b"Content-Length: 3", body=b"abc"), ([100, 200], KEPT)),
    "another expectation": (post(b"Expect: 200-ok", b"Content-Length: 3", body=b"abc"), OK),
}  # fmt: skip

# For whom
HOSTS = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", BAD),
    "no host in HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", ([200], CLOSED)),
    "two hosts": (get(b"/", b"Host: y"), BAD),
    "two hosts in HTTP/1.0": (ask(b"GET / HTTP/1.0", HOST, b"Host: y"), BAD),
    "one host twice": (get(b"/", HOST), BAD),
    "a host with a user": (get(host=b"Host: user@x"), BAD),
    "a host with a path": (get(host=b"Host: x/y"), BAD),
    "a host with a query": (get(host=b"Host: x?y"), BAD),
    "a host with a space": (get(host=b"Host: a b"), BAD),
    "a host with NUL": (get(host=b"Host: a\0b"), BAD),
    "a host in high bytes": (get(host=b"Host: \xff"), BAD),
    "a host with brackets": (get(host=b"Host: x<script>"), BAD),
    "two hosts in one": (get(host=b"Host: x, y"), BAD),
    "a port that is none": (get(host=b"Host: x:port"), BAD),
    "too large a port": (get(host=b"Host: x:999999"), BAD),
    "half an address": (get(host=b"Host: [::1"), BAD),
    "an address": (get(host=b"Host: [::1]:8000"), OK),
    "another host in the target": (get(b"http://evil.example/"), BAD),
    "another port in the target": (get(b"http://x:81/"), BAD),
    "a user in the target": (get(b"http://a:b@x/"), BAD),
    "no host in the target": (get(b"http:///"), BAD),
    "no path in the target": (get(b"http://x"), BAD),
    "the same host in the target": (get(b"http://x/"), OK),
    "another scheme in the target": (get(b"ftp://x/"), BAD),
    "a script for a target": (get(b"javascript:alert(1)"), BAD),
}

# What is asked
TARGETS = {
    "no slash": (get(b"x"), BAD),
    "a backslash": (get(b"\\x"), BAD),
    "a fragment": (get(b"/#x"), BAD),
    "NUL": (get(b"/a\0b"), BAD),
    "NUL in the query": (get(b"/?a=\0"), BAD),
    "%00": (get(b"/%00"), OK),
    "a bad escape": (get(b"/%zz"), OK),
    "a space": (get(b"/a b"), BAD),
    "a tab": (get(b"/a\tb"), BAD),
    "high bytes": (get(b"/\xff"), BAD),
    "a long one": (get(b"/" + b"a" * 33_000), LARGE),
    "tabs for spaces": (ask(b"GET\t/\tHTTP/1.1", HOST), BAD),
    "a space first": (ask(b" GET / HTTP/1.1", HOST), BAD),
    "a space last": (ask(b"GET / HTTP/1.1 ", HOST), BAD),
    "a method in small letters": (ask(b"get / HTTP/1.1", HOST), BAD),
    "an unknown method": (ask(b"BREW / HTTP/1.1", HOST), BAD),
    "a long method": (ask(b"A" * 5000 + b" / HTTP/1.1", HOST), BAD),
    "CONNECT": (ask(b"CONNECT x:1 HTTP/1.1", HOST), BAD),
    "OPTIONS *": (ask(b"OPTIONS * HTTP/1.1", HOST), BAD),
    "GET *": (get(b"*"), BAD),
    "HTTP/0.9": (b"GET /\r\n\r\n", BAD),
    "half of HTTP/0.9": (b"GET /\r\n", LATE),
    "HTTP/0.9 by name": (ask(b"GET / HTTP/0.9", HOST), BAD),
    "HTTP/1.2": (ask(b"GET / HTTP/1.2", HOST), BAD),
    "HTTP/2.0": (ask(b"GET / HTTP/2.0", HOST), BAD),
    "HTTP/11.1": (ask(b"GET / HTTP/11.1", HOST), BAD),
    "HTTP/1.": (ask(b"GET / HTTP/1.", HOST), BAD),
    "a version of 50,000 digits": (ask(b"GET / HTTP/1." + b"1" * 50_000, HOST), BAD),
    "http/1.1": (ask(b"GET / http/1.1", HOST), BAD),
    "HTTP/2's first words": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", BAD),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 400, BAD),
    "SSH": (b"SSH-2.0-OpenSSH_9.0\r\n", BAD),
    "Redis": (b"*1\r\n$4\r\nPING\r\n", BAD),
    "SMTP": (b"EHLO x\r\n", BAD),
    "a proxy's line": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get(), BAD),
    "a proxy's bytes": (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + b"\1" * 12, BAD),
}

# One after the other
PIPELINES = {
    "three at once": (get() * 3, ([200] * 3, KEPT)),
    "a body between two": (get() + chunks(HELLO + END) + get(), ([200] * 3, KEPT)),
    "a request in a body": (post(b"Content-Length: %d" % len(get()), body=get()), OK),
    "a request in a chunk": (chunks(b"%x\r\n%b\r\n" % (len(get()), get()) + END), OK),
    "a second one that is bad": (get() + ask(b"GET / HTTP/1.1"), ([400], CLOSED)),
    "another protocol to change to each time": (get(b"/", *UPGRADE) * 3, ([200] * 3, KEPT)),
    "another protocol, and a body": (post(*UPGRADE, b"Content-Length: 3", body=b"abc") + get(), ([200] * 2, KEPT)),
    "another protocol, and chunks": (post(*UPGRADE, CHUNKED, body=HELLO + END) + get(), ([200] * 2, KEPT)),
    "another protocol, and a request in its body": (
        post(*UPGRADE, b"Content-Length: %d" % len(get()), body=get()), OK
    ),
    "another protocol, and two lengths": (
        post(*UPGRADE, b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"), BAD
    ),
    "another protocol, and no host": (ask(b"GET / HTTP/1.1", *UPGRADE), BAD),
    "one that stops after another": (get() + b"GET /ha", ([200, 408], CLOSED)),
    "one that is too large, after another": (get() + get(b"/", b"x: " + b"a" * 33_000), ([431], CLOSED)),
    "one after the end": (get(b"/", b"Connection: close") + get(), ([200], CLOSED)),
}  # fmt: skip

GROUPS = {
    "lengths": LENGTHS,
    "chunks": CHUNKS,
    "fields": FIELDS,
    "hosts": HOSTS,
    "targets": TARGETS,
    "pipelines": PIPELINES,
}
CASES = [
    pytest.param(data, *wanted, id=f"{group}: {name}")
    for group, cases in GROUPS.items()
    for name, (data, wanted) in cases.items()
]
STATUS = re.compile(rb"HTTP/1\.1 (\d+) [^\r\n]*\r\n")
LAST = get(b"/last", b"Connection: close")


def statuses(received: bytes) -> list[int]:
    return [int(each) for each in STATUS.findall(received)]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("raw") / "log"


@pytest.fixture(scope="module")
def server(log):
    with log.open("w") as file, running("1", "0.4", log=file) as started:
        yield started


def read(connection: socket.socket, count: int) -> tuple[bytes, bool]:
    """What comes until so many answers are whole or the connection ends; whether it ended."""
    received = b""
    while len(statuses(received)) < count or not received.endswith(b"}"):
        more = connection.recv(1 << 16)
        if not more:
            return received, True
        received += more
    return received, False


@pytest.mark.parametrize(("data", "wanted", "after"), CASES)
def test_it_answers_once_and_in_one_way(server, data, wanted, after):
    with server.open() as connection:
        with suppress(ConnectionError):  # it may be refused before all of it is sent
            connection.sendall(data)
        received, ended = read(connection, len(wanted))
        if after == KEPT:
            connection.sendall(LAST)
            assert statuses(read(connection, 1)[0]) == [200]
        else:
            assert ended or connection.recv(1 << 16) == b""
    assert statuses(received) == wanted
    if wanted[-1] >= 400:
        assert refusal(received[received.rindex(b"HTTP/1.1 ") :])[0] == wanted[-1]


def test_there_are_enough_of_them():
    assert len(CASES) >= 120


def test_nothing_of_it_is_logged_and_no_worker_ended(server, log):
    """Runs last in this file."""
    assert server.get()[0] == 200 and log.read_text() == ""


def test_a_trailer_is_no_header(server):
    """What a proxy takes away from the head cannot come back behind the body."""
    request = ask(b"POST /headers HTTP/1.1", HOST, CHUNKED, b"Connection: close",
                  body=HELLO + b"0\r\nX-API-Key: stolen\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")  # fmt: skip
    answer = server.exchange(request)
    assert statuses(answer) == [200] and b"transfer-encoding" in answer
    assert b"stolen" not in answer and b"x-forwarded-for" not in answer


def test_a_head_that_begins_behind_a_request_is_no_larger(server):
    """What of it came with the request before it counts, too."""
    second = get(b"/", b"Connection: close", b"x: " + b"a" * 40_000)
    with server.open() as connection:
        connection.sendall(get() + second[:30_000])
        assert statuses(read(connection, 1)[0]) == [200]
        connection.sendall(second[30_000:])
        assert statuses(read(connection, 1)[0]) == [431]


def test_a_wish_for_another_protocol_takes_nothing_from_a_request(server):
    """Java's client asks for HTTP/2 so in every first request. Its body is a body, also when it comes later."""
    head = post(*UPGRADE, b"Content-Length: %d" % len(get()))
    with server.open() as connection:
        connection.sendall(head)
        time.sleep(0.05)
        connection.sendall(get())
        received, _ = read(connection, 1)
        assert statuses(received) == [200] and received.endswith(b'"size": %d}' % len(get()))
        connection.sendall(LAST)
        assert statuses(read(connection, 1)[0]) == [200]


@pytest.mark.parametrize("much", [b"Content-Length: %d" % (1 << 40), CHUNKED])
def test_a_body_that_nobody_reads_is_not_taken_for_ever(server, much):
    """Who has its answer, a refusal say, and sends on."""
    piece = b"a" * (1 << 20)
    if much == CHUNKED:
        piece = b"%x\r\n%b\r\n" % (len(piece), piece)
    with server.open() as connection:
        connection.sendall(ask(b"POST /unread HTTP/1.1", HOST, much))
        assert statuses(read(connection, 1)[0]) == [200]
        connection.sendall(piece * 16)
        with pytest.raises(ConnectionError):
            for _ in range(256):
                connection.sendall(piece)


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_it_is_the_same_in_pieces(server, piece):
    """A head and a body as they come off a slow line."""
    data = chunks(b"3;a=b\r\nabc\r\n" * 5 + END)
    with server.open() as connection:
        for begin in range(0, len(data), piece):
            connection.sendall(data[begin : begin + piece])
        assert read(connection, 1)[0].endswith(b'"size": 15}')
