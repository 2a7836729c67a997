from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.refusals import MAX_MESSAGE, broken_stream, refusal, retry_after
from engine.errors import (
    ContextTooLong,
    EngineError,
    UpstreamBusy,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)

KEY = "sk-very-secret"


def said(status: int, error: Any, **headers: str) -> EngineError:
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return refusal(status, named, json.dumps({"error": error}).encode(), KEY)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, UpstreamError),
        (400, UpstreamRejected),
        (401, UpstreamError),
        (402, UpstreamError),
        (403, UpstreamError),
        (404, UpstreamError),
        (408, UpstreamTimeout),
        (413, UpstreamRejected),
        (422, UpstreamRejected),
        (429, UpstreamBusy),
        (500, UpstreamError),
        (503, UpstreamError),
        (504, UpstreamTimeout),
        (529, UpstreamError),
    ],
)
def test_it_knows_the_statuses(status: int, kind: type[EngineError]) -> None:
    error = said(status, {"message": f"secret words {KEY}"})
    assert type(error) is kind
    assert KEY not in str(error)
    if kind is not UpstreamRejected:
        assert "secret words" not in str(error)


def test_it_shows_what_is_wrong_with_a_request() -> None:
    error = said(400, {"message": f"temperature\nmust be at most 2 {KEY}", "param": "temperature", "code": None})
    assert error.message == "temperature must be at most 2 ***"
    assert error.param == "temperature"
    assert len(said(422, "x" * 10_000).message) == MAX_MESSAGE


@pytest.mark.parametrize(
    ("param", "shown"),
    [
        ("messages[0].content", "messages[0].content"),
        ("tools.0.function.name", "tools.0.function.name"),
        (f"stop.{KEY}", "stop.***"),
        (f"outonly {KEY}", None),
        ("你好", None),
        ("", None),
        ("a" * 101, None),
        (KEY, "***"),
        (f"{'a' * 10_000}", None),
    ],
)
def test_it_shows_a_field_of_the_request_and_no_other_text(param: str, shown: str | None) -> None:
    assert said(400, {"message": "no", "param": param}).param == shown


@pytest.mark.parametrize(
    "error",
    [
        {"message": "…", "code": "context_length_exceeded"},
        {"message": "This model's maximum context length is 4096 tokens. However, you requested 5000", "code": 400},
        {"code": 400, "message": "the request exceeds the available context size", "type": "invalid_request_error"},
        {"code": 400, "message": "…", "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8},
        {"message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096."},
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Range of input length should be [1, 30720]",
        "Please reduce the length of the messages or completion.",
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 100 `max_new_tokens`",
        "too many tokens: total number of tokens in the prompt exceeds the limit",
        "tokens to keep from the initial prompt is greater than the context length",
    ],
)
def test_it_knows_a_conversation_that_is_too_long(error: Any) -> None:
    assert type(said(400, error)) is ContextTooLong


@pytest.mark.parametrize(
    ("error", "window", "tokens"),
    [
        ("This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
         4096, 5000),
        ("This endpoint's maximum context length is 4096 tokens. However, you requested about 5000 tokens", 4096, 5000),
        ("prompt is too long: 210000 tokens > 200000 maximum", 200000, 210000),
        ("The input token count (1100) exceeds the maximum number of tokens allowed (1000).", 1000, 1100),
        ("The input (300 tokens) is longer than the model's context length (262 tokens).", 262, 300),
        ("Prompt contains 300,000 tokens and 0 draft tokens, too large for model with 131,072 maximum context length",
         131072, 300000),
        ("Your request exceeded model token limit: 8192 (requested: 9000)", 8192, 9000),
        ("Too many input tokens. Max input tokens: 8192, request input token count: 9279", 8192, 9279),
        ("Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 509178 tokens.",
         272000, 509178),
        ({"type": "exceed_context_size_error", "message": "…", "n_prompt_tokens": 9, "n_ctx": 8}, 8, 9),
        ("maximum context length is 8", 8, None),
        ("Input is too long for requested model.", None, None),
    ],
)  # fmt: skip
def test_it_reads_how_long_it_is_and_may_be(error: Any, window: int | None, tokens: int | None) -> None:
    refused = said(400, error)
    assert isinstance(refused, ContextTooLong) and (refused.window, refused.tokens) == (window, tokens)


def test_it_reads_an_error_without_envelope() -> None:
    body = json.dumps({"object": "error", "message": "maximum context length is 9", "type": "BadRequestError"}).encode()
    assert type(refusal(400, {}, body)) is ContextTooLong


def test_it_does_not_wait_for_an_empty_account() -> None:
    error = said(429, {"message": "You exceeded your current quota", "code": "insufficient_quota"})
    assert type(error) is UpstreamError


def test_it_passes_on_how_long_to_wait() -> None:
    assert said(429, "slow", retry_after="7").retry_after == 7
    assert said(503, "loading", retry_after="2").retry_after == 2
    assert said(429, "slow").retry_after is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("1.5", 1.5), ("-3", 0), ("1e9", 3600), ("nan", None), ("inf", None), ("soon", None), ("", None)],
)
def test_it_reads_retry_after_as_seconds(value: str, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_it_reads_retry_after_as_a_date() -> None:
    wait = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True))
    assert wait is not None
    assert 60 < wait <= 100
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0


def test_it_reads_a_rate_limit_inside_a_stream() -> None:
    assert type(broken_stream({"code": 429, "message": "slow down"})) is UpstreamBusy
    assert type(broken_stream({"message": "boom"})) is UpstreamError
    assert type(broken_stream("boom")) is UpstreamError


@given(
    st.integers(100, 999),
    st.binary()
    | st.builds(
        lambda value: json.dumps(value).encode(),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text() | st.just("error"),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "param"]), inner)
            ),
        ),
    ),
    st.text(),
)
def test_it_makes_an_engine_error_of_anything(status: int, body: bytes, wait: str) -> None:
    assert isinstance(refusal(status, {"Retry-After": wait}, body, KEY), EngineError)
