from __future__ import annotations

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
