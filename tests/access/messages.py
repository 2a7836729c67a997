"""Requests and answers of the Messages format, for tests: made of OpenAI's, and read back into them."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.edges import Outcome
from tests.conformance.matrix.messages import message_of

PATH = "/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
REASONS = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter"}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "auto", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}], **fields}


def said(*content: Any) -> dict[str, Any]:
    """A request in which an assistant said these blocks, and a user something after them."""
    hi = {"role": "user", "content": "Hi"}
    return body(messages=[hi, {"role": "assistant", "content": list(content)}, hi])


def asked(*content: Any) -> dict[str, Any]:
    return body(messages=[{"role": "user", "content": list(content)}])


def translated(chat: dict[str, Any]) -> dict[str, Any]:
    """A request of OpenAI's format, as far as the edge suite makes such."""
    more = dict(chat)
    if "user" in more:
        more["metadata"] = {"user_id": more.pop("user")}
    if "stop" in more:
        more["stop_sequences"] = more.pop("stop")
    if "tools" in more:
        functions = [tool["function"] for tool in more.pop("tools")]
        more["tools"] = [{"name": each["name"], "input_schema": each["parameters"]} for each in functions]
    more.pop("seed", None)
    return body(**{**more, "messages": [message_of(message) for message in chat["messages"]]})


def events_of(raw: bytes) -> list[dict[str, Any]]:
    """Of a stream, each held to its order: blocks one after the other, by their numbers, nothing after the end."""
    assert raw.endswith(b"\n\n")
    events = []
    for block in raw.decode()[:-2].split("\n\n"):
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    check(events)
    return events


def check(events: list[dict[str, Any]]) -> None:
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start" and kinds.count("message_start") == 1
    assert kinds[-1] in ("message_stop", "error")
    opened, count = False, 0
    for event in events[1:-1]:
        kind = event["type"]
        if kind == "content_block_start":
            assert not opened and event["index"] == count
            opened, count = True, count + 1
        elif kind in ("content_block_delta", "content_block_stop"):
            assert opened and event["index"] == count - 1
            opened = kind == "content_block_delta"
        elif kind == "message_delta":
            assert not opened and event is events[-2]
        else:
            assert kind == "ping"


def blocks_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As a client puts them together."""
    blocks: list[dict[str, Any]] = []
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"], **({"input": ""} if "input" in event["content_block"] else {})})
        elif event["type"] == "content_block_delta":
            kind, delta = event["delta"]["type"], event["delta"]
            name = {"input_json_delta": "input"}.get(kind, kind.removesuffix("_delta"))
            blocks[-1][name] += delta["partial_json" if name == "input" else name]
    return [{**block, "input": json.loads(block["input"] or "{}")} if "input" in block else block for block in blocks]


def outcome(message: dict[str, Any]) -> Outcome:
    used = message["usage"]
    content = message["content"]
    calls = [
        {
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": json.dumps(block["input"])},
        }
        for block in content
        if block["type"] == "tool_use"
    ]
    return Outcome(
        status=200,
        text="".join(block["text"] for block in content if block["type"] == "text"),
        tool_calls=calls or None,
        finish_reason=REASONS[message["stop_reason"]],
        usage={**used, "total_tokens": used["input_tokens"] + used["output_tokens"]},
        model=message["model"],
        turn_id=message["id"].removeprefix("msg_"),
    )
