"""From deltas to blocks, whatever order deltas come in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access.edges.messages_answers import Streamed, Whole
from access.edges.messages_seals import opened
from engine.types import Choice, Delta, Done, Json, Message, Start, Usage
from tests.access.messages import blocks_of, events_of

START = Start("t", None, "m")


def fragment(index: int, arguments: str = "", **fields: Any) -> Json:
    name = {"name": fields.pop("name")} if "name" in fields else {}
    return {"index": index, **fields, "function": {**name, "arguments": arguments}}


def call(index: int, arguments: str = "", **fields: Any) -> Delta:
    return Delta(tool_calls=[fragment(index, arguments, **fields)])


def done(finish: str = "stop", **fields: Any) -> Done:
    return Done("t", None, "m", [Choice(Message("assistant"), finish)], Usage(1, 2), {}, 0, **fields)


def streamed(*deltas: Delta, finish: str = "stop") -> list[Json]:
    stream = Streamed(START, 1)
    return events_of(stream.opening + b"".join(map(stream.feed, deltas)) + stream.end(done(finish), ()))


def whole(*deltas: Delta, finish: str = "stop") -> Json:
    answer = Whole(START)
    for delta in deltas:
        answer.feed(delta)
    return answer.end(done(finish), ())


def both(*deltas: Delta) -> list[Json]:
    """The blocks, the same in a stream and not."""
    blocks = blocks_of(streamed(*deltas))
    assert whole(*deltas)["content"] == blocks
    return blocks


def use(call_id: str, name: str, **given: Any) -> Json:
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


def test_a_refusal_is_a_block_of_its_own() -> None:
    blocks = both(Delta("No"), Delta(refusal="pe"), Delta(refusal=", no."), Delta("Yes"))
    assert blocks == [{"type": "text", "text": text} for text in ("No", "pe, no.", "Yes")]


def test_it_puts_calls_that_come_mixed_one_after_the_other() -> None:
    mixed = [
        call(0, id="a", name="one"),
        call(0, '{"x"'),
        call(1, '{"y":', id="b", name="two"),
        call(0, ":1}"),
        call(2, "{}", id="c", name="three"),
        call(1, "2}"),
    ]
    assert both(*mixed) == [use("a", "one", x=1), use("b", "two", y=2), use("c", "three")]


def test_it_hands_a_call_out_as_it_comes() -> None:
    stream = Streamed(START, 1)
    pieces = [stream.feed(delta) for delta in (call(0, id="a", name="one"), call(0, '{"x"'), call(0, ":1}"))]
    assert pieces[0] == b"" and b"content_block_start" in pieces[1] and b'":1}"' in pieces[2]


def test_it_knows_a_name_that_was_cut_and_one_that_is_repeated() -> None:
    cut = [call(0, id="a", name="we"), call(0, name="ather"), call(0, '{"a":1'), call(0, "}", name="weather")]
    assert both(*cut) == [use("a", "weather", a=1)]


def test_it_calls_tools_that_take_nothing() -> None:
    assert both(call(0, id="a", name="one"), call(1, "null", id="b", name="two")) == [use("a", "one"), use("b", "two")]


@pytest.mark.parametrize("arguments", ["[1]", "sorry", "5", '"{}"'])
def test_it_says_so_where_arguments_are_no_object(arguments: str) -> None:
    assert both(call(0, arguments, id="a", name="one")) == [use("a", "one", INVALID_JSON=arguments)]


def test_it_says_so_of_a_whole_answer_where_they_are_cut_off() -> None:
    deltas = [call(0, '{"a": "b', id="a", name="one")]
    assert whole(*deltas, finish="length")["content"] == [use("a", "one", INVALID_JSON='{"a": "b')]
    events = streamed(*deltas, finish="length")
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    assert [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"] == [
        '{"a": "b'
    ]


def test_it_holds_texts_until_the_call_before_them_is_whole() -> None:
    deltas = [Delta("Let "), call(0, '{"a"', id="a", name="one"), Delta("me."), call(0, ":1}"), Delta("!")]
    assert both(*deltas) == [{"type": "text", "text": "Let "}, use("a", "one", a=1), {"type": "text", "text": "me.!"}]


def test_it_signs_thinking_where_it_ends() -> None:
    thoughts = [{"signature": "one", "characters": 3}, {"data": "ZGF0YQ=="}, {"signature": "two", "characters": 2}]
    deltas = [
        Delta(reasoning="hm"),
        Delta(reasoning="m"),
        Delta(reasoning="so", extra_content={"thoughts": thoughts[:2]}),
        Delta("Yes", extra_content={"thoughts": thoughts[2:]}),
        Delta("."),
    ]
    wanted = [
        {"type": "thinking", "thinking": "hmm", "signature": "one"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "thinking", "thinking": "so", "signature": "two"},
        {"type": "text", "text": "Yes."},
    ]
    assert both(*deltas) == wanted
    at_once = Delta("Yes.", reasoning="hmmso", extra_content={"thoughts": thoughts})
    assert both(at_once) == wanted  # an answer that was kept


def test_it_does_not_sign_what_was_changed() -> None:
    deltas = [Delta(reasoning="h"), Delta("Yes", extra_content={"thoughts": [{"signature": "s", "characters": 9}]})]
    assert both(*deltas)[0] == {"type": "thinking", "thinking": "h", "signature": ""}


def test_it_signs_thinking_that_is_not_shown() -> None:
    deltas = [Delta("Yes", extra_content={"thoughts": [{"signature": "s", "characters": 0}]})]
    assert both(*deltas)[0] == {"type": "thinking", "thinking": "", "signature": "s"}


def test_it_seals_what_has_to_come_back_with_a_call() -> None:
    extra = {"google": {"thought_signature": "c2ln"}}
    sealed, made = both(call(0, "{}", id="a", name="one", extra_content=extra))
    assert sealed["type"] == "redacted_thinking" and opened(sealed["data"], "at") == extra
    assert made == use("a", "one")


@pytest.mark.parametrize("extra", [5, "x", [1], {"thinking": 5}, {"thinking": {"blocks": 5}}])
def test_it_takes_nonsense_beside_a_call_for_what_has_to_come_back_or_for_nothing(extra: Any) -> None:
    made = both(call(0, "{}", id="a", name="one", extra_content=extra))
    assert made[-1] == use("a", "one") and len(made) == (2 if isinstance(extra, dict) else 1)


def test_it_does_not_seal_what_a_block_has_told() -> None:
    block = {"signature": "s", "characters": 2}
    extra = {"thinking": {"blocks": [block]}}
    told = call(0, "{}", id="a", name="one", extra_content=extra)
    signed = Delta(reasoning="hm"), Delta(tool_calls=told.tool_calls, extra_content={"thoughts": [block]})
    assert [each["type"] for each in both(*signed)] == ["thinking", "tool_use"]
    assert [each["type"] for each in both(Delta(reasoning="hm"), told)] == ["thinking", "redacted_thinking", "tool_use"]


@pytest.mark.parametrize(
    ("finish", "deltas", "reason"),
    [
        ("stop", [Delta("a")], "end_turn"),
        ("length", [Delta("a")], "max_tokens"),
        ("tool_calls", [call(0, "{}", id="a", name="b")], "tool_use"),
        ("stop", [call(0, "{}", id="a", name="b")], "tool_use"),
        ("content_filter", [Delta("a")], "refusal"),
        ("stop", [Delta(refusal="No.")], "refusal"),
        ("invented", [Delta("a")], "end_turn"),
    ],
)
def test_it_says_why_it_stopped(finish: str, deltas: list[Delta], reason: str) -> None:
    assert whole(*deltas, finish=finish)["stop_reason"] == reason
    assert streamed(*deltas, finish=finish)[-2]["delta"] == {"stop_reason": reason, "stop_sequence": None}


def test_it_names_the_sequence_that_was_asked_for() -> None:
    answer = Whole(START)
    answer.feed(Delta("a"))
    assert answer.end(done(stop_sequence="END"), ["END"])["stop_sequence"] == "END"
    answer = Whole(START)
    assert answer.end(done(stop_sequence="other"), ["END"])["stop_reason"] == "end_turn"


TEXTS = st.text(min_size=1, max_size=5)
ARGUMENTS = st.dictionaries(TEXTS, st.integers(0, 9), max_size=3).map(json.dumps)


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[list[Delta], list[Json], dict[str, str]]:
    """Deltas in any order that keeps each text and each call in its own, the calls and the texts of it."""
    arguments = draw(st.lists(ARGUMENTS, max_size=3))
    queues: list[list[Delta]] = []
    for index, raw in enumerate(arguments):
        cut = draw(st.integers(0, len(raw)))
        pieces = [raw[:cut], raw[cut:]]
        queues.append([call(index, id=f"c{index}", name="n"), *(call(index, piece) for piece in pieces)])
    said = draw(st.lists(TEXTS, max_size=4))
    thought = draw(st.lists(TEXTS, max_size=4))
    queues += [[Delta(text) for text in said], [Delta(reasoning=text) for text in thought]]
    deltas = []
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        deltas.append(queue.pop(0))
    uses = [use(f"c{index}", "n", **json.loads(raw)) for index, raw in enumerate(arguments)]
    return deltas, uses, {"text": "".join(said), "thinking": "".join(thought)}


@settings(max_examples=60, deadline=None)
@given(mixtures())
def test_it_loses_nothing_in_any_order(mixture: tuple[list[Delta], list[Json], dict[str, str]]) -> None:
    deltas, uses, texts = mixture
    blocks = both(*deltas)
    assert sorted((b for b in blocks if b["type"] == "tool_use"), key=lambda block: block["id"]) == uses
    for kind, text in texts.items():
        assert "".join(block[kind] for block in blocks if block["type"] == kind) == text
