"""Bodies that must be refused with a 4xx by every edge that takes a chat request, or one for embeddings."""

from __future__ import annotations

import json
from typing import Any

import pytest

HI: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]


def _body(**fields: Any) -> bytes:
    return json.dumps({"messages": HI, **fields}).encode()


def _said(content: str) -> bytes:
    return b'{"messages":[{"role":"user","content":' + content.encode() + b"}]}"


def _deep(levels: int) -> bytes:
    return b'{"messages":[{"role":"user","content":"Hi"}],"metadata":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"


CASES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"hello",
    "half": b'{"messages":[',
    "an array": b"[]",
    "a string": b'"hi"',
    "null": b"null",
    "an empty object": b"{}",
    "invalid UTF-8": b'{"messages":[{"role":"user","content":"\xff\xfe"}]}',
    "UTF-16": '{"messages":[{"role":"user","content":"Hi"}]}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + _body(),
    "NaN": b'{"messages":[{"role":"user","content":"Hi"}],"temperature":NaN}',
    "infinity": b'{"messages":[{"role":"user","content":"Hi"}],"temperature":1e400}',
    "a huge integer": b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":' + b"9" * 5000 + b"}",
    "a huge integer unasked for": b'{"messages":[{"role":"user","content":"Hi"}],"x":' + b"9" * 300 + b"}",
    "NUL": _said(r'"a\u0000b"'),
    "NUL in a key": b'{"messages":[{"role":"user","content":"Hi"}],"metadata":{"a\\u0000":1}}',
    "a raw NUL": b'{"messages":[{"role":"user","content":"a\x00b"}]}',
    "a lone surrogate": _said(r'"a\ud800b"'),
    "a lone low surrogate": _said(r'"\udc00"'),
    "depth 65": _deep(64),
    "depth 5,000": _deep(5000),
    "100,000 brackets": b"[" * 100_000,
    "5,000 keys": _body(metadata={str(number): 1 for number in range(5000)}),
    "2,001 messages": json.dumps({"messages": HI * 2001}).encode(),
    "no messages": json.dumps({"messages": []}).encode(),
    "messages of another kind": json.dumps({"messages": "Hi"}).encode(),
    "a message of another kind": json.dumps({"messages": ["Hi"]}).encode(),
    "null messages": json.dumps({"messages": None}).encode(),
    "an unknown role": json.dumps({"messages": [{"role": "king", "content": "Hi"}]}).encode(),
    "no role": json.dumps({"messages": [{"content": "Hi"}]}).encode(),
    "no content": json.dumps({"messages": [{"role": "user"}]}).encode(),
    "a number for content": _said("5"),
    "an unknown part": _said('[{"type": "smell"}]'),
    "a part without text": _said('[{"type": "text", "text": {"a": 1}}]'),
    "a tool result for nothing": json.dumps({"messages": [{"role": "tool", "content": "1"}]}).encode(),
    "tool calls without a function": json.dumps(
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]}
    ).encode(),
    "temperature in words": _body(temperature="hot"),
    "temperature 2.1": _body(temperature=2.1),
    "max_tokens 0": _body(max_tokens=0),
    "max_tokens 1.5": _body(max_tokens=1.5),
    "stream in words": _body(stream="yes"),
    "model 5": _body(model=5),
    "an empty model": _body(model=""),
    "tools of another kind": _body(tools={"a": 1}),
    "a tool without a name": _body(tools=[{"type": "function", "function": {}}]),
    "metadata of another kind": _body(metadata=[1]),
    "a long user": _body(user="u" * 257),
    "top_p 2": _body(top_p=2),
    "n 0": _body(n=0),
    "logit_bias in words": _body(logit_bias={"1": "a"}),
}


def _embedding(**fields: Any) -> bytes:
    return json.dumps({"input": "Hi", **fields}).encode()


# What `/v1/embeddings` must refuse. Its body is another, but its guard the same.
EMBEDDING_CASES: dict[str, bytes] = {
    **{name: body for name, body in CASES.items() if b'"messages"' not in body},
    "no input": b'{"model":"auto"}',
    "null input": _embedding(input=None),
    "an empty input": _embedding(input=""),
    "no inputs": _embedding(input=[]),
    "an empty one among inputs": _embedding(input=["a", ""]),
    "a number for an input": _embedding(input=5),
    "an object for an input": _embedding(input={"text": "a"}),
    "inputs of two kinds": _embedding(input=["a", 5]),
    "an object among inputs": _embedding(input=["a", {"text": "b"}]),
    "an empty list among inputs": _embedding(input=[[]]),
    "2,049 inputs": _embedding(input=["a"] * 2049),
    "5,000 inputs": _embedding(input=["a"] * 5000),
    "NUL in an input": b'{"input":"a\\u0000b"}',
    "a lone surrogate in an input": b'{"input":["a\\ud800b"]}',
    "invalid UTF-8 in an input": b'{"input":"\xff\xfe"}',
    "NaN for dimensions": b'{"input":"a","dimensions":NaN}',
    "0 dimensions": _embedding(dimensions=0),
    "1.5 dimensions": _embedding(dimensions=1.5),
    "dimensions in words": _embedding(dimensions="many"),
    "a billion dimensions": _embedding(dimensions=10**9),
    "an unknown form": _embedding(encoding_format="binary"),
    "a form of another kind": _embedding(encoding_format=["float"]),
    "a model that is a number": _embedding(model=5),
    "a model without a name": _embedding(model=""),
    "a user of another kind": _embedding(user={"id": 1}),
    "too long a user": _embedding(user="u" * 257),
}

CORPUS = [pytest.param(body, id=name) for name, body in CASES.items()]
EMBEDDING_CORPUS = [pytest.param(body, id=name) for name, body in EMBEDDING_CASES.items()]


def _large(mebibytes: int) -> bytes:
    return b'{"messages":[{"role":"user","content":"' + b"a" * (mebibytes * 1024 * 1024) + b'"}]}'


TOO_LARGE = _large(2)
TOO_LARGE_FOR_CHAT = _large(8)  # on /v1
