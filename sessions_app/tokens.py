"""How many tokens messages are for a family of models (see `sessions_app.families`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from engine.types import Json, Message
from sessions_app import vocabularies
from sessions_app.families import Family
from sessions_app.records import encode

IMAGE: Final = 765  # 1024 x 1024 in high detail (gpt-4o)
SMALL_IMAGE: Final = 85  # whatever its size, in low detail
UNBOUNDED: Final = 1 << 62

Count = Callable[[Message], int]


class Counter:
    """Counts for one family, by its vocabulary where it has one and `exact` says so. `limit`: whoever asks needs to
    know no larger number, so that the work is bounded by it."""

    __slots__ = ("family", "limit", "_exact", "_narrow", "_wide")

    def __init__(self, family: Family, *, exact: bool, limit: int = UNBOUNDED) -> None:
        self.family = family
        self.limit = limit
        self._exact = exact and bool(family.vocabulary)
        self._narrow, self._wide = 1 / family.narrow, family.wide

    def text(self, text: str) -> int:
        if self._exact:
            return vocabularies.count(self.family.vocabulary, text, self.limit)
        size = len(text)
        if text.isascii():
            return int(size * self._narrow) + 1
        wide = (len(text.encode("utf-8", "surrogatepass")) - size) / 2  # Chinese: three bytes a character
        return int(max(0.0, size - wide) * self._narrow + wide * self._wide) + 1

    def message(self, message: Message) -> int:
        family = self.family
        tokens = family.message
        content = message.content
        if isinstance(content, str):
            tokens += self.text(content)
        elif content:
            tokens += sum(self._part(part) for part in content)
        if message.name:
            tokens += 1 + self.text(message.name)
        if message.tool_calls:
            tokens += sum(family.call + sum(map(self.text, _words(call))) for call in message.tool_calls)
        return tokens

    def messages(self, messages: Sequence[Message]) -> int:
        """Stops soon after the limit."""
        tokens = 0
        for message in messages:
            tokens += self.message(message)
            if tokens > self.limit:
                break
        return tokens

    def tools(self, tools: list[Json] | None) -> int:
        """Their JSON as text: services write them shorter, so this is not too small."""
        return self.text(encode(tools).decode()) if tools else 0

    def _part(self, part: Json) -> int:
        text = part.get("text")
        if isinstance(text, str):
            return self.text(text)
        image = part.get("image_url")
        return SMALL_IMAGE if isinstance(image, dict) and image.get("detail") == "low" else IMAGE


def _words(call: Json) -> Iterator[str]:
    function = call.get("function")
    for value in function.values() if isinstance(function, dict) else (function,):
        if isinstance(value, str):
            yield value
