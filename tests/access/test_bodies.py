import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from access import bodies, schemas
from engine.errors import EngineError, InvalidRequest, PayloadTooLarge
from engine.types import ChatRequest

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\0", "user", "text"])
KEYS = st.text(max_size=5) | st.sampled_from(
    [
        *(
            "messages",
            "message",
            "role",
            "content",
            "type",
            "text",
            "tool_calls",
            "function",
            "id",
            "name",
            "arguments",
        ),
        *("model", "temperature", "max_tokens", "tools", "stop", "n", "user", "metadata", "session_id", "language"),
    ]
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


def refused(body, kind=InvalidRequest):
    with pytest.raises(kind) as caught:
        bodies.parse(body)
    return caught.value


def test_it_returns_the_object():
    assert bodies.parse(b'{"a": [1, {"b": null}], "c": "\xe4\xbd\xa0"}') == {"a": [1, {"b": None}], "c": "你"}


def test_it_keeps_the_last_of_duplicate_keys():
    assert bodies.parse(b'{"a": 1, "a": 2}') == {"a": 2}


def test_it_takes_64_levels_and_no_more():
    def nested(levels):
        return b'{"a":' * levels + b"1" + b"}" * levels

    assert bodies.parse(nested(64))
    assert "64 levels" in refused(nested(65)).message


def test_it_allows_many_brackets_that_do_not_nest():
    assert len(bodies.parse(json.dumps({"a": [{}] * 3000}).encode())["a"]) == 3000


def test_it_does_not_mistake_text_for_structure():
    text = "[{" * 5000 + "," * 9000 + "12345678901234567890123" + "\\u0000"
    assert bodies.parse(json.dumps({"a": text}).encode())["a"] == text


def test_it_names_what_holds_a_nul():
    error = refused(rb'{"messages": [{"content": "a"}, {"content": "\u0000"}]}')
    assert error.param == "messages[1].content"


def test_it_refuses_a_nul_in_a_key():
    assert refused(rb'{"a": {"b\u0000": 1}}').param == "a"


def test_it_refuses_huge_integers_and_says_where():
    assert refused(b'{"a": {"seed": 99999999999999999999999}}').param == "a.seed"


@pytest.mark.parametrize("number", [b"18446744073709551615", b"-9223372036854775808", b"0.12345678901234567890123"])
def test_it_takes_every_number_that_can_be_kept(number):
    assert bodies.parse(b'{"a": ' + number + b"}")["a"] == json.loads(number)


def test_it_bounds_keys_elements_and_bytes():
    assert refused(json.dumps({"a": dict.fromkeys(map(str, range(4097)))}).encode()).param == "a"
    assert refused(json.dumps({"a": [0] * 4097}).encode()).param == "a"
    assert "32768" in refused(json.dumps({"a": [[0] * 4000] * 9}).encode()).message
    refused(b'{"a":"' + b"x" * bodies.MAX_BYTES + b'"}', PayloadTooLarge)


@given(st.binary())
@example(b"[" * 100_000)
@example(b'{"a":' * 2000)
@example(b'{"a":"\\ud800"}')
@example(b"\xff\xfe{\x00}\x00")
def test_it_lets_nothing_but_its_own_errors_out(body):
    with suppress(EngineError):
        assert isinstance(bodies.parse(body), dict)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_it_makes_a_request_or_an_error_of_every_object(value):
    body = json.dumps(value).encode()
    for build in (
        lambda: schemas.chat_request(bodies.parse(body), edge="rest", request_id="r"),
        lambda: schemas.openai_request(bodies.parse(body), request_id="r"),
    ):
        with suppress(EngineError):
            request = build()
            assert isinstance(request, ChatRequest) and request.messages


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_it_lets_no_nul_and_no_depth_through(value):
    def check(inner, depth):
        assert depth <= bodies.MAX_DEPTH
        if isinstance(inner, str):
            assert "\0" not in inner
        for child in inner if isinstance(inner, list) else inner.values() if isinstance(inner, dict) else ():
            check(child, depth + 1)
        for key in inner if isinstance(inner, dict) else ():
            assert "\0" not in key

    with suppress(EngineError):
        check(bodies.parse(json.dumps(value).encode()), 0)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
@example({"a": [float("nan")]})
@example({"a": {"b\0": 1}})
@example({"a": [["\0"]]})
@example({"a": -(2.0**64)})
@example({"a": [0] * (bodies.MAX_WIDTH + 1)})
@example({"a": [[0] * bodies.MAX_WIDTH] * 8})
def test_what_is_found_sound_at_once_is_what_the_walk_finds_sound(body):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "_sound", lambda root: False)
        try:
            bodies.check(body)
        except InvalidRequest:
            walked = False
        else:
            walked = True
    assert bodies._sound(body) is walked


@pytest.mark.parametrize("levels", [bodies.MAX_DEPTH, bodies.MAX_DEPTH + 1])
def test_an_object_may_have_as_many_levels_as_bytes_may(levels):
    body = {}
    for _ in range(levels - 1):
        body = {"a": body}
    assert bodies._sound(body) is (levels <= bodies.MAX_DEPTH)
