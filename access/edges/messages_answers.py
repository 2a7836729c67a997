"""Answers of the Messages format: a message, whole or as the events of a stream.

Source: the Claude API reference, Messages and "Streaming messages". The frequent bytes are templates around one encoded
string."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from access import events
from access.edges.messages_calls import given
from access.edges.messages_steps import CHANGE, START, STOP, Step, Steps
from engine.types import Delta, Done, Json, Start, Usage

REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
# What grows of a block, by the type of its deltas.
GROWING: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), orjson.dumps({"type": kind, **fields}))


def usage(used: Usage) -> Json:
    """`input_tokens` are those that no cache had to do with; `estimated` where the model's service did not count."""
    body: Json = {
        "input_tokens": max(0, used.prompt_tokens - used.cached_tokens - used.written_tokens),
        "cache_creation_input_tokens": used.written_tokens,
        "cache_read_input_tokens": used.cached_tokens,
        "output_tokens": used.completion_tokens,
    }
    if used.reasoning_tokens:
        body["output_tokens_details"] = {"thinking_tokens": used.reasoning_tokens}
    if used.estimated:
        body["estimated"] = True
    return body


def ending(done: Done, steps: Steps, stops: Iterable[str]) -> Json:
    """`stop_reason` and `stop_sequence`. Some services call the end of a call that was demanded a `stop`."""
    reason = REASONS.get(done.finish_reason, "end_turn")
    if reason == "end_turn":
        if steps.called:
            reason = "tool_use"
        elif steps.refused:
            reason = "refusal"
        elif done.stop_sequence is not None and done.stop_sequence in stops:
            return {"stop_reason": "stop_sequence", "stop_sequence": done.stop_sequence}
    return {"stop_reason": reason, "stop_sequence": None}


def _message(start: Start, **fields: Any) -> Json:
    return {"id": f"msg_{start.id}", "type": "message", "role": "assistant", "model": start.model, **fields}


def _ours(done: Done) -> Json:
    return {"clawdbot": events.vendor(done)} if done.metadata else {}


class Streamed:
    """The events of one answer. `asked` are the tokens of its request, as far as they are known at its start."""

    def __init__(self, start: Start, asked: int) -> None:
        self._steps = Steps()
        self._index = -1
        begun = _message(start, content=[], stop_reason=None, stop_sequence=None, usage=usage(Usage(asked)))
        self.opening = event("message_start", message=begun) + PING

    def feed(self, delta: Delta) -> bytes:
        """May be empty."""
        if self._steps.text and _only_content(delta):
            return (
                b"event: content_block_delta\n"
                b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":%b}}\n\n'
            ) % (self._index, orjson.dumps(delta.content))
        return b"".join(map(self._told, self._steps.feed(delta)))

    def end(self, done: Done, stops: Iterable[str]) -> bytes:
        rest = b"".join(map(self._told, self._steps.end()))
        last = event("message_delta", delta=ending(done, self._steps, stops), usage=usage(done.usage), **_ours(done))
        return rest + last + event("message_stop")

    def _told(self, step: Step) -> bytes:
        kind, body = step
        if kind == START:
            self._index += 1
            return event(kind, index=self._index, content_block=body)
        return event(kind, index=self._index, **({"delta": body} if kind == CHANGE else {}))


class Whole:
    """The same, put together as a client would."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._steps = Steps()
        self._blocks: list[Json] = []
        self._growing: dict[str, list[str]] = {}

    def feed(self, delta: Delta) -> bytes:
        """Nothing is told before the end."""
        self._take(self._steps.feed(delta))
        return b""

    def end(self, done: Done, stops: Iterable[str]) -> Json:
        self._take(self._steps.end())
        last = ending(done, self._steps, stops)
        return _message(self._start, content=self._blocks, **last, usage=usage(done.usage), **_ours(done))

    def _take(self, steps: Iterable[Step]) -> None:
        for kind, body in steps:
            if kind == START:
                self._blocks.append(body)
                self._growing = {}
            elif kind == CHANGE:
                name = GROWING[body["type"]]
                self._growing.setdefault(name, []).append(body[name])
            else:
                assert kind == STOP
                self._grown(self._blocks[-1])

    def _grown(self, block: Json) -> None:
        texts = {name: "".join(pieces) for name, pieces in self._growing.items()}
        if block["type"] == "tool_use":
            block["input"] = given(texts.get("partial_json", ""))
        else:
            block.update(texts)


def _only_content(delta: Delta) -> bool:
    return (
        bool(delta.content)
        and not delta.reasoning
        and not delta.tool_calls
        and not delta.refusal
        and not delta.extra_content
        and not delta.index
    )
