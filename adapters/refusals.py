"""What an HTTP status other than success means, in the OpenAI format and its relatives."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from engine.errors import (
    ContextTooLong,
    EngineError,
    UpstreamBusy,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)

MAX_MESSAGE: Final = 500
MAX_WAIT: Final = 3600.0

REJECTED: Final = frozenset({400, 413, 422})
TIMED_OUT: Final = frozenset({408, 504})
BUSY: Final = 429
OUT_OF_CREDIT: Final = "insufficient_quota"  # OpenAI says 429 for it, but waiting does not help
NO_CREDIT: Final = "credit balance is too low"  # Anthropic says 400 for it, but the request is not to blame
BUSY_CODES: Final = frozenset({"429", "rate_limit_exceeded", "rate_limit_error"})

# A field of the request, as `messages[0].content` or `tools.0.function.name`: anything else is not shown as one.
FIELD_PATH: Final = re.compile(r"[A-Za-z_$*][A-Za-z0-9_.$*\[\]-]{0,99}")

# How services say that the conversation is too long, as a code or type or somewhere in the text, lower case.
CONTEXT_CODES: Final = frozenset({"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded"})
CONTEXT_WORDS: Final = (
    "maximum context length",  # OpenAI, vLLM, DeepSeek, Mistral, OpenRouter
    "context length exceeded",
    "maximum context limit",
    "exceed the configured limit",  # OpenAI
    "exceeds the available context size",  # llama.cpp
    "longer than the maximum model length",  # vLLM
    "longer than the model's context length",  # SGLang, Together
    "maximum input length",  # SGLang, text-generation-inference
    "maximum allowed input length",
    "`inputs` tokens + `max_new_tokens` must be",  # text-generation-inference
    "reduce the length of the messages",  # Groq
    "maximum prompt length is",  # xAI
    "exceeds the model's context",
    "exceeds context window",
    "exceeds the context window",
    "context window exceeds limit",  # MiniMax
    "exceeded model token limit",  # Moonshot
    "range of input length should be",  # DashScope
    "prompt exceeds max length",  # Zhipu
    "prompt is too long",  # Anthropic and gateways before it
    "exceeds the maximum number of tokens",  # Gemini
    "exceeds the context length",  # Ollama
    "greater than the context length",  # LM Studio
    "prompt too long",  # Ollama
    "exceed context limit",
    "input is too long",  # Bedrock
    "too many input tokens",  # Bedrock
    "too large for model with",  # Bedrock
    "input tokens exceeded",
    "too many tokens",  # Cohere
)
GROUPED: Final = re.compile(r"(?<=\d),(?=\d{3})")
# How many tokens there were and how many there may be, where they are told; lower case.
SIZES: Final = (
    re.compile(
        r"length is (?P<window>\d{1,9}) tokens.{0,80}?(?:resulted in|requested|contains|has) "
        r"(?:about |at least )?(?P<tokens>\d{1,9})"
    ),
    re.compile(r"too long: (?P<tokens>\d{1,9}) tokens > (?P<window>\d{1,9})"),
    re.compile(r"token count \((?P<tokens>\d{1,9})\) exceeds .{0,60}\((?P<window>\d{1,9})\)"),
    re.compile(r"\((?P<tokens>\d{1,9}) tokens\) .{0,60}\((?P<window>\d{1,9}) tokens\)"),
    re.compile(r"limit of (?P<window>\d{1,9}) tokens.{0,40}?resulted in (?P<tokens>\d{1,9})"),
    re.compile(r"contains (?P<tokens>\d{1,9}) tokens.{0,60}?with (?P<window>\d{1,9}) maximum"),
    re.compile(r"token limit: (?P<window>\d{1,9}) \(requested: (?P<tokens>\d{1,9})\)"),
    re.compile(r"max input tokens: (?P<window>\d{1,9}), request input token count: (?P<tokens>\d{1,9})"),
    re.compile(r"length is (?P<window>\d{1,9})(?P<tokens>)"),
)


class Complaint(msgspec.Struct, frozen=True):
    """The error object of an answer, as far as it can be trusted: text, code or type in lower case, a parameter."""

    message: str = ""
    codes: frozenset[str] = frozenset()
    param: str | None = None
    window: int | None = None  # llama.cpp says both as numbers of their own
    tokens: int | None = None


def complaint(error: Any) -> Complaint:
    """Reads `{"message", "type", "code", "param"}`, or a mere text."""
    if isinstance(error, str):
        return Complaint(message=error)
    if not isinstance(error, dict):
        return Complaint()
    message, param = error.get("message"), error.get("param")
    codes = {str(error[key]).lower() for key in ("code", "type") if isinstance(error.get(key), str | int)}
    return Complaint(
        message=message if isinstance(message, str) else "",
        codes=frozenset(codes),
        param=param if isinstance(param, str) else None,
        window=_count(error.get("n_ctx")),
        tokens=_count(error.get("n_prompt_tokens")),
    )


def refusal(status: int, headers: Mapping[str, str], body: bytes, secret: str = "") -> EngineError:
    """The error to raise for an unsuccessful answer. Only a rejection's own message and the
    field it names are shown, without `secret`."""
    said = _read(body)
    wait = retry_after(headers.get("Retry-After"))
    if status in REJECTED and NO_CREDIT not in said.message.lower():
        message, param = _shown(said.message, secret) or None, _field(said.param, secret)
        if not _says_too_long(said):
            return UpstreamRejected(message, param=param)
        window, tokens = sizes(said)
        return ContextTooLong(message, param=param, window=window, tokens=tokens)
    if status == BUSY and OUT_OF_CREDIT not in said.codes:
        return UpstreamBusy(retry_after=wait)
    if status in TIMED_OUT:
        return UpstreamTimeout(retry_after=wait)
    if status in (401, 403):
        return UpstreamError("The model's service does not accept the credential configured for it.")
    return UpstreamError(f"The model's service failed (HTTP {status}).", retry_after=wait)


def broken_stream(error: Any) -> UpstreamError:
    """The error to raise for an error object inside a stream that had begun as a success."""
    said = complaint(error)
    if not BUSY_CODES.isdisjoint(said.codes):
        return UpstreamBusy()
    return UpstreamError("The model's service broke off its answer with an error.")


def retry_after(value: str | None) -> float | None:
    """Seconds from now, of a number or an HTTP date (RFC 9110, 10.2.3); None for neither. At most an hour."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
            seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_WAIT) if math.isfinite(seconds) else None


def _read(body: bytes) -> Complaint:
    try:
        answer = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return Complaint()
    if not isinstance(answer, dict):
        return Complaint()
    return complaint(answer["error"] if "error" in answer else answer)


def _says_too_long(said: Complaint) -> bool:
    text = said.message.lower()
    return not CONTEXT_CODES.isdisjoint(said.codes) or any(words in text for words in CONTEXT_WORDS)


def sizes(said: Complaint) -> tuple[int | None, int | None]:
    """The context window and what the conversation takes of it, in tokens; None where it is not said."""
    if said.window and said.tokens:
        return said.window, said.tokens
    text = GROUPED.sub("", said.message[: 2 * MAX_MESSAGE].lower())
    found = next((match for pattern in SIZES if (match := pattern.search(text))), None)
    return (int(found["window"]), int(found["tokens"]) if found["tokens"] else None) if found else (None, None)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < 10**9 else None


def _shown(message: str, secret: str) -> str:
    if secret:
        message = message.replace(secret, "***")
    return "".join(sign if sign.isprintable() else " " for sign in message[:MAX_MESSAGE]).strip()


def _field(param: str | None, secret: str) -> str | None:
    path = _shown(param, secret) if param is not None and len(param) <= MAX_MESSAGE else ""
    return path if FIELD_PATH.fullmatch(path) else None
