"""Where a message, a tool, a parameter or a profile holds text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from engine.types import Json, Message


class Reader(Protocol):
    """What is done to each text: the same text back, or another in its place."""

    def whole(self, text: str) -> str: ...

    def arguments(self, text: str) -> str:
        """The arguments of a tool call, which are JSON or should be."""

    def joined(self, texts: Sequence[str]) -> list[str]:
        """Texts that a model reads one after the other; as many come back."""


# In a part of a message: addresses and encoded data, which a model does not read as text. Only as plain strings.
NOT_TEXT: Final = frozenset(
    {"url", "data", "file_id", "file_data", "format", "detail", "mime_type", "media_type"}
    | {"signature", "thought_signature", "encrypted_content"}
)

# Names of the format itself (OpenAI's, JSON Schema's): a list that holds one of them does not break every request.
FORMAT_KEYS: Final = frozenset(
    {"type", "role", "id", "index", "name", "text", "content", "function", "arguments", "input", "output", "custom"}
    | {"image_url", "input_audio", "file", "filename", "refusal", "cache_control", "tool_call_id", "tool_use_id"}
    | {"parameters", "description", "strict", "properties", "required", "items", "enum", "const", "default", "title"}
    | {"additionalProperties", "anyOf", "allOf", "oneOf", "not", "minimum", "maximum", "minLength", "maxLength"}
    | {"minItems", "maxItems", "uniqueItems", "pattern", "examples", "$ref", "$defs", "$schema", "definitions"}
    | {"json_schema", "schema", "grammar", "syntax", "definition", "allowed_tools", "tools", "mode"}
    | {"extra_content", "include_usage", "thinking", "budget_tokens", "display", "effort", "top_k"}
    | NOT_TEXT
)
# Where one of the format's own values may stand, and those values.
_SETTINGS: Final = frozenset(
    {"type", "role", "tool_choice", "mode", "syntax", "reasoning_effort", "verbosity", "service_tier"}
    | {"effort", "display"}
)
_SETTING_VALUES: Final = frozenset(
    {"function", "custom", "text", "image_url", "input_audio", "file", "refusal", "tool_result", "tool_use"}
    | {"json_object", "json_schema", "grammar", "lark", "regex", "allowed_tools", "ephemeral", "thinking"}
    | {"object", "array", "string", "number", "integer", "boolean", "null"}
    | {"auto", "none", "required", "default", "flex", "priority", "scale"}
    | {"minimal", "low", "medium", "high", "xhigh", "max"}
    | {"enabled", "disabled", "adaptive", "summarized", "omitted"}
    | {"system", "developer", "user", "assistant", "tool"}
)


def rewrite_message(message: Message, reader: Reader) -> Message:
    """The message with every text passed through the reader: content, name, ids, reasoning, refusal, tool calls, in
    parts at any depth. The same object where nothing changed."""
    content = message.content
    if isinstance(content, str) and not (message.tool_calls or message.reasoning_content or message.refusal):
        if not (message.name or message.tool_call_id):  # as nearly every message is
            text = reader.whole(content)
            return message if text is content else msgspec.structs.replace(message, content=text)
    changes: dict[str, Any] = {}
    for field in ("reasoning_content", "content", "refusal", "name", "tool_call_id"):
        value = getattr(message, field)
        if value:
            rewritten = reader.whole(value) if isinstance(value, str) else rewrite_tree(value, reader, skip=NOT_TEXT)
            if rewritten is not value:
                changes[field] = rewritten
    if message.tool_calls:
        calls = rewrite_each(message.tool_calls, [rewrite_call(call, reader) for call in message.tool_calls])
        if calls is not message.tool_calls:
            changes["tool_calls"] = calls
    return msgspec.structs.replace(message, **changes) if changes else message


def rewrite_call(call: Json, reader: Reader) -> Json:
    """A whole tool call. The same object where nothing changed."""
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        whole: Json = rewrite_tree(call, reader, skip=NOT_TEXT)
        return whole
    raw = function["arguments"]
    others = {key: value for key, value in function.items() if key != "arguments"}
    plain = {**call, "function": others}
    safe, arguments = rewrite_tree(plain, reader, skip=NOT_TEXT), reader.arguments(raw)
    if safe is plain and arguments == raw:
        return call
    return {**safe, "function": {**safe["function"], "arguments": arguments}}


def rewrite_tree(
    value: Any, reader: Reader, *, skip: frozenset[str] = frozenset(), known: frozenset[str] = FORMAT_KEYS
) -> Any:
    """The value with every text in it passed through the reader, keys too except the `known`; strings under a key of
    `skip` are left. The same object where nothing changed."""
    if isinstance(value, str):
        text = reader.whole(value)
        return value if text == value else text
    if isinstance(value, list):
        return _rewrite_list(value, reader, skip, known)
    if isinstance(value, dict):
        return _rewrite_fields(value, reader, skip, known)
    if not known and isinstance(value, int | float) and not isinstance(value, bool):
        text = str(value)  # of a profile: it becomes part of a prompt, digits and all
        rewritten = reader.whole(text)
        return value if rewritten == text else rewritten
    return value


def rewrite_each(old: list[Any], new: list[Any]) -> list[Any]:
    """The new list, or the old one where nothing changed."""
    return new if any(mine is not theirs for mine, theirs in zip(new, old, strict=True)) else old


def _rewrite_list(items: list[Any], reader: Reader, skip: frozenset[str], known: frozenset[str]) -> list[Any]:
    """Text parts in one list are read as one text too, so that no word hides in the seam between two."""
    parts = [place for place, item in enumerate(items) if isinstance(item, dict) and isinstance(item.get("text"), str)]
    rewritten = list(items)
    if len(parts) > 1:
        before = [items[place]["text"] for place in parts]
        for place, old, text in zip(parts, before, reader.joined(before), strict=True):
            if text != old:
                rewritten[place] = {**items[place], "text": text}
    rewritten = [rewrite_tree(item, reader, skip=skip, known=known) for item in rewritten]
    return rewrite_each(items, rewritten)


def _rewrite_fields(fields: Json, reader: Reader, skip: frozenset[str], known: frozenset[str]) -> Json:
    rewritten: Json = {}
    changed = False
    for key, value in fields.items():
        name = key if key in known else reader.whole(key)
        while name != key and (name in rewritten or name in fields):  # two that are masked alike both stay
            name += "*"
        safe = value
        if not isinstance(value, str) or not (key in skip or (known and key in _SETTINGS and value in _SETTING_VALUES)):
            safe = rewrite_tree(value, reader, skip=skip, known=known)
        changed = changed or safe is not value or name != key
        rewritten[name] = safe
    return rewritten if changed else fields
