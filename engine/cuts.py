"""Where the deltas of an answer began and ended, so that a recorded turn can be streamed again as it was.

`Completion.cuts` is a list of marks. A number is a piece of so many characters of the text that is being cut, at first
the content of choice 0. A word turns to another text: `content`, `reasoning` or `refusal`, with `:1` and so on for
other choices. An object is a delta of any other kind: the same names with numbers of characters, `tool_calls` as they
were sent, `index` beside choice 0."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, cast

from engine.types import Choice, Content, Delta, Json

MAX_MARKS: Final = 20_000  # of a longer stream nothing is kept
TEXTS: Final = ("content", "reasoning", "refusal")

Mark = int | str | Json


class Cuts:
    """Of one answer as it grows; costs a fraction of a microsecond a delta."""

    __slots__ = ("_text", "marks")

    def __init__(self) -> None:
        self.marks: list[Mark] | None = []
        self._text = "content"

    def add(self, delta: Delta) -> None:
        marks = self.marks
        if marks is None:
            return
        content = delta.content
        if content is not None and not (delta.index or delta.tool_calls) and delta.reasoning is delta.refusal is None:
            if self._text != "content":
                self._text = "content"
                marks.append("content")
            marks.append(len(content))
        else:
            self._add_other(marks, delta)
        if len(marks) > MAX_MARKS:
            self.marks = None

    def _add_other(self, marks: list[Mark], delta: Delta) -> None:
        texts = {name: len(text) for name in TEXTS if (text := getattr(delta, name)) is not None}
        if len(texts) == 1 and not delta.tool_calls:
            ((name, size),) = texts.items()
            text = f"{name}:{delta.index}" if delta.index else name
            if self._text != text:
                self._text = text
                marks.append(text)
            marks.append(size)
            return
        mark: Json = dict(texts)
        if delta.tool_calls:
            mark["tool_calls"] = delta.tool_calls
        if delta.index:
            mark["index"] = delta.index
        marks.append(mark)


def pieces(marks: Sequence[Mark], choices: Sequence[Choice]) -> list[Delta]:
    """The deltas that `choices` were folded from, but for log probabilities. Raises ValueError: these marks are not of
    this answer."""
    cut = _Cutter(choices)
    found, text, index = [], "content", 0
    for mark in marks:
        if isinstance(mark, str):
            text, _, number = mark.partition(":")
            index = int(number or 0)
        elif isinstance(mark, int):
            whole: Json = {text: cut(index, text, mark)}
            found.append(Delta(**whole, index=index))
        else:
            whose = mark.get("index", 0)
            texts: Json = {name: cut(whose, name, mark[name]) for name in TEXTS if name in mark}
            found.append(Delta(**texts, tool_calls=mark.get("tool_calls"), index=whose))
    cut.check_nothing_left()
    if any(choice.message.tool_calls for choice in choices) and not any(delta.tool_calls for delta in found):
        raise ValueError("an answer calls tools, and its deltas did not")
    return found


class _Cutter:
    """Takes texts apart from their beginning on."""

    def __init__(self, choices: Sequence[Choice]) -> None:
        self._texts: dict[tuple[int, str], str] = {}
        for choice in choices:
            message = choice.message
            for name, text in zip(TEXTS, (message.content, message.reasoning_content, message.refusal), strict=True):
                self._texts[choice.index, name] = _plain(text)
        self._places: defaultdict[tuple[int, str], int] = defaultdict(int)

    def __call__(self, index: int, name: str, size: int) -> str:
        place = self._places[index, name]
        piece = self._texts.get((index, name), "")[place : place + size]
        if len(piece) != size:
            raise ValueError("an answer is shorter than its deltas were")
        self._places[index, name] = place + size
        return piece

    def check_nothing_left(self) -> None:
        if any(self._places[where] != len(text) for where, text in self._texts.items()):
            raise ValueError("an answer is longer than its deltas were")


def _plain(text: Content) -> str:
    return cast(Any, text) if isinstance(text, str) else ""
