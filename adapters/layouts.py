"""In which order the blocks of an assistant's message stood, for formats where that is part of what was said: thinking
between texts, a text after the call of a tool.

`extra_content` of a message: `{"blocks": [{"type": "thinking", "characters": 120, "signature": "…"}, {"type":
"redacted_thinking", "data": "…"}, {"type": "text"}, {"type": "tool_use"}]}`. The texts are where they always are, so
whoever reads a message for words or personal data finds all of them: thinking is the message's `reasoning_content` in
a row, texts are its parts, calls its `tool_calls`, each in this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapters.conversations import parts_of
from adapters.thoughts import Thought
from engine.types import Json, Message

LAYOUT: Final = "blocks"
THINKING: Final = "thinking"
REDACTED: Final = "redacted_thinking"
TEXT: Final = "text"
CALL: Final = "tool_use"

Placed = tuple[str, Thought | Json]


def laid_out(message: Message) -> list[Placed] | None:
    """Each block's kind with its thought, part or call. None: there is no layout, or it is not this message's, since
    something of it was changed."""
    layout = message.extra_content.get(LAYOUT) if message.extra_content else None
    if not isinstance(layout, list):
        return None
    return _placed(layout, list(parts_of(message.content)), message.tool_calls or [], message.reasoning_content or "")


def _placed(layout: Sequence[object], parts: list[Json], calls: list[Json], text: str) -> list[Placed] | None:
    placed: list[Placed] = []
    rest = {TEXT: iter(parts), CALL: iter(calls)}
    at = 0
    for mark in layout:
        kind = mark.get("type") if isinstance(mark, dict) else None
        if not isinstance(mark, dict) or not isinstance(kind, str):
            return None
        if kind in rest:
            found = next(rest[kind], None)
            if found is None:
                return None
            placed.append((kind, found))
            continue
        thought = _thought(kind, mark, text, at)
        if thought is None:
            return None
        at += len(thought.text)
        placed.append((kind, thought))
    whole = at == len(text) and all(next(left, None) is None for left in rest.values())
    return placed if whole else None


def _thought(kind: str, mark: Json, text: str, at: int) -> Thought | None:
    data, signature, size = mark.get("data"), mark.get("signature"), mark.get("characters")
    if kind == REDACTED and isinstance(data, str):
        return Thought(data=data)
    if kind == THINKING and isinstance(signature, str) and isinstance(size, int) and 0 <= size <= len(text) - at:
        return Thought(text[at : at + size], signature)
    return None
