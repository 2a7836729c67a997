"""What a chat request may say: one schema for every edge, from a guarded object to `ChatRequest`.

Known fields are typed and bounded, a wrong one is `InvalidRequest` with its `param`; unknown fields are accepted and
dropped, in messages and content parts too: nothing unknown reaches an adapter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta

from access import cache_control, chat_fields, idempotency_keys, languages
from engine.errors import InvalidRequest
from engine.spacing import LONGEST
from engine.types import AUTO, ChatRequest, Json, Message, RawHeaders

MAX_MESSAGES = 2_000
INTERVAL: Final = b"x-stream-interval-ms"
INTERVAL_NAME: Final = "X-Stream-Interval-Ms"
RESUMABLE: Final = frozenset({"sse", "websocket"})  # edges whose turns outlive their readers
ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
PARAMS: Final = frozenset(
    {
        "frequency_penalty", "logit_bias", "logprobs", "n", "parallel_tool_calls", "presence_penalty",
        "reasoning_effort", "response_format", "seed", "service_tier", "stop", "stream_options", "tool_choice",
        "top_logprobs", "top_p", "verbosity",
    }
)  # fmt: skip
PARTS: Final[dict[str, tuple[str, type]]] = {
    "text": ("text", str),
    "image_url": ("image_url", dict),
    "input_audio": ("input_audio", dict),
    "file": ("file", dict),
    "refusal": ("refusal", str),
}

Name = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
SessionId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,128}\Z")]
Language = Annotated[str, Meta(max_length=35, pattern=r"^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*\Z")]
SessionVersion = Annotated[int, Meta(ge=1, le=10**15 - 1)]
PlaceNumber = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Tokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Text = Annotated[str, Meta(max_length=256)]
Interval = Annotated[int, Meta(ge=0, le=LONGEST)]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatFields(msgspec.Struct, kw_only=True):
    """What every edge's chat body may hold."""

    model: Name | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: Tokens | None = None
    stream: bool | None = None
    tools: list[Json] | None = None
    metadata: Json | None = None
    user: Text | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: Text | Annotated[list[Text], Meta(max_length=16)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: Json | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Text | None = None
    service_tier: Text | None = None
    verbosity: Text | None = None
    stream_options: StreamOptions | None = None


class ChatBody(ChatFields, kw_only=True):
    """`POST /api/chat` and the `chat` frame of `/ws/chat`: `message` or `messages`."""

    message: Annotated[str, Meta(min_length=1)] | None = None
    messages: Annotated[list[Message], Meta(min_length=1, max_length=MAX_MESSAGES)] | None = None
    session_id: SessionId | None = None
    user_profile: Json | None = None
    language: Language | None = None
    stream_interval: Interval | None = None


class OpenAIBody(ChatFields, kw_only=True):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: Tokens | None = None
    safety_identifier: Text | None = None
    web_search_options: Json | None = None


Body = TypeVar("Body")


def fields(body: Json, kind: Callable[..., Body] | type[Body], *, strict: bool = True) -> Body:
    """A guarded object as a typed struct; not `strict`: numbers may be written as texts, as in a query. Raises
    InvalidRequest that names the field."""
    try:
        return msgspec.convert(body, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None


def given(body: msgspec.Struct) -> Json:
    """What of a body was sent: what may be left out, and was, is not there."""
    return {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}


def chat_request(
    body: Json,
    *,
    edge: str,
    request_id: str,
    headers: RawHeaders = (),
    cache: cache_control.Wish | None = None,
    idempotency: str | None = None,
) -> ChatRequest:
    """A chat body of our own contract. It is always remembered: without `session_id` in a new session. `headers` are
    those of the request or handshake; `cache` and `idempotency` count in place of their Cache-Control and
    Idempotency-Key."""
    chat: ChatBody = fields(body, ChatBody)
    tools = _tools(chat)
    named = dict(headers)
    if (chat.message is None) == (chat.messages is None):
        raise InvalidRequest("Give either message or messages.", param="message")
    messages = [Message("user", chat.message)] if chat.message is not None else _messages(chat.messages or [])
    return ChatRequest(
        messages=messages,
        model=chat.model or AUTO,
        temperature=chat.temperature,
        max_tokens=chat.max_tokens,
        stream=chat.stream is True,
        tools=tools,
        params=_params(body),
        metadata=chat.metadata or {},
        session_id=chat.session_id,
        remember=True,
        user=chat.user,
        user_profile=chat.user_profile,
        language=chat.language or preferred_language(named.get(b"accept-language")),
        idempotency=idempotency_key(headers, named) if idempotency is None else idempotency,
        headers=headers,
        cache=cache_wish(headers, named) if cache is None else cache,
        resumable=edge in RESUMABLE,
        stream_interval=stream_interval(named) if chat.stream_interval is None else chat.stream_interval,
        edge=edge,
        request_id=request_id,
    )


def openai_request(body: Json, *, request_id: str, headers: RawHeaders = ()) -> ChatRequest:
    """An OpenAI chat body. The header `X-Session-Id` makes it a remembered turn, of a new session if there is none of
    that name."""
    chat: OpenAIBody = fields(body, OpenAIBody)
    chat_fields.refuse_unknown(body)
    tools = _tools(chat)
    return ChatRequest(
        messages=_messages(chat.messages),
        model=chat.model or AUTO,
        temperature=chat.temperature,
        max_tokens=chat.max_completion_tokens if chat.max_completion_tokens is not None else chat.max_tokens,
        stream=chat.stream is True,
        tools=tools,
        params=_params(body) | chat_fields.search(body),
        metadata=chat.metadata or {},
        user=chat.user if chat.user is not None else chat.safety_identifier,
        headers=headers,
        edge="openai",
        request_id=request_id,
        **told(headers),
    )


def told(headers: RawHeaders) -> dict[str, Any]:
    """What formats of others have no field for: the fields of a ChatRequest that its headers decide."""
    named = dict(headers)
    given = named.get(b"x-session-id")
    session_id = safe_session_id(given.decode("latin-1"), "X-Session-Id") if given is not None else None
    return {
        "session_id": session_id,
        "remember": session_id is not None,
        "create_session": session_id is not None,
        "language": preferred_language(named.get(b"accept-language")),
        "idempotency": idempotency_key(headers, named),
        "cache": cache_wish(headers, named),
        "stream_interval": stream_interval(named),
    }


def include_usage(request: ChatRequest) -> bool:
    """Whether a stream ends with a chunk of usage."""
    options = request.params.get("stream_options")
    return bool(options and options.get("include_usage"))


class ProfilePatch(msgspec.Struct, kw_only=True):
    """`PATCH /api/sessions/{id}`; what is absent stays. `pinned` are places `[turn, message]` of messages that models
    are always sent. With `if_version` only if the session is at that version."""

    user_profile: Json | msgspec.UnsetType = msgspec.UNSET
    name: Annotated[str, Meta(max_length=200)] | msgspec.UnsetType = msgspec.UNSET
    pinned: Annotated[list[tuple[PlaceNumber, PlaceNumber]], Meta(max_length=100)] | msgspec.UnsetType = msgspec.UNSET
    if_version: SessionVersion | msgspec.UnsetType = msgspec.UNSET


class ScoreBody(msgspec.Struct, kw_only=True):
    """`POST /api/route/score`."""

    text: str


def safe_session_id(value: str, param: str = "session_id") -> str:
    if not _SESSION_ID.match(value):
        raise InvalidRequest(f"{param} must be 1 to 128 letters, digits, dots, underscores or hyphens.", param=param)
    return value


def preferred_language(header: bytes | None) -> str | None:
    """The best language of an Accept-Language header; None for `*`, nonsense or nothing."""
    return next(iter(languages.ranked(header)), None)


def cache_wish(headers: RawHeaders, named: dict[bytes, bytes]) -> cache_control.Wish:
    """What Cache-Control says; `named` are the same headers by their names."""
    return cache_control.wish(headers) if cache_control.HEADER in named else ""


def idempotency_key(headers: RawHeaders, named: dict[bytes, bytes]) -> str:
    """The request's, empty where it has none. Raises InvalidRequest."""
    return idempotency_keys.given(headers) if idempotency_keys.HEADER in named else ""


def stream_interval(named: dict[bytes, bytes]) -> int | msgspec.UnsetType:
    """The milliseconds between two events that a caller wants; unset: it says nothing. Raises InvalidRequest."""
    given = named.get(INTERVAL)
    if given is None:
        return UNSET
    if not given.isdigit() or len(given) > 2 or int(given) > LONGEST:
        raise InvalidRequest(f"{INTERVAL_NAME} must be a number of milliseconds, 0 to {LONGEST}.", param=INTERVAL_NAME)
    return int(given)


_SESSION_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_AT_PATH = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`\Z")


def _invalid(error: msgspec.ValidationError) -> InvalidRequest:
    """msgspec says "Expected `int`, got `str` - at `$.max_tokens`"."""
    text = str(error)
    at = _AT_PATH.search(text)
    reason = text[: at.start()] if at else text
    param = ".".join(part for part in (at[1] if at else "", _whole_field(reason)) if part)
    reason = reason.replace("`", "")
    if "matching regex" in reason:
        reason = "has characters that are not allowed"
    return InvalidRequest(f"{param}: {reason}." if param else f"{reason}.", param=param or None)


def _whole_field(text: str) -> str:
    match = re.fullmatch(r"Object (?:missing required|contains unknown) field `(.*)`", text, re.DOTALL)
    return match[1][:200] if match else ""


def _params(body: Json) -> Json:
    params = {key: value for key, value in body.items() if key in PARAMS and value is not None}
    if params.get("tool_choice") == chat_fields.ANY:
        params["tool_choice"] = "required"
    return params


def _tools(chat: ChatFields) -> list[Json] | None:
    """The tools, with what else of the body must fit them."""
    if chat.tools is None and chat.tool_choice is None and chat.response_format is None:
        return None
    tools = chat_fields.tools(chat.tools)
    chat_fields.check_choice(chat.tool_choice, tools)
    chat_fields.check_format(chat.response_format)
    return tools


def _messages(messages: list[Message]) -> list[Message]:
    return [
        message
        if type(message.content) is str and message.tool_calls is None and message.role in _SAID and not message.passing
        else _checked(message, f"messages[{index}]")
        for index, message in enumerate(messages)
    ]


_SAID = frozenset({"system", "developer", "user", "assistant"})


def _checked(message: Message, at: str) -> Message:
    if message.role not in ROLES:
        raise InvalidRequest(f"{at}.role: must be one of {', '.join(sorted(ROLES))}.", param=f"{at}.role")
    if message.content is None and not (message.role == "assistant" and (message.tool_calls or message.refusal)):
        raise InvalidRequest(f"{at}.content: is missing.", param=f"{at}.content")
    if message.role == "tool" and not message.tool_call_id:
        raise InvalidRequest(f"{at}.tool_call_id: is missing.", param=f"{at}.tool_call_id")
    changes: dict[str, Any] = {"passing": False}  # what a session keeps is not a message's to say
    if isinstance(message.content, list):
        changes["content"] = [_part(part, f"{at}.content[{index}]") for index, part in enumerate(message.content)]
    if message.tool_calls is not None:
        calls = [_tool_call(call, f"{at}.tool_calls[{index}]") for index, call in enumerate(message.tool_calls)]
        changes["tool_calls"] = calls or None
    return msgspec.structs.replace(message, **changes)


def _part(part: Json, at: str) -> Json:
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in PARTS:
        raise InvalidRequest(f"{at}.type: must be one of {', '.join(PARTS)}.", param=f"{at}.type")
    key, shape = PARTS[kind]
    value = part.get(key)
    if not isinstance(value, shape):
        raise InvalidRequest(f"{at}.{key}: is missing or of the wrong type.", param=f"{at}.{key}")
    mark = part.get("cache_control")
    return {"type": kind, key: value, **({"cache_control": cache_mark(mark)} if isinstance(mark, dict) else {})}


def cache_mark(mark: Json) -> Json:
    """Of prompt caching: where a prompt that will come again ends, and how long it is worth keeping."""
    ttl = {"ttl": mark["ttl"]} if mark.get("ttl") in ("5m", "1h") else {}
    return {"type": "ephemeral", **ttl}


def _tool_call(call: Json, at: str) -> Json:
    function = call.get("function")
    if not isinstance(call.get("id"), str):
        raise InvalidRequest(f"{at}.id: must be a string.", param=f"{at}.id")
    if not isinstance(function, dict) or not all(isinstance(function.get(key), str) for key in ("name", "arguments")):
        raise InvalidRequest(f"{at}.function: needs name and arguments, both strings.", param=f"{at}.function")
    extra = call.get("extra_content")
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": function["name"], "arguments": function["arguments"]},
        **({"extra_content": extra} if isinstance(extra, dict) else {}),  # signatures of the model that made the call
    }
