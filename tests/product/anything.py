"""Values, objects and bytes that nobody expects: what Hypothesis makes the clients of the fuzz tests say."""

from __future__ import annotations

import json
import os
from typing import Any, Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "120"))
QUICK: Final = settings(
    max_examples=EXAMPLES,
    phases=[Phase.generate],
    database=None,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)

TEXTS: Final = st.sampled_from(
    [
        "", "a", "auto", "scripted", "Hello", "\0", "a\0b", "\ud800", "\udfff\ud800", "\u202e", "﷽", "日本", "😀" * 50,
        "../../etc/passwd", "'; DROP TABLE tenants; --", "<script>", "${jndi:ldap://x}", "{{7*7}}", "%00", "a" * 5000,
        "0" * 32, "f" * 32 + ".3", "true", "null", "-1", "1e999", "\r\nX: y",
    ]
)  # fmt: skip
NUMBERS: Final = st.sampled_from([0, 1, -1, 2, 1.5, 1e308, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, -(10**30)])
LEAVES: Final = st.none() | st.booleans() | NUMBERS | TEXTS | st.text(max_size=8)
VALUES: Final = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
MESSAGES: Final = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant", "tool"]) | VALUES, "content": VALUES}
    ),
    max_size=3,
)
NAMES: Final = [
    "message", "messages", "model", "session_id", "stream", "temperature", "max_tokens", "tools", "tool_choice", "user",
    "metadata", "user_profile", "language", "stop", "n", "logit_bias", "response_format", "cache", "idempotency_key",
    "turn_id", "last_event_id", "logprobs", "seed", "top_p",
]  # fmt: skip


def objects(**wanted: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of the fields of a chat request."""
    few = st.dictionaries(st.sampled_from(NAMES), VALUES | MESSAGES, max_size=4)
    return st.tuples(few, st.fixed_dictionaries({}, optional=wanted)).map(lambda both: {**both[0], **both[1]})


def encoded(value: Any) -> bytes:
    """As JSON, lone surrogates as escapes."""
    return json.dumps(value).encode()


def deep(levels: int) -> bytes:
    return b'{"type":"chat","metadata":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"


HOSTILE: Final = st.sampled_from(
    [
        b"", b"{", b"}", b"[]", b"null", b'"', b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf{}", b"{}" * 100, deep(63),
        deep(65), deep(5000), b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}", b'{"a":1e400}', b'{"a":NaN}',
        b'{"type":"ping","type":"chat"}', b'{"type":"chat","message":"a\\u0000"}', b'{"message":"\\ud800"}',
        b'{"type":"chat","message":"' + b"a" * 300_000 + b'"}', b"[" + b"{}," * 50_000 + b"{}]",
        b'{"type":"chat","messages":[' + b'{"role":"user","content":"a"},' * 5000 + b"{}]}",
    ]
)  # fmt: skip
"""Bodies and frames that are known to have hurt somebody."""
