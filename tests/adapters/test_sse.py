from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import sse
from adapters.sse import EventParser
from engine.errors import UpstreamError

STREAM = (
    "\ufeffdata: first\n\n: a comment\nevent: message\nid: 1\nretry: 10\ndata: zwei — 二 😀\n\n"
    "data: one\r\ndata: two\r\n\r\ndata:no space\r\rdata\ndata:  two spaces\n\n\n\nevent: nothing\n\ndata: last\n\n"
).encode()
EVENTS = ["first", "zwei — 二 😀", "one\ntwo", "no space", "\n two spaces", "last"]


def parse(*pieces: bytes) -> list[str]:
    parser = EventParser()
    return [event.decode() for piece in pieces for event in parser.feed(piece)]


def test_it_reads_what_the_standard_says() -> None:
    assert parse(STREAM) == EVENTS


def test_it_reads_the_same_at_every_cut() -> None:
    for cut in range(len(STREAM) + 1):
        assert parse(STREAM[:cut], STREAM[cut:]) == EVENTS, f"cut at {cut}"


@given(st.lists(st.integers(0, len(STREAM))))
def test_it_reads_the_same_however_cut(cuts: list[int]) -> None:
    marks = [0, *sorted(cuts), len(STREAM)]
    assert parse(*(STREAM[start:stop] for start, stop in zip(marks, marks[1:], strict=False))) == EVENTS


@given(st.lists(st.binary(max_size=20)))
def test_it_reads_any_bytes_the_same_however_cut(pieces: list[bytes]) -> None:
    whole, cut = EventParser(), EventParser()
    assert [event for piece in pieces for event in cut.feed(piece)] == whole.feed(b"".join(pieces))
    assert cut.rest() == whole.rest()


def test_it_gives_an_event_at_once_when_its_blank_line_is_here() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r\n\r") == [b"a"]
    assert parser.feed(b"\ndata: b\n\n") == [b"b"]


def test_it_gives_the_rest_when_the_last_blank_line_is_missing() -> None:
    parser = EventParser()
    assert parser.feed(b"data: [DONE]") == []
    assert parser.rest() == [b"[DONE]"]
    assert parser.rest() == []


@pytest.mark.parametrize("piece", [b"x" * 100, b"data: " + b"x" * 60 + b"\n", b"data:\n" * 20])
def test_it_refuses_an_event_without_end(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    parser = EventParser()
    with pytest.raises(UpstreamError):
        for _ in range(1000):
            parser.feed(piece)


def test_it_takes_small_events_without_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    parser = EventParser()
    for _ in range(1000):
        assert parser.feed(b": ping\n\n") == []
        assert parser.feed(b"data: a\n\ndata: b") == [b"a"]
        assert parser.feed(b"\n\n") == [b"b"]


# Against the standard -------------------------------------------------------------------------------------------------


def by_the_standard(stream: bytes) -> list[bytes]:
    """WHATWG HTML 9.2.5 and 9.2.6, read word by word, for a stream that is all here; data alone, and as bytes."""
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    lines = re.split(rb"\r\n|\n|\r", stream)[:-1]  # what no line end follows is no line
    events, buffer = [], bytearray()
    for line in lines:
        if line == b"":
            if buffer != b"":
                events.append(bytes(buffer.removesuffix(b"\n")))
            buffer = bytearray()
        elif line.startswith(b":"):
            continue
        else:
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                buffer += value + b"\n"
    return events


tokens = st.sampled_from(
    [b"data", b"data:", b"data: ", b" data:x", b"Data:x", b"datax:y", b"event: e", b"id: 1", b"retry: 5", b":", b": c"]
    + [b"\n", b"\n", b"\n", b"\r", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b"\x00", b" ", b"\xff"]
    + [b'{"a":1}', b"[DONE]", "北京".encode(), b"\xef\xbb\xbf", b"\xef", b"\xbb\xbf", b"\x0b", "\u2028\u0085".encode()]
)
streams = st.lists(tokens, max_size=30).map(b"".join)


@given(streams, st.lists(st.integers(0, 200), max_size=20))
def test_it_reads_what_the_standard_says_however_cut(stream: bytes, cuts: list[int]) -> None:
    marks = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parser = EventParser()
    pieces = [stream[start:stop] for start, stop in zip(marks, marks[1:], strict=False)]
    assert [event for piece in pieces for event in parser.feed(piece)] == by_the_standard(stream)


@given(streams)
def test_it_reads_what_the_standard_says_byte_by_byte(stream: bytes) -> None:
    parser = EventParser()
    assert [event for at in range(len(stream)) for event in parser.feed(stream[at : at + 1])] == by_the_standard(stream)


@given(streams, streams)
def test_it_is_between_events_only_where_nothing_of_one_is_here(before: bytes, after: bytes) -> None:
    """Whoever reads on from such a place reads the same."""
    parser = EventParser()
    parser.feed(before)
    if parser.between and before and after[:1] != b"\xef":
        assert parser.feed(after) == EventParser().feed(after)


def test_a_byte_order_mark_is_one_only_where_a_stream_begins() -> None:
    assert parse(b"\xef", b"\xbb", b"\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n") == ["a", "c"]
    parser = EventParser()
    parser.passed()
    assert parser.feed(b"\xef\xbb\xbfdata: a\n\n") == []


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_the_limit_is_the_same_however_an_event_is_cut(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    for most, stream in [
        (1000, b"data:" + b"x" * 994 + b"\n\n"),
        (1000, b"data:\n" * 166 + b"ab:\n\n"),
        (1000, b":" + b"x" * 998 + b"\n"),
    ]:
        for more, fits in (0, True), (1, False):
            whole = stream.replace(b":", b":" + b"x" * more, 1)
            parser = EventParser()
            pieces = [whole[at : at + cut] for at in range(0, len(whole), cut)]
            if fits:
                assert len(whole.rstrip(b"\n")) + 1 == most
                for piece in pieces:
                    parser.feed(piece)
            else:
                with pytest.raises(UpstreamError):
                    for piece in pieces:
                        parser.feed(piece)


@pytest.mark.parametrize(
    ("stream", "cut"),
    [
        (b"data: " + b"x" * 1_000_000 + b"\n\n", 1),
        (b"data: x\n" * 120_000 + b"\n", 1),
        (b"data: x\n" * 1_000_000 + b"\n", 8_000_000),
        (b"\n" * 5_000_000, 5_000_000),
        (b"\r" * 1_000_000, 1),
        (b"data: " + b"x\r" * 500_000 + b"\n" * 500_000, 2_000_000),
        (b":" + b"x" * 8_000_000 + b"\n", 4096),
    ],
    ids=["a line by bytes", "lines by bytes", "lines at once", "line feeds", "returns", "far line feeds", "a comment"],
)
def test_hostile_streams_take_time_by_their_length_alone(stream: bytes, cut: int) -> None:
    """A second or two each; what copies or looks through all that came for each piece takes hours."""
    began = time.process_time()
    parser = EventParser()
    events = [event for at in range(0, len(stream), cut) for event in parser.feed(stream[at : at + cut])]
    taken = time.process_time() - began
    assert events == by_the_standard(stream)
    assert taken < 20
