"""Headers: the examples of RFC 7541, appendix C, and bytes that are none."""

import random

import pytest

from access.edges.grpc.wire import hpack
from access.edges.grpc.wire.hpack import Decoder, Malformed, literals, unhuffman

GET = ((b":method", b"GET"), (b":scheme", b"http"))
REQUESTS = (  # C.4: three on one connection
    ("828684418cf1e3c2e5f23a6ba0ab90f4ff", (*GET, (b":path", b"/"), (b":authority", b"www.example.com"))),
    (
        "828684be5886a8eb10649cbf",
        (*GET, (b":path", b"/"), (b":authority", b"www.example.com"), (b"cache-control", b"no-cache")),
    ),
    (
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        (
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":path", b"/index.html"),
            (b":authority", b"www.example.com"),
            (b"custom-key", b"custom-value"),
        ),
    ),
)


def test_it_reads_the_requests_of_the_standard():
    decoder = Decoder()
    for block, fields in REQUESTS:
        assert decoder.decode(bytes.fromhex(block)) == fields


@pytest.mark.parametrize(
    ("coded", "text"),
    [
        ("d07abe941054d444a8200595040b8166e082a62d1bff", b"Mon, 21 Oct 2013 20:13:21 GMT"),
        ("9d29ad171863c78f0b97c8e9ae82ae43d3", b"https://www.example.com"),
        (
            "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        ),
    ],
)
def test_it_reads_coded_texts_of_the_standard(coded, text):
    assert unhuffman(bytes.fromhex(coded)) == text


def coded(text: bytes) -> bytes:
    codes = {octet: (bits, code) for (bits, code), octet in hpack._CODES.items()}
    said = "".join(format(codes[byte][1], f"0{codes[byte][0]}b") for byte in text)
    said += "1" * (-len(said) % 8)
    return int(said, 2).to_bytes(len(said) // 8, "big") if said else b""


def test_it_reads_every_octet_in_every_place():
    chance = random.Random(7541)
    for length in (0, 1, 2, 3, 40):
        for _ in range(200):
            text = bytes(chance.randrange(256) for _ in range(length))
            assert unhuffman(coded(text)) == text
    assert unhuffman(coded(bytes(range(256)))) == bytes(range(256))


def test_what_was_said_before_is_the_same_until_the_table_changes():
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x01b")  # kept: it is in place 62
    assert decoder.decode(b"\xbe") == decoder.decode(b"\xbe") == ((b"a", b"b"),)
    decoder.decode(b"\x40\x01c\x01d")
    assert decoder.decode(b"\xbe") == ((b"c", b"d"),)
    assert decoder.decode(b"\xbf") == ((b"a", b"b"),)


def test_the_table_holds_no_more_than_it_may():
    decoder = Decoder()
    for number in range(500):
        decoder.decode(b"\x40\x04%04d\x7f\x00" % number + b"x" * 127)
    assert decoder._size <= hpack.TABLE and len(decoder._table) == hpack.TABLE // (4 + 127 + 32)
    decoder.decode(b"\x20")  # a table of no size
    assert not decoder._table
    with pytest.raises(Malformed):
        decoder.decode(b"\xbe")


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # place 0
        b"\xff\x80\x01",  # a place where nothing is
        b"\x40",  # ends too soon
        b"\x40\x05a",
        b"\x00\x01a\x7f\xff\xff\xff\xff\xff\x01",  # a length without an end
        b"\x3f\xe2\x1f",  # a table larger than it may be
        b"\x82\x20",  # its size where none may be
        b"\x00\x81\x00\x01b",  # a coded text with zeros for padding
        b"\x00\x84\xff\xff\xff\xff\x01b",  # its end, coded
        b"\x00\x82\xff\xff\x01b",  # more padding than a byte
    ],
)
def test_bytes_that_are_no_headers_are_refused(block):
    with pytest.raises(Malformed):
        Decoder().decode(block)


def test_random_bytes_are_headers_or_malformed():
    chance = random.Random(2)
    for _ in range(3000):
        decoder = Decoder()
        try:
            decoder.decode(chance.randbytes(chance.randrange(40)))
        except Malformed:
            continue


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 300, 20_000])
def test_what_it_says_can_be_read(length):
    fields = ((b"name", b"v" * length), (b"other", b""))
    assert Decoder().decode(literals(fields)) == fields
