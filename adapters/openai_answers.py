"""Answers of the OpenAI chat format, typed: what does not fit the types is refused, what is not named is not read.

Source: the OpenAI API reference, chat completions and (legacy) completions; `reasoning_content` after DeepSeek and
llama.cpp, `reasoning` after vLLM and OpenRouter, content in parts (thinking among them) after Mistral, usage within a
choice after Moonshot, `prompt_cache_hit_tokens` after DeepSeek, `extra_content` (signatures that must come back with a
tool call) after Gemini.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from adapters.logprobs import Token
from adapters.openai_verbatim import Verbatim
from adapters.refusals import broken_stream, refused_in_body
from adapters.sse import EventParser, as_lines
from engine.errors import UpstreamError
from engine.types import Delta, End, Json, Usage

Index = Annotated[int, Meta(ge=0, le=1023)]
Count = Annotated[int, Meta(ge=0, le=2**40)]
Scalar = str | int | float | bool | None

FINISH_REASONS: Final = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # Zhipu
    "sensitive": "content_filter",  # Zhipu
}
MAX_STREAM: Final = 64 * 1024 * 1024
# The answer was given up: vLLM, OpenRouter and Mistral, DeepSeek, Zhipu.
FAILED: Final = frozenset({"abort", "error", "insufficient_system_resource", "network_error"})
DONE: Final = b"[DONE]"
# A token for machines, such as fp_44709d6fcb or b6942-a1b2c3: anything longer or freer could be text for people.
FINGERPRINT: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
MODEL: Final = re.compile(r"[A-Za-z0-9_.:/@-]{1,128}")  # a name, likewise


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: Index | None = None
    id: str | None = None
    type: str | None = None
    function: _Function | None = None
    extra_content: dict[str, dict[str, Scalar]] | None = None


class _Logprobs(msgspec.Struct):
    content: list[Token] | None = None
    refusal: list[Token] | None = None


class _Said(msgspec.Struct):
    """A `delta` of a stream or a whole `message`."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None  # the older form of a single call

    def texts(self) -> tuple[str, str]:
        """What is said, and what is thought on the way there."""
        thought = self.reasoning_content or self.reasoning or ""
        if not isinstance(self.content, list):
            return self.content or "", thought
        parts = [part for part in self.content if isinstance(part, dict)]
        thinking = "".join(_spelled(part.get("thinking")) for part in parts)
        return "".join(_spelled(part.get("text")) for part in parts), thought + thinking


class _PromptDetails(msgspec.Struct):
    cached_tokens: Count | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: Count | None = None
    cached_tokens: Count | None = None

    def counted(self) -> Usage:
        prompt, completion = self.prompt_tokens_details, self.completion_tokens_details
        cached = prompt.cached_tokens if prompt is not None else None
        return Usage(
            prompt_tokens=self.prompt_tokens or 0,
            completion_tokens=self.completion_tokens or 0,
            cached_tokens=cached or self.cached_tokens or self.prompt_cache_hit_tokens or 0,
            reasoning_tokens=(completion.reasoning_tokens or 0) if completion is not None else 0,
        )


class _Choice(msgspec.Struct):
    index: Index = 0
    delta: _Said | None = None
    message: _Said | None = None
    text: str | None = None  # in place of both: the older text completions
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None
    usage: _Usage | None = None


class _Body(msgspec.Struct):
    """One chunk of a stream or the one object of an answer without."""

    id: str | None = None
    object: str | None = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    system_fingerprint: str | None = None
    error: Any = None


class _Text(msgspec.Struct, gc=False):
    """A `delta` with text, or nothing, in it."""

    content: str | None = None
    reasoning_content: None = None
    reasoning: None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None


class _TextChoice(msgspec.Struct, gc=False):
    delta: _Text
    index: Index = 0
    finish_reason: Literal["stop", "length", "content_filter"] | None = None
    logprobs: None = None
    usage: None = None


class _TextChunk(msgspec.Struct, gc=False):
    """The chunk that streams nearly always consist of: what it holds besides makes it another one's to read."""

    choices: Annotated[list[_TextChoice], Meta(max_length=1)]
    id: str | None = None
    object: Literal["chat.completion.chunk"] | None = None
    model: Any = None
    usage: _Usage | None = None
    system_fingerprint: str | None = None
    error: None = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_texts = msgspec.json.Decoder(_TextChunk).decode_lines


class Answer:
    """Reads one answer: `read` each chunk, or the whole of an unstreamed one, then take `end`. No error tells `secret`.

    Both raise UpstreamError when the service says so or makes no sense."""

    __slots__ = ("_calls", "_done", "_fingerprint", "_finished", "_id", "_model", "_secret", "_spoken", "_usage")

    def __init__(self, secret: str = "") -> None:
        self._secret = secret
        self._calls: dict[int, int] = {}  # choice: highest index of a tool call
        self._spoken: set[int] = set()
        self._finished: dict[int, str] = {}
        self._done = False
        self._usage: _Usage | None = None
        self._id: str | None = None
        self._fingerprint: str | None = None
        self._model: str | None = None

    @property
    def done(self) -> bool:
        """The service said that nothing follows."""
        return self._done

    @property
    def finished(self) -> bool:
        """The end was said, or a finish reason for every choice: the answer may stop here."""
        return self._done or (bool(self._finished) and self._spoken <= self._finished.keys())

    def read(self, data: bytes) -> list[Delta]:
        if data == DONE:
            self._done = True
            return []
        try:
            body = _decode(data)
        except (ValueError, RecursionError) as error:
            raise UpstreamError("The model's service answered with something else than a chat answer.") from error
        if body.error is not None or body.object == "error":
            raise broken_stream(body.error) if self._spoken else refused_in_body(body.error, data, self._secret)
        self._note(body)
        if body.usage is not None:
            self._usage = body.usage
        if not body.choices:
            return []
        deltas = []
        for choice in body.choices:
            self._usage = choice.usage or self._usage
            delta = self._delta(choice)
            if delta is not None:
                deltas.append(delta)
        return deltas

    def _note(self, body: _Body | _TextChunk) -> None:
        if body.id is not None:
            self._id = body.id
        if isinstance(body.model, str) and body.model != self._model and MODEL.fullmatch(body.model):
            self._model = body.model
        if body.system_fingerprint is not None and FINGERPRINT.fullmatch(body.system_fingerprint):
            self._fingerprint = body.system_fingerprint

    def end(self) -> End:
        """Choices without a finish reason are taken as ended well, once `finished`."""
        for index in self._spoken:
            self._finished.setdefault(index, "tool_calls" if index in self._calls else "stop")
        if not self._finished:
            raise UpstreamError("The model's service gave no answer.")
        return End(
            finish_reasons=self._finished,
            usage=self._usage.counted() if self._usage is not None else None,
            upstream_id=self._id,
            system_fingerprint=self._fingerprint,
            model=self._model,
        )

    def _delta(self, choice: _Choice) -> Delta | None:
        index = choice.index
        self._spoken.add(index)
        if choice.finish_reason:
            if choice.finish_reason in FAILED:
                raise UpstreamError("The model's service gave the answer up.")
            self._finished[index] = FINISH_REASONS.get(choice.finish_reason, "stop")
        said = choice.delta or choice.message
        if said is None:
            return Delta(choice.text, index=index) if choice.text else None
        content, reasoning = (text or None for text in said.texts())
        refusal = said.refusal or None
        asked = said.tool_calls or self._only_call(index, said)
        calls = self._fragments(index, asked) if asked else None
        logprobs = _plain(choice.logprobs) if choice.logprobs is not None else None
        if content is None and reasoning is None and calls is None and refusal is None and logprobs is None:
            return None
        return Delta(content, reasoning, calls, index, refusal, logprobs)

    def _only_call(self, choice: int, said: _Said) -> list[_ToolCall] | None:
        """The one call of the older form, which has no id: its name begins it."""
        function = said.function_call
        if function is None or not (function.name or function.arguments):
            return None
        begins = bool(function.name) and choice not in self._calls
        return [_ToolCall(index=0, id=f"call_{choice}" if begins else None, function=function)]

    def _fragments(self, choice: int, calls: list[_ToolCall]) -> list[Json]:
        """As stream fragments. Where a service gives no index, an id begins the next call."""
        fragments = []
        for call in calls:
            last = self._calls.get(choice, -1)
            index = call.index if call.index is not None else (last + 1 if call.id or last < 0 else last)
            self._calls[choice] = max(index, last)
            fragment: Json = {"index": index}
            if call.id:
                fragment["id"] = call.id
                fragment["type"] = call.type or "function"
            if call.function is not None:
                function = {"name": call.function.name, "arguments": call.function.arguments}
                fragment["function"] = {key: value for key, value in function.items() if value is not None}
            if call.extra_content:
                fragment["extra_content"] = call.extra_content
            fragments.append(fragment)
        return fragments


class StreamedAnswer(Answer):
    """An answer that arrives as server-sent events: `feed` each piece as it comes, `finish` when no more does; or in
    one piece, for `read`. `verbatim` keeps its bytes, where they may go on."""

    __slots__ = ("_parser", "_size", "verbatim")

    def __init__(self, secret: str = "", verbatim: Verbatim | None = None) -> None:
        super().__init__(secret)
        self._parser = EventParser()
        self._size = 0
        self.verbatim = verbatim

    def read(self, data: bytes) -> list[Delta]:
        deltas = super().read(data)
        if self.verbatim is not None:
            self.verbatim.whole(data)
        return deltas

    def end(self) -> End:
        end = super().end()
        if self.verbatim is None or (kept := self.verbatim.end(end.finish_reasons)) is None:
            return end
        return msgspec.structs.replace(end, verbatim=kept)

    def feed(self, piece: bytes) -> Iterable[Delta]:
        self._size += len(piece)
        if self._size > MAX_STREAM:
            raise UpstreamError("The model's service answered with too much.")
        if self._parser.between and not self._done and (deltas := self._texts(piece)) is not None:
            return deltas
        return self._read_all(self._parser.feed(piece))

    def _texts(self, piece: bytes) -> list[Delta] | None:
        """What a piece says that is nothing but text in whole events, decoded at once; None, and nothing was read: it
        is to be read with care. Measured: a third of the time that takes."""
        found = as_lines(piece)
        if found is None:
            return None
        lines, number, done = found
        try:
            chunks = _decode_texts(lines)
        except (ValueError, RecursionError):
            return None
        if len(chunks) != number:
            return None
        self._parser.passed()
        deltas = []
        for chunk in chunks:
            if chunk.usage is not None:
                self._usage = chunk.usage
            if chunk.choices:
                choice = chunk.choices[0]
                index = choice.index
                self._spoken.add(index)
                if choice.finish_reason is not None:
                    self._finished[index] = choice.finish_reason
                if choice.delta.content:
                    deltas.append(Delta(choice.delta.content, None, None, index))
            if (chunk.id, chunk.model, chunk.system_fingerprint) != (self._id, self._model, self._fingerprint):
                self._note(chunk)
        self._done = done
        if self.verbatim is not None:
            if number == 1:
                self.verbatim.add(lines, bool(deltas))
            else:
                self.verbatim.add_lines(lines, [bool(one.choices and one.choices[0].delta.content) for one in chunks])
        return deltas

    def finish(self) -> Iterator[Delta]:
        """Raises UpstreamError when the stream was cut off: neither a finish reason nor the end was said."""
        if not self.finished:
            for delta in self._read_all(self._parser.rest()):
                if self.verbatim is not None:
                    self.verbatim.spoil()  # nobody asks for a burst any more
                yield delta
        if not self.finished:
            raise UpstreamError("The model's service ended its answer without finishing it.")

    def _read_all(self, events: Iterable[bytes]) -> Iterator[Delta]:
        for data in events:
            if self.done:
                return
            deltas = super().read(data)
            if self.verbatim is not None and not self._done:
                self.verbatim.add(data, bool(deltas))
            yield from deltas


def _spelled(value: Any) -> str:
    """A text, or those of a list of parts."""
    if isinstance(value, list):
        return "".join(_spelled(part.get("text")) for part in value if isinstance(part, dict))
    return value if isinstance(value, str) else ""


def _plain(logprobs: _Logprobs) -> Json | None:
    kept = {kind: entries for kind in ("content", "refusal") if (entries := getattr(logprobs, kind))}
    return msgspec.to_builtins(kept) if kept else None
