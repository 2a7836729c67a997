"""Answers of the Anthropic Messages format, streamed and whole: what does not fit the types is refused, what is not
named is not read.

Source: the Claude API reference, Messages and "Streaming messages". A message is a list of blocks. Only `text`,
`thinking`, `redacted_thinking` and `tool_use` are the answer; `server_tool_use`, results of such tools and whatever
else there may be were used up by the service itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from adapters.openai_answers import MODEL
from adapters.refusals import broken_stream, refusal
from adapters.sse import EventParser
from adapters.thoughts import ThoughtKeeper
from engine.errors import EngineError, UpstreamError
from engine.types import Delta, End, Json, Usage

Index = Annotated[int, Meta(ge=0, le=4095)]
Count = Annotated[int, Meta(ge=0, le=2**40)]

MAX_STREAM: Final = 64 * 1024 * 1024
FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# The status that an error would have had, had it come before the stream began.
STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
}


class _Block(msgspec.Struct):
    """The beginning of a block in a stream, the whole of it in a message. What stands where is known only of the types
    that are read: see `_text`."""

    type: str
    text: Any = None
    thinking: Any = None
    signature: Any = None
    data: Any = None
    id: Any = None
    name: Any = None
    input: Any = None


class _Change(msgspec.Struct):
    """`delta` of `content_block_delta`, as a block, and of `message_delta`."""

    type: str | None = None
    text: Any = None
    thinking: Any = None
    signature: Any = None
    partial_json: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: Count | None = None


class _Usage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens_details: _OutputDetails | None = None


class _Message(msgspec.Struct):
    id: str | None = None
    model: Any = None
    type: str | None = None
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: _Usage | None = None
    error: Any = None


class _Event(msgspec.Struct):
    type: str
    index: Index = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Change | None = None
    usage: _Usage | None = None
    error: Any = None


class _Call:
    """A `tool_use` block that is being read. Services send the arguments in fragments after an empty `input`, some the
    whole `input` at once."""

    __slots__ = ("argued", "given", "number")

    def __init__(self, number: int, given: Any) -> None:
        self.number = number
        self.given = given
        self.argued = False


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_encode = msgspec.json.Encoder().encode


class MessageReader:
    """An `adapters.service.AnswerReader`."""

    __slots__ = (
        "_begun", "_calls", "_counts", "_done", "_id", "_model", "_number", "_parser", "_sequence", "_size", "_stop",
        "_thoughts",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = EventParser()
        self._size = 0
        self._calls: dict[int, _Call] = {}  # blocks that are open
        self._number = 0
        self._thoughts = ThoughtKeeper()
        self._counts: dict[str, int] = {}
        self._stop = ""
        self._sequence: str | None = None
        self._begun = False
        self._done = False
        self._id: str | None = None
        self._model: str | None = None

    @property
    def done(self) -> bool:
        return self._done

    def feed(self, piece: bytes) -> Iterator[Delta]:
        self._size += len(piece)
        if self._size > MAX_STREAM:
            raise UpstreamError("The model's service answered with too much.")
        return map(self._thoughts.told, self._events(self._parser.feed(piece)))

    def finish(self) -> Iterator[Delta]:
        if not self._stop:
            yield from map(self._thoughts.told, self._events(self._parser.rest()))
        if not self._stop:
            raise UpstreamError("The model's service ended its answer without finishing it.")
        for index in list(self._calls):
            yield from self._close(index)
        yield from self._thoughts.rest()

    def read(self, data: bytes) -> Iterator[Delta]:
        try:
            message = _decode_message(data)
        except (ValueError, RecursionError) as error:
            raise UpstreamError("The model's service answered with something else than a message.") from error
        if message.error is not None or message.type == "error":
            raise _broken(message.error, data, True)
        if message.content is None or (message.type != "message" and message.stop_reason is None):
            raise UpstreamError("The model's service gave no answer.")
        self._opened(message)
        for index, block in enumerate(message.content):
            yield from map(self._thoughts.told, self._begin(index, block))
            yield from self._close(index)
        yield from self._thoughts.rest()
        self._stop, self._sequence = message.stop_reason or "end_turn", message.stop_sequence

    def end(self) -> End:
        if not self._begun:
            raise UpstreamError("The model's service gave no answer.")
        finish = FINISH_REASONS.get(self._stop, "stop")
        if finish == "tool_calls" and not self._number:
            finish = "stop"  # of the service's own tools
        return End({0: finish}, self._usage(), self._id, stop_sequence=self._sequence, model=self._model)

    def _events(self, events: Iterable[bytes]) -> Iterator[Delta]:
        for data in events:
            if self._done:
                return
            try:
                event = _decode_event(data)
            except (ValueError, RecursionError) as error:
                raise UpstreamError("The model's service answered with something else than a message.") from error
            yield from self._take(event, data)

    def _take(self, event: _Event, data: bytes) -> Iterator[Delta]:
        kind = event.type
        if kind == "content_block_delta":
            if event.delta is not None and (delta := self._change(event.index, event.delta)) is not None:
                yield delta
        elif kind == "content_block_start":
            if event.content_block is not None:
                yield from self._begin(event.index, event.content_block)
        elif kind == "content_block_stop":
            yield from self._close(event.index)
        elif kind == "message_start":
            if event.message is not None:
                self._opened(event.message)
        elif kind == "message_delta":
            self._count(event.usage)
            if event.delta is not None and event.delta.stop_reason:
                self._stop, self._sequence = event.delta.stop_reason, event.delta.stop_sequence
        elif kind == "message_stop":
            self._stop = self._stop or "end_turn"
            self._done = True
        elif kind == "error" or event.error is not None:
            raise _broken(event.error, data, not self._begun)

    def _opened(self, message: _Message) -> None:
        self._begun = True
        self._id = message.id
        if isinstance(message.model, str) and MODEL.fullmatch(message.model):
            self._model = message.model
        self._count(message.usage)

    def _begin(self, index: int, block: _Block) -> Iterator[Delta]:
        self._begun = True
        kind = block.type
        if kind == "text":
            if text := _text(block.text):
                yield Delta(text)
        elif kind == "tool_use":
            call_id, name = _text(block.id), _text(block.name)
            if not call_id or not name:
                raise UpstreamError("The model's service called a tool without saying which.")
            call = self._calls[index] = _Call(self._number, block.input)
            self._number += 1
            fragment: Json = {"index": call.number, "id": call_id, "type": "function"}
            fragment["function"] = {"name": name, "arguments": ""}
            if (extra := self._thoughts.extra()) is not None:
                fragment["extra_content"] = extra
            yield Delta(tool_calls=[fragment])
        elif kind == "thinking":
            self._thoughts.over()
            self._thoughts.signed(_text(block.signature))
            if text := _text(block.thinking):
                self._thoughts.said(text)
                yield Delta(reasoning=text)
        elif kind == "redacted_thinking" and (data := _text(block.data)):
            self._thoughts.sealed(data)

    def _change(self, index: int, change: _Change) -> Delta | None:
        """Changes of blocks that are not the answer's are of types of their own, or of blocks that were not begun."""
        kind = change.type
        if kind == "text_delta":
            text = _text(change.text)
            return Delta(text) if text else None
        if kind == "thinking_delta":
            thinking = _text(change.thinking)
            self._thoughts.said(thinking)
            return Delta(reasoning=thinking) if thinking else None
        if kind == "signature_delta":
            self._thoughts.signed(_text(change.signature))
            return None
        call = self._calls.get(index)
        if kind != "input_json_delta" or call is None or not (arguments := _text(change.partial_json)):
            return None
        call.argued = True
        return Delta(tool_calls=[{"index": call.number, "function": {"arguments": arguments}}])

    def _close(self, index: int) -> Iterator[Delta]:
        self._thoughts.over()
        call = self._calls.pop(index, None)
        if call is not None and not call.argued:
            arguments = _encode(call.given if call.given is not None else {}).decode()
            yield Delta(tool_calls=[{"index": call.number, "function": {"arguments": arguments}}])

    def _count(self, usage: _Usage | None) -> None:
        """Counts are totals so far: of each the last that was said."""
        if usage is None:
            return
        details = usage.output_tokens_details
        said = {
            "input": usage.input_tokens,
            "written": usage.cache_creation_input_tokens,
            "cached": usage.cache_read_input_tokens,
            "output": usage.output_tokens,
            "thought": details.thinking_tokens if details is not None else None,
        }
        self._counts.update({name: count for name, count in said.items() if count is not None})

    def _usage(self) -> Usage | None:
        """Here `input_tokens` are those after the cache: what was read from it and written to it was prompt too."""
        if not self._counts:
            return None
        count = self._counts.get
        return Usage(
            prompt_tokens=count("input", 0) + count("written", 0) + count("cached", 0),
            completion_tokens=count("output", 0),
            cached_tokens=count("cached", 0),
            written_tokens=count("written", 0),
            reasoning_tokens=count("thought", 0),
        )


def _text(value: Any) -> str:
    """Raises UpstreamError where a text was to be, and something else is."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UpstreamError("The model's service answered with something else than a message.")
    return value


def _broken(error: Any, data: bytes, unbegun: bool) -> EngineError:
    """An error object where an answer was to be: before its beginning it is as good as a status."""
    kind = error.get("type") if isinstance(error, dict) else None
    if unbegun and isinstance(kind, str) and kind in STATUSES:
        return refusal(STATUSES[kind], {}, data)
    return broken_stream(error)
