"""Answers of Bedrock's Converse format, streamed and whole: what does not fit the types is refused, what is not named
is not read.

Source: the Amazon Bedrock API reference, Converse and ConverseStream. A stream is of binary messages with checksums
(`application/vnd.amazon.eventstream`); the usage comes after the reason to stop.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
from botocore.eventstream import EventStreamBuffer, ParserError
from msgspec import Meta

from adapters.refusals import broken_stream, refusal
from adapters.sse import MAX_EVENT
from adapters.thoughts import ThoughtKeeper
from engine.errors import EngineError, UpstreamBusy, UpstreamError
from engine.types import Delta, End, Json, Usage

Index = Annotated[int, Meta(ge=0, le=4095)]
Count = Annotated[int, Meta(ge=0, le=2**40)]

MAX_STREAM: Final = 64 * 1024 * 1024
FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
FAILED: Final = frozenset({"malformed_model_output", "malformed_tool_use"})
# What the kinds of errors would be as statuses, where the service's own status says less, or in a stream none at all.
STATUSES: Final = {
    "ValidationException": 400,
    "ThrottlingException": 429,
    "ModelNotReadyException": 429,
    "ServiceQuotaExceededException": 429,
    "ModelTimeoutException": 504,
    "ModelErrorException": 502,
    "ServiceUnavailableException": 503,
    "ExpiredTokenException": 403,
    "UnrecognizedClientException": 403,
    "IncompleteSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
}
_KINDS: Final = {kind.lower(): status for kind, status in STATUSES.items()}


class _ReasoningText(msgspec.Struct):
    text: str | None = None
    signature: str | None = None


class _Reasoning(_ReasoningText, rename="camel"):
    """In a stream the texts themselves, in a message an object of them."""

    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None


class _ToolUse(msgspec.Struct, rename="camel"):
    """In a stream the begin, and then fragments of `input` as text; in a message all of it."""

    tool_use_id: str | None = None
    name: str | None = None
    type: str | None = None
    input: Any = None


class _Text(msgspec.Struct):
    text: str | None = None


class _Citations(msgspec.Struct):
    content: list[_Text] | None = None


class _Block(msgspec.Struct, rename="camel"):
    """A block of a message, and `start` and `delta` of a stream's."""

    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Citations | None = None


class _Usage(msgspec.Struct, rename="camel"):
    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None

    def counted(self) -> Usage:
        """`inputTokens` are those after the cache: what was read from it and written to it was prompt too."""
        cached, written = self.cache_read_input_tokens or 0, self.cache_write_input_tokens or 0
        return Usage(self.input_tokens + cached + written, self.output_tokens, cached, written_tokens=written)


class _Event(msgspec.Struct, rename="camel"):
    """The payload of any event."""

    content_block_index: Index = 0
    start: _Block | None = None
    delta: _Block | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None


class _Output(msgspec.Struct):
    message: _Message | None = None


class _Answer(msgspec.Struct, rename="camel"):
    output: _Output | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Call:
    __slots__ = ("argued", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.argued = False


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_encode = msgspec.json.Encoder().encode


class ConverseReader:
    """An `adapters.service.AnswerReader`. Not `parallel`: of several calls of tools the first is handed out, since the
    format has no word to ask for one at a time."""

    __slots__ = (
        "_begun", "_buffer", "_calls", "_done", "_number", "_parallel", "_size", "_stop", "_thoughts", "_unread",
        "_usage",
    )  # fmt: skip

    def __init__(self, parallel: bool = True) -> None:
        self._parallel = parallel
        self._buffer = EventStreamBuffer()
        self._size = 0
        self._unread = 0  # bytes in the buffer
        self._calls: dict[int, _Call] = {}  # blocks that are open
        self._number = 0
        self._thoughts = ThoughtKeeper()
        self._usage: _Usage | None = None
        self._stop = ""
        self._begun = False
        self._done = False

    @property
    def done(self) -> bool:
        return self._done

    def feed(self, piece: bytes) -> Iterator[Delta]:
        self._size += len(piece)
        self._unread += len(piece)
        self._buffer.add_data(piece)
        try:
            for message in self._buffer:
                self._unread -= message.prelude.total_length
                if not self._done:
                    yield from map(self._thoughts.told, self._take(message.headers, message.payload))
        except (ParserError, struct.error, KeyError, ValueError, RecursionError) as error:
            raise UpstreamError("The model's service sent what is no event.") from error
        if self._unread > MAX_EVENT or self._size > MAX_STREAM:
            raise UpstreamError("The model's service answered with too much.")

    def finish(self) -> Iterator[Delta]:
        if not self._stop:
            raise UpstreamError("The model's service ended its answer without finishing it.")
        for index in list(self._calls):
            yield from self._close(index)
        yield from self._thoughts.rest()

    def read(self, data: bytes) -> Iterator[Delta]:
        try:
            answer = _decode_answer(data)
        except (ValueError, RecursionError) as error:
            raise UpstreamError("The model's service answered with something else than a message.") from error
        message = answer.output.message if answer.output is not None else None
        if message is None or message.content is None or not answer.stop_reason:
            raise UpstreamError("The model's service gave no answer.")
        self._stopped(answer.stop_reason)
        self._usage = answer.usage
        for index, block in enumerate(message.content):
            for part in block.citations_content.content or () if block.citations_content is not None else ():
                if part.text:
                    yield Delta(part.text)
            yield from map(self._thoughts.told, self._whole(index, block))
        yield from self._thoughts.rest()

    def end(self) -> End:
        finish = FINISH_REASONS.get(self._stop, "stop")
        if finish == "tool_calls" and not self._number:
            finish = "stop"  # of the service's own tools
        return End({0: finish}, self._usage.counted() if self._usage is not None else None)

    def _take(self, headers: Json, payload: bytes) -> Iterator[Delta]:
        if headers.get(":message-type") != "event":
            raise _broken(headers, payload, not self._begun)
        kind, event = headers.get(":event-type"), _decode_event(payload)
        self._begun = True
        if kind == "contentBlockDelta" and event.delta is not None:
            yield from self._change(event.content_block_index, event.delta)
        elif kind == "contentBlockStart" and event.start is not None and event.start.tool_use is not None:
            yield from self._open(event.content_block_index, event.start.tool_use)
        elif kind == "contentBlockStop":
            yield from self._close(event.content_block_index)
        elif kind == "messageStop":
            self._stopped(event.stop_reason or "end_turn")
        elif kind == "metadata":
            self._usage = event.usage
            self._done = bool(self._stop)

    def _stopped(self, reason: str) -> None:
        if reason in FAILED:
            raise UpstreamError("The model's service gave the answer up.")
        self._stop = reason

    def _open(self, index: int, use: _ToolUse) -> Iterator[Delta]:
        if use.type is not None or (self._number and not self._parallel):
            return  # a tool of the service itself, or a call too many
        if not use.tool_use_id or not use.name:
            raise UpstreamError("The model's service called a tool without saying which.")
        call = self._calls[index] = _Call(self._number)
        self._number += 1
        fragment: Json = {"index": call.number, "id": use.tool_use_id, "type": "function"}
        fragment["function"] = {"name": use.name, "arguments": ""}
        if (extra := self._thoughts.extra()) is not None:
            fragment["extra_content"] = extra
        yield Delta(tool_calls=[fragment])

    def _change(self, index: int, change: _Block) -> Iterator[Delta]:
        if change.text:
            yield Delta(change.text)
        elif change.reasoning_content is not None:
            yield from self._think(change.reasoning_content)
        elif change.tool_use is not None and change.tool_use.input:
            call, argued = self._calls.get(index), change.tool_use.input
            if not isinstance(argued, str):
                raise UpstreamError("The model's service sent arguments that are no text.")
            if call is not None:
                call.argued = True
                yield Delta(tool_calls=[{"index": call.number, "function": {"arguments": argued}}])

    def _think(self, reasoning: _Reasoning) -> Iterator[Delta]:
        said = reasoning.reasoning_text or reasoning
        self._thoughts.signed(said.signature or "")
        if reasoning.redacted_content:
            self._thoughts.sealed(reasoning.redacted_content)
        if said.text:
            self._thoughts.said(said.text)
            yield Delta(reasoning=said.text)

    def _whole(self, index: int, block: _Block) -> Iterator[Delta]:
        use = block.tool_use
        if use is None:
            yield from self._change(index, block)
        else:
            yield from self._open(index, use)
            call = self._calls.get(index)
            if call is not None:
                call.argued = True
                arguments = _encode(use.input if use.input is not None else {}).decode()
                yield Delta(tool_calls=[{"index": call.number, "function": {"arguments": arguments}}])
        yield from self._close(index)

    def _close(self, index: int) -> Iterator[Delta]:
        self._thoughts.over()
        call = self._calls.pop(index, None)
        if call is not None and not call.argued:
            yield Delta(tool_calls=[{"index": call.number, "function": {"arguments": "{}"}}])


def _broken(headers: Json, payload: bytes, unbegun: bool) -> EngineError:
    """An exception in place of an event: before the first of them it is as good as a status."""
    kind = str(headers.get(":exception-type") or headers.get(":error-code") or "").lower()
    status = _KINDS.get(kind)
    if unbegun and status is not None:
        return refusal(status, {}, payload)
    return UpstreamBusy() if status == 429 else broken_stream(None)
