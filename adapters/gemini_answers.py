"""Answers of generateContent, typed: what does not fit the types is refused, what is not named is not read.

Source: the Gemini API reference, `GenerateContentResponse` (v1beta; Vertex AI answers alike). A stream has no mark of
its end: it ends with its connection. A finish reason may come before the last words, and counts come with every piece,
the last being the sum. What the service's own tools did (`executableCode`, `toolCall`, grounding) is not read, nor is
what is no text (`inlineData`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from adapters.openai_answers import MAX_STREAM
from adapters.refusals import broken_stream
from adapters.sse import EventParser
from engine.errors import UpstreamError
from engine.types import Delta, End, Json, Usage

Index = Annotated[int, Meta(ge=0, le=1023)]
Count = Annotated[int, Meta(ge=0, le=2**40)]

IMPOSSIBLE: Final = -9999.0  # how the OpenAI format writes the logarithm of nothing
OWN_IDS: Final = "call_g"  # how ids begin that this module made where the service gave none

FINISH_REASONS: Final = {
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        (
            "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR",
            "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
        ),
        "content_filter",
    ),
}  # fmt: skip
# The model spoiled its own answer. Without a word said another try may do better.
SPOILED: Final = frozenset(
    {
        "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE", "OTHER", "NO_IMAGE", "IMAGE_OTHER",
    }
)  # fmt: skip


class _FunctionCall(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1)]
    id: str | None = None
    args: Json | None = None


class _Part(msgspec.Struct, rename="camel"):
    """`thought`: not the answer but what the model thinks on its way there."""

    text: str | None = None
    thought: bool | None = None
    function_call: _FunctionCall | None = None
    thought_signature: str | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Token(msgspec.Struct, rename="camel"):
    """Numbers that JSON has no sign for are texts (`-Infinity`)."""

    token: str = ""
    log_probability: float | str = 0.0


class _Alternatives(msgspec.Struct):
    candidates: list[_Token] | None = None


class _Logprobs(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Token] | None = None
    top_candidates: list[_Alternatives] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    """`index` is missing where it is 0, and with some services always: then the place counts."""

    index: Index | None = None
    content: _Content | None = None
    finish_reason: str | None = None
    logprobs_result: _Logprobs | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: Count | None = None
    tool_use_prompt_token_count: Count | None = None
    candidates_token_count: Count | None = None
    thoughts_token_count: Count | None = None
    cached_content_token_count: Count | None = None


class _Body(msgspec.Struct, rename="camel"):
    """One event of a stream or the one object of an answer without."""

    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    response_id: str | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Body | list[_Body]).decode


class GeminiAnswer:
    """Reads one answer, as `adapters.service.AnswerReader` says. `single`: of several calls of tools at a time only the
    first is passed on; the model repeats the others when it has its result."""

    __slots__ = ("_calls", "_counts", "_finished", "_id", "_parser", "_seed", "_single", "_size", "_spoken", "_worded")

    def __init__(self, *, single: bool = False) -> None:
        self._parser = EventParser()
        self._size = 0
        self._single = single
        self._calls: dict[int, int] = {}  # candidate: calls of tools so far
        self._spoken: set[int] = set()
        self._worded = False  # anything but thoughts was said
        self._finished: dict[int, str] = {}
        self._counts: dict[str, int] = {}
        self._id: str | None = None
        self._seed = ""

    @property
    def done(self) -> bool:
        """Nothing says so but the end of the connection."""
        return False

    def feed(self, piece: bytes) -> Iterator[Delta]:
        self._size += len(piece)
        if self._size > MAX_STREAM:
            raise UpstreamError("The model's service answered with too much.")
        return self._read_all(self._parser.feed(piece))

    def finish(self) -> Iterator[Delta]:
        yield from self._read_all(self._parser.rest())
        if not self._finished or not self._spoken <= self._finished.keys():
            raise UpstreamError("The model's service ended its answer without finishing it.")

    def read(self, data: bytes) -> Iterator[Delta]:
        """One object, or a list of what would have been events."""
        try:
            bodies = _decode(data)
        except (ValueError, RecursionError) as error:
            raise UpstreamError("The model's service answered with something else than a chat answer.") from error
        for body in bodies if isinstance(bodies, list) else (bodies,):
            yield from self._read(body)

    def end(self) -> End:
        for index in self._spoken:
            self._finished.setdefault(index, "STOP")
        if not self._finished:
            raise UpstreamError("The model's service gave no answer.")
        if not self._worded and not SPOILED.isdisjoint(self._finished.values()):
            raise UpstreamError("The model's service gave the answer up.")
        return End(
            finish_reasons={index: self._reason(index) for index in sorted(self._finished)},
            usage=self._usage(),
            upstream_id=self._id,
        )

    def _read_all(self, events: Iterable[bytes]) -> Iterator[Delta]:
        for data in events:
            yield from self.read(data)

    def _read(self, body: _Body) -> Iterator[Delta]:
        if body.error is not None:
            raise broken_stream(body.error)
        if body.response_id:
            self._id = body.response_id
        if body.usage_metadata is not None:
            self._counts.update({key: n for key, n in msgspec.structs.asdict(body.usage_metadata).items() if n})
        if body.prompt_feedback is not None and body.prompt_feedback.block_reason and not body.candidates:
            self._finished.setdefault(0, "SAFETY")  # it was not let in: no candidates at all
        for place, candidate in enumerate(body.candidates or ()):
            delta = self._delta(place if candidate.index is None else candidate.index, candidate)
            if delta is not None:
                self._worded = self._worded or bool(delta.content or delta.tool_calls)
                yield delta

    def _delta(self, index: int, candidate: _Candidate) -> Delta | None:
        self._spoken.add(index)
        if candidate.finish_reason:
            self._finished[index] = candidate.finish_reason
        parts = (candidate.content.parts if candidate.content is not None else None) or ()
        content = "".join(part.text for part in parts if part.text and not part.thought)
        reasoning = "".join(part.text for part in parts if part.text and part.thought)
        calls: list[Json] = []
        for part in parts:
            if part.function_call is not None and not (self._single and self._calls.get(index)):
                calls.append(self._call(index, part.function_call, part.thought_signature))
        logprobs = _logprobs(candidate.logprobs_result) if candidate.logprobs_result is not None else None
        if not (content or reasoning or calls or logprobs):
            return None
        return Delta(content or None, reasoning or None, calls or None, index, logprobs=logprobs)

    def _call(self, index: int, call: _FunctionCall, signature: str | None) -> Json:
        """Whole, as the one fragment of it there is. The signature must come back with the call (`extra_content`)."""
        number = self._calls.get(index, 0)
        self._calls[index] = number + 1
        function = {"name": call.name, "arguments": _arguments(call.args)}
        made: Json = {"index": number, "id": call.id or self._made_id(index, number), "type": "function"}
        made["function"] = function
        if signature:
            made["extra_content"] = {"google": {"thought_signature": signature}}
        return made

    def _made_id(self, index: int, number: int) -> str:
        """The same whenever the same answer is read, and no other answer's."""
        self._seed = self._seed or self._id or secrets.token_hex(16)
        digest = hashlib.blake2b(f"{self._seed} {index} {number}".encode(), digest_size=12)
        return f"{OWN_IDS}{digest.hexdigest()}"

    def _reason(self, index: int) -> str:
        said = FINISH_REASONS.get(self._finished[index], "stop")
        return "tool_calls" if said == "stop" and index in self._calls else said

    def _usage(self) -> Usage | None:
        """The prompt with what the service's own tools were given, the completion with the thoughts."""
        counts = self._counts
        if not counts:
            return None
        thoughts = counts.get("thoughts_token_count", 0)
        return Usage(
            prompt_tokens=counts.get("prompt_token_count", 0) + counts.get("tool_use_prompt_token_count", 0),
            completion_tokens=counts.get("candidates_token_count", 0) + thoughts,
            cached_tokens=counts.get("cached_content_token_count", 0),
            reasoning_tokens=thoughts,
        )


def _arguments(args: Json | None) -> str:
    """In one line, without escapes: what watches words reads it as it is."""
    return msgspec.json.format(msgspec.json.encode(args or {}), indent=0).decode()


def _logprobs(result: _Logprobs) -> Json | None:
    """As the OpenAI format has them; the service's alternatives stand beside the tokens, one list each."""
    chosen, tops = result.chosen_candidates or [], result.top_candidates or []
    tokens = []
    for place, token in enumerate(chosen):
        others = (tops[place].candidates if place < len(tops) else None) or []
        tokens.append({**_token(token), "top_logprobs": [_token(other) for other in others]})
    return {"content": tokens} if tokens else None


def _token(token: _Token) -> Json:
    logprob = token.log_probability if isinstance(token.log_probability, float) else IMPOSSIBLE
    return {"token": token.token, "logprob": logprob, "bytes": list(token.token.encode())}
