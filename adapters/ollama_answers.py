"""Answers of Ollama's chat, typed: what does not fit the types is refused, what is not named is not read.

Source: Ollama's API reference, `POST /api/chat`. A stream is a line for each piece; the last says `done`, why, and the
counts. Calls of tools come whole, their arguments as objects, with ids from late versions only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from adapters.logprobs import Token
from adapters.ndjson import LineParser
from adapters.openai_answers import MAX_STREAM
from adapters.refusals import broken_stream
from engine.errors import UpstreamError
from engine.types import Delta, End, Json, Usage

Count = Annotated[int, Meta(ge=0, le=2**40)]


class _Function(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1)]
    arguments: Json | None = None


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Line(msgspec.Struct):
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    created_at: str = ""
    prompt_eval_count: Count | None = None
    eval_count: Count | None = None
    logprobs: list[Token] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Line).decode

FINISH_REASONS: Final = {"length": "length"}  # all others (`stop`, `load`, `unload`) are ends like any


class OllamaAnswer:
    """Reads one answer, as `adapters.service.AnswerReader` says. `single`: of several calls of tools at a time only the
    first is passed on; the model repeats the others when it has its result."""

    __slots__ = ("_calls", "_last", "_parser", "_single", "_size")

    def __init__(self, *, single: bool = False) -> None:
        self._parser = LineParser()
        self._size = 0
        self._single = single
        self._calls = 0
        self._last: _Line | None = None

    @property
    def done(self) -> bool:
        return self._last is not None

    def feed(self, piece: bytes) -> Iterator[Delta]:
        self._size += len(piece)
        if self._size > MAX_STREAM:
            raise UpstreamError("The model's service answered with too much.")
        return self._read_all(self._parser.feed(piece))

    def finish(self) -> Iterator[Delta]:
        if not self.done:
            yield from self._read_all(self._parser.rest())
        if not self.done:
            raise UpstreamError("The model's service ended its answer without finishing it.")

    def read(self, data: bytes) -> Iterator[Delta]:
        yield from self._read_all([data])

    def end(self) -> End:
        last = self._last
        if last is None:
            raise UpstreamError("The model's service gave no answer.")
        said = FINISH_REASONS.get(last.done_reason or "", "stop")
        finish = "tool_calls" if said == "stop" and self._calls else said
        return End(finish_reasons={0: finish}, usage=_usage(last))

    def _read_all(self, lines: Iterable[bytes]) -> Iterator[Delta]:
        for data in lines:
            if self.done:
                return
            try:
                line = _decode(data)
            except (ValueError, RecursionError) as error:
                raise UpstreamError("The model's service answered with something else than a chat answer.") from error
            if line.error is not None:
                raise broken_stream(line.error)
            delta = self._delta(line, line.message or _Message())
            if delta is not None:
                yield delta
            if line.done:
                self._last = line

    def _delta(self, line: _Line, said: _Message) -> Delta | None:
        calls: list[Json] = []
        for call in said.tool_calls or ():
            if not (self._single and self._calls):
                calls.append(self._call(call, line.created_at))
        logprobs = {"content": msgspec.to_builtins(line.logprobs)} if line.logprobs else None
        if not (said.content or said.thinking or calls or logprobs):
            return None
        return Delta(said.content or None, said.thinking or None, calls or None, logprobs=logprobs)

    def _call(self, call: _ToolCall, at: str) -> Json:
        number = self._calls
        self._calls += 1
        function = call.function
        arguments = msgspec.json.format(msgspec.json.encode(function.arguments or {}), indent=0).decode()
        return {
            "index": number,
            "id": call.id or _made_id(at, number, function.name, arguments),
            "type": "function",
            "function": {"name": function.name, "arguments": arguments},
        }


def _made_id(*what: object) -> str:
    """The same whenever the same answer is read; `created_at` counts nanoseconds."""
    return f"call_{hashlib.blake2b(repr(what).encode(), digest_size=12).hexdigest()}"


def _usage(last: _Line) -> Usage | None:
    """A prompt of which nothing had to be read again is not counted by some versions: left to be estimated."""
    if not last.prompt_eval_count:
        return Usage(completion_tokens=last.eval_count, estimated=True) if last.eval_count else None
    return Usage(prompt_tokens=last.prompt_eval_count, completion_tokens=last.eval_count or 0)
