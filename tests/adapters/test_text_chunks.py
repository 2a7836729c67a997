"""Pieces that hold nothing but text are decoded at once: what comes of them is what reading them with care gives, and
whatever else stands in them is read with care."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.openai_answers import StreamedAnswer
from adapters.sse import as_lines
from engine.errors import EngineError
from engine.types import Delta, End
from tests.adapters import upstream as wire
from tests.adapters.test_openai_conformance import RECORDED
from tests.adapters.test_openai_fuzz import bodies

Heard = tuple[list[Delta], End | str]

LIKE_OPENAI = [
    wire.chunk(
        {"role": "assistant", "content": "", "refusal": None}, system_fingerprint="fp_1", service_tier="default"
    ),
    wire.chunk({"content": "Grüße "}, system_fingerprint="fp_1", obfuscation="x", usage=None, logprobs=None),
    wire.chunk({"content": '"}\\n\\ndata: {"'}, system_fingerprint="fp_1"),
    wire.chunk({"content": "北京 😀\n\n"}, system_fingerprint="fp_1"),
    wire.chunk({}, "stop", system_fingerprint="fp_1"),
    wire.chunk(None, usage=wire.USAGE, system_fingerprint="fp_1"),
    wire.DONE,
]
LIKE_VLLM = [
    wire.chunk({"role": "assistant", "content": ""}),
    wire.chunk({"content": "a", "reasoning_content": None, "tool_calls": None}, index=0),
    wire.chunk({"content": "b"}, index=1),
    wire.chunk({"content": "c"}, "length", index=1),
    wire.chunk({"content": ""}, "stop", index=0, stop_reason=None),
    wire.DONE,
]


class Careful(StreamedAnswer):
    """Takes a parser and the whole format for every piece."""

    def _texts(self, piece: bytes) -> list[Delta] | None:
        return None


class Quick(StreamedAnswer):
    __slots__ = ("quick",)

    def __init__(self) -> None:
        super().__init__()
        self.quick = 0

    def _texts(self, piece: bytes) -> list[Delta] | None:
        found = super()._texts(piece)
        self.quick += found is not None
        return found


def hear(answer: StreamedAnswer, pieces: list[bytes]) -> Heard:
    said: list[Delta] = []
    try:
        for piece in pieces:
            said.extend(answer.feed(piece))
            if answer.done:
                break
        said.extend(answer.finish())
        return said, answer.end()
    except EngineError as error:
        return said, f"{type(error).__name__} {error.message}"


@pytest.mark.parametrize("recorded", [LIKE_OPENAI, LIKE_VLLM])
def test_it_reads_streams_of_text_at_once_and_the_same(recorded: list[bytes]) -> None:
    for pieces in (recorded, [b"".join(recorded)]):
        quick = Quick()
        assert hear(quick, pieces) == hear(Careful(), pieces)
        assert quick.quick == len([piece for piece in pieces if piece != wire.DONE])


@given(st.lists(st.integers(0, len(RECORDED)), max_size=20))
def test_it_reads_what_is_not_only_text_the_same(cuts: list[int]) -> None:
    marks = [0, *sorted(cuts), len(RECORDED)]
    pieces = [RECORDED[start:stop] for start, stop in zip(marks, marks[1:], strict=False)]
    assert hear(Quick(), pieces) == hear(Careful(), pieces) == hear(Careful(), [RECORDED])


odd = st.sampled_from(
    [
        b'data: {"choices": []}{"choices": []}\n\n',
        b'data: {"choices": []} \n\n',
        b'data: {"choices":\ndata: []}\n\n',
        b"data: {}\n\n",
        b'data: {"a": [{}\n\ndata: {}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "a\n\ndata: b"}}]}\n\n',
        b'event: x\ndata: {"choices": []}\n\n',
        b": hello\n\n",
        b"\xef\xbb\xbfdata: {}\n\n",
        b"data: [DONE]\n\n",
        b"data: {\n\n",
        b"}\n\n",
        b"\r\n",
        b"\r",
        wire.chunk({"content": "a"}, "error"),
        wire.chunk({"content": "a"}, "tool_calls"),
        wire.chunk({"content": ["a"]}),
        wire.chunk({"content": "a"}, index=5000),
        wire.chunk({"content": "a"}, object="error"),
        wire.event({"error": {"message": "gone"}}),
    ]
)


@settings(max_examples=400, deadline=None)
@example([b'data: {"choices": []}{"choices": []}\n\n', b'data: {"a": [{}\n\ndata: {}]}\n\n'], True)
@given(st.lists(st.sampled_from([*LIKE_OPENAI[:-1], *LIKE_VLLM[:-1]]) | odd | bodies.map(wire.event)), st.booleans())
def test_it_reads_junk_the_same(pieces: list[bytes], together: bool) -> None:
    pieces = [b"".join(pieces)] if together else pieces
    pieces = [piece for piece in pieces if piece]
    assert hear(Quick(), pieces) == hear(Careful(), pieces)


@given(st.lists(st.recursive(st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))))
def test_what_it_takes_apart_are_the_events(values: list[Any]) -> None:
    objects = [{"a": value} for value in values]
    found = as_lines(b"".join(map(wire.event, objects)) + wire.DONE)
    if not objects:
        assert found is None
        return
    assert found is not None
    lines, number, done = found
    assert [json.loads(line) for line in lines.split(b"\n") if line] == objects
    assert (number, done) == (len(objects), True)


@pytest.mark.parametrize("place", [b',"usage"', b'"finish_reason"', b'"choices"'])
def test_lines_behind_the_first_of_an_object_are_other_fields(place: bytes) -> None:
    """What comes of a stream does not hang on how it is cut."""
    event = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}],"usage":null}\n\n'
    stream = event + event.replace(place, b"\n" + place) + wire.DONE
    assert as_lines(stream) is None
    whole = hear(StreamedAnswer(), [stream])
    assert whole == hear(Careful(), [stream]) and whole[0] == [Delta("a")] and isinstance(whole[1], str)
