"""Where a message holds text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from engine.types import Json, Message

Rewrite = Callable[[str], str]

# In a part of a message: names, addresses and encoded data, which a model does not read as text.
NOT_TEXT: Final = frozenset(
    {
        "type",
        "role",
        "id",
        "index",
        "url",
        "data",
        "file_id",
        "file_data",
        "format",
        "detail",
        "mime_type",
        "media_type",
    }
    | {"tool_call_id", "tool_use_id", "cache_control", "signature", "encrypted_content"}
)


def rewrite_message(message: Message, rewrite: Rewrite) -> Message:
    """The message with every text passed through `rewrite`: content, name, reasoning, refusal, tool calls, in parts at
    any depth. The same object where nothing changed."""
    changes: dict[str, Any] = {}
    for field in ("reasoning_content", "content", "refusal", "tool_calls", "name"):
        value = getattr(message, field)
        if value:
            rewritten = rewrite_texts(value, rewrite)
            if rewritten is not value:
                changes[field] = rewritten
    return msgspec.structs.replace(message, **changes) if changes else message


def rewrite_texts(value: Any, rewrite: Rewrite) -> Any:
    """The value with every text in it passed through `rewrite`. The same object where nothing changed."""
    if isinstance(value, str):
        text = rewrite(value)
        return value if text == value else text
    if isinstance(value, list):
        items = [rewrite_texts(item, rewrite) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if isinstance(value, dict):
        return _rewrite_fields(value, rewrite)
    return value


def _rewrite_fields(fields: Json, rewrite: Rewrite) -> Json:
    changes = {}
    for key, value in fields.items():
        if key not in NOT_TEXT:
            rewritten = rewrite_texts(value, rewrite)
            if rewritten is not value:
                changes[key] = rewritten
    return {**fields, **changes} if changes else fields
