"""What an answer says of the limits its turn counted against, in the headers of two wire formats.

Sources: OpenAI's and Anthropic's API references (rate limits). Where several limits apply the tightest is told."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime

from engine.types import RateLimits, Window

Headers = list[tuple[bytes, bytes]]


def openai(limits: RateLimits | None) -> Headers:
    """`x-ratelimit-limit-requests`, `-remaining-requests`, `-reset-requests` and the same of tokens. A reset is how
    long until there is more again, such as `6m0s` or `120ms`."""
    if limits is None:
        return []
    requests, tokens = limits.requests, limits.tokens
    headers: Headers = []
    if requests is not None:
        headers += (
            (b"x-ratelimit-limit-requests", b"%d" % requests.limit),
            (b"x-ratelimit-remaining-requests", b"%d" % requests.remaining),
            (b"x-ratelimit-reset-requests", duration(requests.reset).encode()),
        )
    if tokens is not None:
        headers += (
            (b"x-ratelimit-limit-tokens", b"%d" % tokens.limit),
            (b"x-ratelimit-remaining-tokens", b"%d" % tokens.remaining),
            (b"x-ratelimit-reset-tokens", duration(tokens.reset).encode()),
        )
    return headers


def anthropic(limits: RateLimits | None) -> Headers:
    """`anthropic-ratelimit-requests-limit`, `-remaining`, `-reset` and the same of tokens. A reset is a moment by
    RFC 3339."""
    if limits is None:
        return []
    headers: Headers = []
    for kind, window in ((b"requests", limits.requests), (b"tokens", limits.tokens)):
        if window is not None:
            name = b"anthropic-ratelimit-" + kind
            headers.append((name + b"-limit", b"%d" % window.limit))
            headers.append((name + b"-remaining", b"%d" % window.remaining))
            headers.append((name + b"-reset", _moment(window).encode()))
    return headers


def duration(seconds: float) -> str:
    """As OpenAI writes it: minutes and seconds, or milliseconds under one second; rounded up."""
    milliseconds = math.ceil(max(0.0, seconds) * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds / 1000, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"


def _moment(window: Window) -> str:
    at = datetime.fromtimestamp(math.ceil(time.time() + window.reset), UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
