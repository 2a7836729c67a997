from __future__ import annotations

import pytest

from access import errors, rate_limits
from access.asgi import turn_headers
from engine.errors import BudgetExceeded, RateLimited
from engine.types import RateLimits, Start, Window

LIMITS = RateLimits(requests=Window(60, 59, 59.2), tokens=Window(1000, 744, 0.0153))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (-3, "0ms"), (0.0121, "13ms"), (1, "1s"), (7.66, "7.66s"), (60, "1m0s"), (90.5, "1m30.5s")],
)
def test_it_writes_durations_as_openai_does(seconds, text):
    assert rate_limits.duration(seconds) == text


def test_it_tells_the_limits_of_a_turn():
    headers = dict(turn_headers(Start("1", None, "m", limits=LIMITS)))
    assert {name: value for name, value in headers.items() if name.startswith(b"x-ratelimit")} == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"59",
        b"x-ratelimit-reset-requests": b"59.2s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"744",
        b"x-ratelimit-reset-tokens": b"16ms",
    }
    assert not any(b"ratelimit" in name for name, _ in turn_headers(Start("1", None, "m")))


def test_it_tells_them_in_anthropics_words():
    headers = dict(rate_limits.anthropic(LIMITS))
    assert headers[b"anthropic-ratelimit-requests-limit"] == b"60"
    assert headers[b"anthropic-ratelimit-tokens-remaining"] == b"744"
    assert headers[b"anthropic-ratelimit-tokens-reset"].endswith(b"Z")
    assert rate_limits.anthropic(None) == []


def test_it_tells_them_with_an_error_and_when_to_come_back():
    error = RateLimited(retry_after=12.3)
    error.limits = RateLimits(requests=Window(10, 0, 12.3))
    said = dict(errors.headers(error))
    assert said["Retry-After"] == "13" and said["x-ratelimit-reset-requests"] == "12.3s"
    assert "Retry-After" not in dict(errors.headers(BudgetExceeded()))
    assert dict(errors.headers(BudgetExceeded(retry_after=3600)))["Retry-After"] == "3600"
