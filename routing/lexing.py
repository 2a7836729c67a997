"""Cuts a condition into tokens that know their column. The grammar is in `routing.conditions`."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

MAX_LENGTH = 1000  # characters of one condition

Kind = Literal["name", "number", "text", "operator", "end"]
Scalar = str | int | float | bool

WORDS = frozenset({"and", "or", "not", "in", "true", "false"})

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[^\W\d]\w*(?:\.[\w-]+)*)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<operator><=|>=|==|!=|[<>()\[\],])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class ConditionError(ValueError):
    """A condition that cannot be: `column` counts from 1, `reason` says what was expected there."""

    def __init__(self, column: int, reason: str) -> None:
        self.column = column
        self.reason = reason
        super().__init__(f"column {column}: {reason}")


class Token(NamedTuple):
    """`value` is the name or operator itself, or the literal's value; key words are lower-case operators."""

    kind: Kind
    value: Scalar
    column: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else repr(self.value)


def tokens(text: str) -> list[Token]:
    """The tokens of the text, the last one of kind `end`. Raises ConditionError."""
    if len(text) > MAX_LENGTH:
        raise ConditionError(MAX_LENGTH + 1, f"a condition has at most {MAX_LENGTH} characters")
    found: list[Token] = []
    place = 0
    end = len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise _unreadable(text, place)
        found.append(_token(match))
        place = match.end()
    return [*found, Token("end", "", end + 1)]


def _token(match: re.Match[str]) -> Token:
    kind = match.lastgroup
    assert kind is not None
    raw = match[kind]
    column = match.start(kind) + 1
    if kind == "number":
        return Token("number", _number(raw, column), column)
    if kind == "text":
        return Token("text", _ESCAPED.sub(r"\1", raw[1:-1]), column)
    if kind == "name" and raw.lower() not in WORDS:
        return Token("name", raw, column)
    return Token("operator", raw.lower(), column)


def _number(raw: str, column: int) -> int | float:
    if raw.lstrip("-").isdigit():
        return int(raw)
    value = float(raw)
    if value in (float("inf"), float("-inf")):
        raise ConditionError(column, f"{raw} is too large for a number")
    return value


def _unreadable(text: str, place: int) -> ConditionError:
    while text[place].isspace():
        place += 1
    character = text[place]
    if character in "\"'":
        return ConditionError(place + 1, f"this text is never closed, expected another {character}")
    if character == "=":
        return ConditionError(place + 1, "expected == to compare")
    hint = {"&": ", expected and", "|": ", expected or", "!": ", expected != or not"}.get(character, "")
    return ConditionError(place + 1, f"{character!r} has no meaning here{hint}")
