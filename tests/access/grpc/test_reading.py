"""What is counted before it is converted."""

from __future__ import annotations

import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from access.edges.grpc import reading
from access.edges.grpc.generated import chat_pb2 as pb
from engine.errors import InvalidRequest

MANY = 5000
CALLS = pb.Message(role="assistant", tool_calls=[pb.ToolCall()] * 4000)
NULLS = Value(list_value=ListValue(values=[Value()] * 4000))


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (pb.ChatRequest(messages=[pb.Message()] * MANY), "messages"),
        (pb.ChatRequest(messages=[pb.Message(parts=[pb.ContentPart()] * MANY)]), "parts"),
        (pb.ChatRequest(messages=[CALLS] * 10), None),
        (pb.ChatRequest(tools=[pb.Tool()] * MANY), "tools"),
        (pb.ChatRequest(stop=[""] * MANY), "stop"),
        (pb.ChatRequest(logit_bias={str(number): 1.0 for number in range(MANY)}), "logit_bias"),
        (pb.ChatRequest(metadata=Struct(fields={str(number): Value() for number in range(MANY)})), "fields"),
        (
            pb.ChatRequest(metadata=Struct(fields={"a": NULLS, "b": Value(list_value=ListValue(values=[NULLS] * 9))})),
            None,
        ),
    ],
)
def test_it_converts_nothing_of_what_holds_too_much(monkeypatch, asked, param):
    converted = []
    for name in reading._FIELDS:
        monkeypatch.setitem(reading._FIELDS, name, converted.append)
    with pytest.raises(InvalidRequest, match="The body has more than") as refused:
        reading.chat_body(asked)
    assert refused.value.param == param
    assert converted == []


def test_what_is_large_and_holds_little_is_converted():
    asked = pb.ChatRequest(messages=[pb.Message(role="user", content="x" * 100_000)], tools=[pb.Tool(name="look")])
    asked.metadata.update({"a": [1, {"b": None}], "c": "x"})
    asked.logit_bias["5"] = 1.0
    assert reading.chat_body(asked) == {
        "messages": [{"role": "user", "content": "x" * 100_000}],
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "metadata": {"a": [1, {"b": None}], "c": "x"},
        "logit_bias": {"5": 1.0},
    }
