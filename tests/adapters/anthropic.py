"""A service of the Anthropic Messages format, as bytes."""

from __future__ import annotations

import json
from typing import Any

from adapters.anthropic_messages import AnthropicMessagesAdapter
from adapters.base import AdapterConfig
from engine.types import Message
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.upstream import CUT, HANG
from tests.conformance.adapters import Answer, Heard, call, listen

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
USAGE = {"input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 2}
FAILURES: dict[str, list[Any]] = {}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\n".encode() + wire.event({"type": kind, **fields})


def error(status: int, kind: str, message: str = "no", **headers: str) -> list[Any]:
    return wire.answer(status, {"type": "error", "error": {"type": kind, "message": message}}, **headers)


FAILURES = {
    "down": error(500, "api_error"),
    "busy": error(429, "rate_limit_error", retry_after="3"),
    "late": error(504, "timeout_error"),
    "rejected": error(400, "invalid_request_error", "temperature: range: 0..1"),
    "key": error(401, "authentication_error"),
    "long": error(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
}


def started(**usage: int) -> bytes:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m", "stop_reason": None}
    return event("message_start", message={**message, "usage": {**USAGE, "output_tokens": 1, **usage}})


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def block(index: int, begun: dict[str, Any], *deltas: bytes) -> list[bytes]:
    begin = event("content_block_start", index=index, content_block=begun)
    return [begin, *deltas, event("content_block_stop", index=index)]


def text(index: int, *pieces: str) -> list[bytes]:
    return block(index, {"type": "text", "text": ""}, *(delta(index, "text_delta", text=piece) for piece in pieces))


def tool(index: int, call_id: str, name: str, *pieces: str, kind: str = "tool_use") -> list[bytes]:
    deltas = [delta(index, "input_json_delta", partial_json=piece) for piece in pieces]
    return block(index, {"type": kind, "id": call_id, "name": name, "input": {}}, *deltas)


def ended(reason: str = "end_turn", **usage: int) -> list[bytes]:
    stop = event(
        "message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 2, **usage}
    )
    return [stop, event("message_stop")]


def message(*content: dict[str, Any], stop_reason: str = "end_turn", **fields: Any) -> list[Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    return wire.answer(200, {**head, "content": content, "stop_reason": stop_reason, "usage": USAGE, **fields})


def scripts(answer: Answer) -> list[list[Any]]:
    """What to send to a plain call, and to one that streams."""
    if answer.failure:
        return [FAILURES[answer.failure]] * 2
    events, content = [started(), event("ping")], []
    if answer.reasoning:
        thinking = [delta(0, "thinking_delta", thinking=piece) for piece in answer.reasoning]
        signature = delta(0, "signature_delta", signature="sig")
        events += block(0, {"type": "thinking", "thinking": "", "signature": ""}, *thinking, signature)
        content.append({"type": "thinking", "thinking": "".join(answer.reasoning), "signature": "sig"})
    if answer.pieces:
        opening, *deltas, closing = text(len(content), *answer.pieces)
        events += [opening, *deltas] if answer.breaks or answer.hangs else [opening, *deltas, closing]
        content.append({"type": "text", "text": answer.text})
    for made in answer.tool_calls:
        function = made["function"]
        raw = function["arguments"]
        pieces = [raw[start : start + 5] for start in range(0, len(raw), 5)]
        events += tool(len(content), made["id"], function["name"], "", *pieces)
        given = {"type": "tool_use", "id": made["id"], "name": function["name"], "input": json.loads(raw)}
        content.append(given)
    reason = STOP_REASONS[answer.finish]
    whole = message(*content, stop_reason=reason)
    if answer.breaks or answer.hangs:
        stop = HANG if answer.hangs else CUT
        return [[HANG] if answer.hangs else [whole[0][:-5], CUT], [*wire.streamed(events)[:-1], stop]]
    return [whole, wire.streamed([*events, *ended(reason)])]


# An adapter before it ---------------------------------------------------------------------------------------------


class Recording(ReplayClient):
    async def post(self, url: str, *, headers: Any, body: bytes, timeouts: Any) -> Any:
        self.url, self.sent, self.body = url, headers, wire.Request("POST", url, {}, body, 0).json
        return await super().post(url, headers=headers, body=body, timeouts=timeouts)


def adapter(*events: bytes, endpoint: str = "", key: str = "sk-secret", **options: Any) -> AnthropicMessagesAdapter:
    http = Recording(*(events or [started(), *text(0, "a"), *ended()]))
    return AnthropicMessagesAdapter(AdapterConfig(endpoint=endpoint, api_key=key, options=options), http)


async def sent(options: dict[str, Any] | None = None, **fields: Any) -> Any:
    asked = adapter(**(options or {}))
    await listen(asked, call(**fields))
    assert isinstance(asked.http, Recording)
    return asked.http.body


async def hear(*events: bytes) -> Heard:
    return await listen(adapter(*events), call())


def conversation(*messages: Message) -> dict[str, Any]:
    return {"messages": [Message("user", "Hi"), *messages]}
