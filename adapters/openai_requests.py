"""What a call becomes in the OpenAI chat format, and how services differ in what they take."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from adapters.conversations import refuse
from engine.types import Json, Message, ModelCall

FOREIGN: Final = frozenset({"thinking", "top_k"})  # of the Messages format
CACHE: Final = "cache_control"
LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

_ROLE: Final = attrgetter("role")
_CONTENT: Final = attrgetter("content")
_CALLS: Final = attrgetter("tool_calls")
_BESIDE: Final = attrgetter("reasoning_content", "tool_call_id", "extra_content")
_NOTHING: Final = (None, None, None)

_encode = msgspec.json.Encoder().encode


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a vendor differs. `send_reasoning`: earlier reasoning goes back with the conversation, all of it or that of
    the `open_turn`, since the last thing a user said; `stream_usage`: ask for the usage of streams; `headers`: more of
    them, or others; `credential`: how the key is shown; `extra_content`: which of the things beside a call of a tool go
    back; `cache_control`: marks of prompt caching are sent; `params`: which of the parameters that OpenAI does not have
    (`FOREIGN`) are; `instructions`: whose a developer's messages are
    said to be; `omit`: wishes that this service does not know, left out; `refuse`: what it cannot do, refused before it
    is asked; `rename`: parameters by other names; `call_id_length`: ids of calls are so many letters and digits;
    `fields`: more of the body; `verbatim`: callers of this format are given an answer's own bytes (see
    `adapters.openai_verbatim`)."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    send_reasoning: bool | Literal["open_turn"] = False
    stream_usage: bool = True
    headers: dict[str, str] = {}
    credential: Literal["bearer", "api-key", "x-api-key"] = "bearer"
    extra_content: tuple[str, ...] = ("google",)
    cache_control: bool = False
    params: tuple[Literal["thinking", "top_k"], ...] = ()
    instructions: Literal["developer", "system"] = "developer"
    omit: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    rename: dict[str, str] = {}
    call_id_length: Annotated[int, Meta(ge=8, le=64)] | None = None
    fields: Json = {}
    verbatim: bool = False


def body(call: ModelCall, options: Options) -> bytes:
    """Raises NotSupported for what the service cannot do."""
    request = call.request
    asked: Json = {**options.fields, **_params(call, options)}
    asked["model"] = call.model
    asked["messages"] = messages(call.messages, options)
    if request.temperature is not None:
        asked["temperature"] = request.temperature
    if request.max_tokens is not None:
        asked[options.max_tokens_field] = request.max_tokens
    if request.tools:
        asked["tools"] = [_unmarked(tool, options) for tool in request.tools]
    if request.stream:
        asked["stream"] = True
        if options.stream_usage:
            asked["stream_options"] = {"include_usage": True}
    return _encode(asked)


def _params(call: ModelCall, options: Options) -> Json:
    if options.refuse:
        refuse(call.request, *options.refuse)
    params = {key: value for key, value in call.request.params.items() if key != "stream_options"}
    if not FOREIGN.isdisjoint(params):
        params = _without_foreign(params, options)
    if options.omit or options.refuse:  # what is left of the refused says only that nothing is wanted
        gone = {*options.omit, *options.refuse}
        params = {key: value for key, value in params.items() if key not in gone}
    return {options.rename.get(key, key): value for key, value in params.items()} if options.rename else params


def _without_foreign(params: Json, options: Options) -> Json:
    """Services have no common word for no thinking at all, and models that do not think refuse every one: then nothing
    is said of it."""
    kept = {key: value for key, value in params.items() if key not in FOREIGN or key in options.params}
    if params.get("thinking", {}).get("type") == "disabled":
        kept.pop("reasoning_effort", None)
    return kept


def messages(said: list[Message], options: Options) -> list[Message]:
    """Without what this service did not say itself and could refuse. The same list where there is nothing such."""
    if _all_plain(said):
        return said
    since = _open_turn(said) if options.send_reasoning == "open_turn" else 0
    return [
        message if _plain(message) else _own(message, options, bool(options.send_reasoning) and place >= since)
        for place, message in enumerate(said)
    ]


def _open_turn(said: Sequence[Message]) -> int:
    """The place of the last thing a user said."""
    return max((place for place, message in enumerate(said) if message.role == "user"), default=0)


def _own(message: Message, options: Options, reasoning: bool) -> Message:
    content = message.content
    if isinstance(content, list):
        content = [_unmarked(part, options) for part in content]
    calls, answered, length = message.tool_calls, message.tool_call_id, options.call_id_length
    return msgspec.structs.replace(
        message,
        role=options.instructions if message.role == "developer" else message.role,
        content=content,
        reasoning_content=message.reasoning_content if reasoning else None,
        tool_calls=[_own_call(call, options) for call in calls] if calls else None,
        tool_call_id=_short(answered, length) if answered and length else answered,
        extra_content=None,
    )


def _unmarked(marked: Json, options: Options) -> Json:
    """Without a mark of prompt caching that this service would not know."""
    if options.cache_control or CACHE not in marked:
        return marked
    return {key: value for key, value in marked.items() if key != CACHE}


def _own_call(call: Json, options: Options) -> Json:
    call = _unmarked(call, options)
    extra = call.get("extra_content")
    if extra is not None:
        kept = {key: extra[key] for key in options.extra_content if key in extra}
        others = {key: value for key, value in call.items() if key != "extra_content"}
        call = {**others, "extra_content": kept} if kept else others
    if options.call_id_length:
        call = {**call, "id": _short(str(call.get("id")), options.call_id_length)}
    return call


def _short(call_id: str, length: int) -> str:
    """The id itself where it is so, else one made of it, the same each time."""
    if len(call_id) == length and call_id.isascii() and call_id.isalnum():
        return call_id
    number, signs = int.from_bytes(blake2b(call_id.encode("utf-8", "surrogatepass"), digest_size=64).digest()), ""
    while len(signs) < length:
        number, rest = divmod(number, len(LETTERS))
        signs += LETTERS[rest]
    return signs


def _all_plain(said: Sequence[Message]) -> bool:
    """As `_plain` of each, without a call for each: most conversations are nothing but texts."""
    return (
        list(map(_BESIDE, said)).count(_NOTHING) == len(said)
        and not any(map(_CALLS, said))
        and "developer" not in map(_ROLE, said)
        and list not in map(type, map(_CONTENT, said))
    )


def _plain(message: Message) -> bool:
    return (
        message.reasoning_content is None
        and not message.tool_calls
        and message.tool_call_id is None
        and message.role != "developer"
        and not isinstance(message.content, list)
        and message.extra_content is None
    )
