"""A part of a conversation as one text, for a model that is to read it and not to answer it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from engine.types import Json, Message

LONGEST: Final = 8_000  # characters of one message; the middle of a longer one is left out
TAG: Final = "conversation"


def transcript(turns: Sequence[Sequence[Message]], summary: str = "") -> str:
    """`summary` is one of what came before."""
    lines = [f"earlier summary: {_short(summary)}"] if summary else []
    lines += [line for turn in turns for message in turn for line in _lines(message)]
    inside = "\n\n".join(lines).replace(f"</{TAG}", f"< /{TAG}")
    return f"<{TAG}>\n{inside}\n</{TAG}>"


def _lines(message: Message) -> Iterator[str]:
    content = message.content
    if isinstance(content, str):
        text = content
    else:
        text = " ".join(_part(part) for part in content or ())
    if text.strip():
        yield f"{message.role}: {_short(text)}"
    for call in message.tool_calls or ():
        function = call.get("function")
        if isinstance(function, dict):
            yield f"{message.role} calls {function.get('name')}: {_short(str(function.get('arguments', '')))}"


def _part(part: Json) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else f"({part.get('type', 'something')})"


def _short(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} … (left out) … {text[-half:]}"
