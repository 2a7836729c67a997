"""The bytes that go on say what the deltas say, whatever a service sends and however it is cut."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.openai_answers import StreamedAnswer
from adapters.openai_verbatim import OWN, Verbatim
from adapters.sse import EventParser
from engine.errors import EngineError
from engine.types import Delta
from tests.adapters import upstream as wire
from tests.adapters.test_openai_conformance import RECORDED
from tests.adapters.test_openai_fuzz import bodies
from tests.adapters.test_text_chunks import LIKE_OPENAI, LIKE_VLLM, odd


def strict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "a member twice"
    return dict(pairs)


def told(pieces: list[bytes] | None) -> list[Any]:
    """The choices in members that go on, as any reader understands them."""
    found = []
    for piece in pieces or ():
        assert b"\n" not in piece and b"\r" not in piece
        body = json.loads(b"{" + piece + b"}", object_pairs_hook=strict)
        assert OWN.isdisjoint(body) and body["choices"]
        found += body["choices"]
    return found


def texts(said: list[Any]) -> dict[tuple[int, str], str]:
    """By choice and kind; of calls, their arguments."""
    found: dict[tuple[int, str], str] = {}
    for index, delta in said:
        calls = delta.get("tool_calls") or ()
        spoken = {name: delta.get(name) for name in ("content", "reasoning_content", "refusal")}
        spoken["calls"] = "".join((call.get("function") or {}).get("arguments") or "" for call in calls)
        for kind, text in spoken.items():
            if text:
                found[index, kind] = found.get((index, kind), "") + text
    return found


def plain(delta: Delta) -> tuple[int, Any]:
    return delta.index, {
        "content": delta.content,
        "reasoning_content": delta.reasoning,
        "refusal": delta.refusal,
        "tool_calls": delta.tool_calls,
    }


def checked(pieces: list[bytes]) -> int:
    """How many bursts of an answer went on as they came."""
    verbatim = Verbatim("m", ("sk-key",), streamed=True)
    answer = StreamedAnswer("sk-key", verbatim)
    spoken: set[int] = set()  # choices whose role is known to the caller
    passed = 0
    ended: list[Any] = []
    try:
        for piece in pieces:
            deltas = list(answer.feed(piece))
            if not deltas:
                continue
            kept = verbatim.burst(deltas)
            if kept is not None:
                choices = told(kept)
                heard = texts([(choice["index"], choice["delta"]) for choice in choices])
                assert heard == texts([plain(delta) for delta in deltas])
                assert not any(choice.get("finish_reason") for choice in choices)
                roles = [choice["index"] for choice in choices if choice["delta"].get("role")]
                assert {delta.index for delta in deltas} <= spoken | set(roles)
                spoken |= set(roles)
                passed += 1
            spoken |= {delta.index for delta in deltas}
            if answer.done:
                break
        rest = list(answer.finish())
        end = answer.end()
    except EngineError:
        return passed
    if end.verbatim is not None:
        assert not rest
        ended = told(end.verbatim)
        finishes = {choice["index"]: choice["finish_reason"] for choice in ended if choice.get("finish_reason")}
        assert finishes == end.finish_reasons
        assert texts([(choice["index"], choice["delta"]) for choice in ended]) == {}
    return passed


@given(st.lists(st.integers(0, len(RECORDED)), max_size=20))
def test_a_recorded_stream_says_the_same_in_its_bytes(cuts: list[int]) -> None:
    marks = [0, *sorted(cuts), len(RECORDED)]
    checked([RECORDED[start:stop] for start, stop in zip(marks, marks[1:], strict=False)])


@pytest.mark.parametrize("stream", [LIKE_OPENAI, LIKE_VLLM], ids=["OpenAI", "vLLM"])
def test_plain_streams_go_on(stream: list[bytes]) -> None:
    assert checked(stream) and checked([b"".join(stream)]) == (1 if stream is LIKE_OPENAI else 0)


twice = st.sampled_from(
    [
        b'data: {"choices":[{"index":0,"delta":{"content":"a","content":"b"},"finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}],"x":"\xff"}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"a\\""},"finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"\\\\"},"finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a\\"},\\"x\\":1"},"finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"x":"","finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a","x":"b"},"finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"obfuscation":"ab"}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"obfuscation":"a\\"b"}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"obfuscation":"","id":"1"}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content": "a"}, "finish_reason": null}], "usage": null}\n\n',
        wire.chunk({"role": "assistant", "content": "a"}, finish_reason=None),
        wire.chunk({"reasoning_content": "b"}),
        wire.chunk({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"arguments": "{"}}]}),
        wire.chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}),
    ]
)
events = st.sampled_from([*LIKE_OPENAI[:-1], *LIKE_VLLM[:-1]]) | twice | odd | bodies.map(wire.event)


@settings(max_examples=500, deadline=None)
@example([wire.chunk({"role": "assistant", "content": ""}), wire.chunk({"content": "a"}, "stop")], True)
@given(st.lists(events), st.booleans())
def test_junk_says_the_same_in_its_bytes_or_stays_here(pieces: list[bytes], together: bool) -> None:
    checked([b"".join(pieces)] if together else [piece for piece in pieces if piece])


@given(st.text(), st.text())
def test_events_alike_go_on_with_their_own_text(first: str, second: str) -> None:
    """An event known by the bytes around its text is what looking closely makes of it."""
    for spelled in (True, False):
        made = [
            json.dumps(
                {"id": "x", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], "y": [1.0]},
                ensure_ascii=spelled,
            ).encode("utf-8", "replace")
            for text in (first, second)
        ]
        verbatim = Verbatim("shown", (), streamed=True)
        for data in made:
            verbatim.add(data, spoke=True)
        closely = []
        for data in made:
            other = Verbatim("shown", (), streamed=True)
            other.add(data, spoke=True)
            closely += other._pieces or [b"none"]
        assert verbatim._pieces == closely or b"none" in closely


def test_silent_events_are_kept_for_a_while_only() -> None:
    verbatim = Verbatim("shown", (), streamed=True)
    role = EventParser().feed(wire.chunk({"role": "assistant", "content": ""}))[0]
    for _ in range(10_000):
        verbatim.add(role, spoke=False)
    assert verbatim._pieces is None
    assert verbatim.burst([Delta("a")]) is None and verbatim.burst([Delta("b")]) == []


def test_many_events_that_differ_take_time_by_their_number_alone() -> None:
    """Each is looked at closely; looking for others like it does not begin again with each."""
    event = '{"choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":null}],"x":%d}'
    lines = "\n".join(event % (number % 2) for number in range(20_000)).encode()
    verbatim = Verbatim("shown", (), streamed=True)
    began = time.process_time()
    verbatim.add_lines(lines, [True] * 20_000)
    assert time.process_time() - began < 20
    assert len(verbatim.burst([Delta("a")]) or ()) == 20_000


# What looked fit and was not ------------------------------------------------------------------------------------------

BEGUN = b'{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}'
SPOKE = b'"choices":[{"index":0,"delta":{"content":"y"},"finish_reason":null}]'
ENDED = b'{"choices":[{"index":0,"delta":{},"finish_reason":"%b"}]}'


def passed(*events: bytes, together: bool = False, hidden: tuple[str, ...] = ("sk-key",)) -> tuple[bytes, Any]:
    """What went on of a stream, one event a line, and its end. Nothing but what a service may be told fails it."""
    verbatim = Verbatim("m", hidden, streamed=True)
    answer = StreamedAnswer("sk-key", verbatim)
    kept: list[bytes] = []
    sent = [b"data: %b\n\n" % event for event in events]
    for piece in [b"".join(sent)] if together else sent:
        if deltas := list(answer.feed(piece)):
            pieces = verbatim.burst(deltas)
            told(pieces)
            kept += pieces or [b"encoded"]
    assert not list(answer.finish())
    return b"\n".join(kept), answer.end()


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    "event",
    [
        b'{"choices":[{"index":0,"delta":{"reasoning_content":"y"},"finish_reason":null}],"x":{"content":"%b"}}',
        b'{"choices":[{"index":0,"delta":{"content" :"y"},"finish_reason":null}],"x":{"content":"%b"}}',
        b'{"choices":[{"index":0,"delta":{"cont\\u0065nt":"y"},"finish_reason":null}],"content":"%b"}',
        b'{"usage":{"content":"%b"},"content" :"b",'
        b'"choices":[{"index":0,"delta":{"content" :"y"},"finish_reason":null}]}',
        b'{"choices":[{"index":0,"delta":{"content":"y"},"finish_reason":null,"x":{"arguments":"%b"}}]}',
    ],
)
def test_another_member_of_a_texts_name_is_no_text(event: bytes, together: bool) -> None:
    kept, _ = passed(BEGUN, event % b"some", event % b"Bearer sk-key", ENDED % b"stop", together=together)
    assert b"sk-key" not in kept


def test_padding_may_be_where_nothing_goes_on() -> None:
    event = b'{%b,"usage":{"obfuscation":"ab"}}' % SPOKE
    kept, _ = passed(BEGUN, event, event, ENDED % b"stop")
    assert kept.count(SPOKE) == 2 and b"obfuscation" not in kept


def test_a_hidden_name_may_have_signs_that_json_escapes() -> None:
    for name, spelled in (("C:\\models\\llama", b"C:\\\\models\\\\llama"), ('a"b', b'a\\"b'), ('a"b', b"a\\u0022b")):
        kept, _ = passed(BEGUN, b'{%b,"x":"%b"}' % (SPOKE, spelled), ENDED % b"stop", hidden=(name,))
        assert kept == b"encoded"
        said = SPOKE.replace(b'"y"', b'"%b"' % spelled)
        assert said in passed(BEGUN, b"{%b}" % said, ENDED % b"stop", hidden=(name,))[0]


def test_a_services_own_name_for_its_model_is_hidden_in_later_events_too() -> None:
    for first in (b'{"model":"own-7",%b}' % SPOKE, b'{"model":"own-7","choices":[]}'):
        kept, end = passed(BEGUN, first, b'{%b,"served":"own-7"}' % SPOKE, ENDED % b"stop")
        assert b"own-7" not in kept and end.verbatim is not None
    names = [b'{"model":"own-%d",%b,"x":"own-%d"}' % (number, SPOKE, number) for number in range(100)]
    assert b"own-" not in passed(BEGUN, *names, ENDED % b"stop")[0]


def test_a_choice_ends_once_and_as_it_is_on_record() -> None:
    text = b"{%b}" % SPOKE
    for ends in ((b"stop", b"length"), (b"stop", b"max_tokens"), (b"stop", b"stop")):
        for more in ((), (text,)):
            kept, end = passed(BEGUN, text, *(ENDED % reason for reason in ends), *more)
            finishes = [choice["finish_reason"] for choice in told(end.verbatim) if choice.get("finish_reason")]
            assert finishes in ([], [end.finish_reasons[0]])


def test_no_call_is_on_record_that_nobody_made() -> None:
    event = b"{%b}" % SPOKE.replace(b'"y"', b'"y","function_call":{}')
    answer = StreamedAnswer()
    assert list(answer.feed(b"data: %b\n\n" % event)) == [Delta("y")]
    assert list(answer.feed(b"data: [DONE]\n\n")) == [] and answer.end().finish_reasons == {0: "stop"}


def test_no_depth_fails_but_as_no_answer() -> None:
    outcomes = set()
    for depth in range(800, 1000):
        event = b'{%b,"x":%b"\\n"%b}' % (SPOKE, b"[" * depth, b"]" * depth)
        try:
            outcomes.add(passed(BEGUN, event, event, ENDED % b"stop")[0] == b"encoded")
        except EngineError:
            outcomes.add(True)
    assert True in outcomes


@pytest.mark.parametrize("values", [b'{"a":{}},', b"1,", b'{ "a":"\\/"},'])
def test_what_holds_millions_of_values_is_not_looked_at(values: bytes) -> None:
    event = b'{%b,"x":[%b1]}' % (SPOKE, values * (8_000_000 // len(values) - 100))
    verbatim = Verbatim("m", (), streamed=True)
    began = time.process_time()
    verbatim.add(event, spoke=True)
    assert time.process_time() - began < 0.1 and verbatim.burst([Delta("y")]) is None


def test_a_large_text_goes_on() -> None:
    event = b'"choices":[{"index":0,"delta":{"role":"assistant","content":"y","image":"%b"}}]' % (b"A" * 4_000_000)
    event = event.replace(b"}}]", b'},"finish_reason":null}]')
    assert passed(b"{%b}" % event, ENDED % b"stop")[0] == event


def test_silent_events_that_come_together_are_kept_for_a_while_only() -> None:
    verbatim = Verbatim("m", (), streamed=True)
    answer = StreamedAnswer("", verbatim)
    silent = b"data: {%b}\n\n" % SPOKE.replace(b'"y"', b'""')
    for _ in range(100):
        assert not list(answer.feed(silent * 100))
    assert verbatim._pieces is None


def test_a_whole_answer_with_a_number_twice_is_made_anew() -> None:
    call = '{"index":%d,"id":"c","type":"function","function":{"name":"f","arguments":""}}'
    choice = '{"index":%d,"message":{"role":"assistant","content":"a","tool_calls":[%s]},"finish_reason":"stop"}'
    for calls, choices, goes_on in (((0, 1), (0, 1), True), ((0, 0), (0, 1), False), ((0, 1), (0, 0), False)):
        asked = ",".join(call % number for number in calls)
        body = f'{{"choices":[{",".join(choice % (number, asked) for number in choices)}]}}'
        answer = StreamedAnswer("", Verbatim("m", (), streamed=False))
        answer.read(body.encode())
        assert (answer.end().verbatim is not None) is goes_on
