"""A service of Bedrock's Converse format, as bytes: its binary messages are put together here, not by botocore."""

from __future__ import annotations

import binascii
import json
import struct
from typing import Any

from tests.adapters import upstream as wire
from tests.adapters.upstream import CUT, HANG, Request
from tests.conformance.adapters import Answer

EVENTS = "application/vnd.amazon.eventstream"
KEY = "AKIDEXAMPLE:sk-secret/+=:session-token"
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "guardrail_intervened",
}
USAGE = {"inputTokens": 7, "outputTokens": 2, "totalTokens": 9}


def packed(headers: dict[str, str], payload: bytes) -> bytes:
    """One message: lengths and their checksum, headers, payload, checksum of all."""
    named = b"".join(
        struct.pack(">B", len(name)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", len(named) + len(payload) + 16, len(named))
    body = prelude + struct.pack(">I", binascii.crc32(prelude)) + named + payload
    return body + struct.pack(">I", binascii.crc32(body))


def event(kind: str, **fields: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return packed(headers, json.dumps({**fields, "p": "abc"}, ensure_ascii=False).encode())


def exception(kind: str, message: str = "no") -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return packed(headers, json.dumps({"message": message}).encode())


def error(status: int, kind: str, message: str = "no", **headers: str) -> list[Any]:
    return wire.answer(status, {"message": message}, x_amzn_ErrorType=f"{kind}:http://internal/", **headers)


FAILURES = {
    "down": error(500, "InternalServerException"),
    "busy": error(429, "ThrottlingException", "Too many requests", retry_after="3"),
    "late": error(408, "ModelTimeoutException"),
    "rejected": error(400, "ValidationException", "temperature must be at most 1"),
    "key": error(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "long": error(400, "ValidationException", "Input is too long for requested model."),
}

STARTED = event("messageStart", role="assistant")


def delta(index: int, **fields: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=fields)


def closed(index: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


def text(index: int, *pieces: str) -> list[bytes]:
    return [*(delta(index, text=piece) for piece in pieces), closed(index)]


def thought(index: int, *pieces: str, signature: str = "sig") -> list[bytes]:
    said = [delta(index, reasoningContent={"text": piece}) for piece in pieces]
    return [*said, delta(index, reasoningContent={"signature": signature}), closed(index)]


def tool(index: int, call_id: str, name: str, *pieces: str, **more: str) -> list[bytes]:
    begun = {"toolUse": {"toolUseId": call_id, "name": name, **more}}
    deltas = [delta(index, toolUse={"input": piece}) for piece in pieces]
    return [event("contentBlockStart", contentBlockIndex=index, start=begun), *deltas, closed(index)]


def ended(reason: str = "end_turn", **usage: int) -> list[bytes]:
    counted = event("metadata", usage={**USAGE, **usage}, metrics={"latencyMs": 1})
    return [event("messageStop", stopReason=reason), counted]


def message(*content: dict[str, Any], reason: str = "end_turn", **usage: int) -> list[Any]:
    output = {"message": {"role": "assistant", "content": content}}
    counted = {**USAGE, **usage}
    return wire.answer(200, {"output": output, "stopReason": reason, "usage": counted, "metrics": {"latencyMs": 1}})


def streamed(events: list[bytes]) -> list[Any]:
    head, *rest = wire.streamed(events)
    return [head.replace(b"text/event-stream", EVENTS.encode()), *rest]


def by_verb(request: Request) -> int:
    return 1 if request.path.endswith("/converse-stream") else 0


def scripts(answer: Answer) -> list[list[Any]]:
    """What to send to a plain call, and to one that streams."""
    if answer.failure:
        return [FAILURES[answer.failure]] * 2
    events: list[bytes] = [STARTED]
    content: list[dict[str, Any]] = []
    if answer.reasoning:
        events += thought(0, *answer.reasoning)
        said = {"text": "".join(answer.reasoning), "signature": "sig"}
        content.append({"reasoningContent": {"reasoningText": said}})
    if answer.pieces:
        said_events = text(len(content), *answer.pieces)
        events += said_events[:-1] if answer.breaks or answer.hangs else said_events
        content.append({"text": answer.text})
    for made in answer.tool_calls:
        name, raw = made["function"]["name"], made["function"]["arguments"]
        events += tool(len(content), made["id"], name, *(raw[at : at + 5] for at in range(0, len(raw), 5)))
        content.append({"toolUse": {"toolUseId": made["id"], "name": name, "input": json.loads(raw)}})
    reason = STOP_REASONS[answer.finish]
    whole = message(*content, reason=reason)
    if answer.breaks or answer.hangs:
        stop = HANG if answer.hangs else CUT
        return [[HANG] if answer.hangs else [whole[0][:-5], CUT], [*streamed(events)[:-1], stop]]
    return [whole, streamed([*events, *ended(reason)])]
