"""Cuts a condition into tokens that know their column. The grammar is in `routing.conditions`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Self


def gettext_noop(message: str) -> str:
    """Marks it for `tools/messages.py`. Django's would bring all of Django to who only wants to know a score."""
    return message


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

_TOO_LONG = gettext_noop("a condition has at most %(most)d characters")
WORDED = frozenset(  # what stands inside a reason and is a word of a language, too
    (
        gettext_noop("a number"),
        gettext_noop("a text in quotes"),
        gettext_noop("true or false"),
        gettext_noop("a value"),
        gettext_noop("a field, a value, not or ("),
        gettext_noop("the end"),
        gettext_noop("and, or or the end"),
        gettext_noop("an operator (< <= > >= == != in)"),
        gettext_noop("a list such as ['zh', 'en']"),
        gettext_noop(", or ]"),
    )
)


class Reason(str):
    """In English. `translated(gettext)` says the same in another language."""

    _template: str
    _params: Mapping[str, object]

    def __new__(cls, template: str, params: Mapping[str, object]) -> Self:
        made = super().__new__(cls, template % params)
        made._template, made._params = template, params
        return made

    def translated(self, gettext: Callable[[str], str]) -> str:
        params = {name: gettext(each) if each in WORDED else each for name, each in self._params.items()}
        return gettext(self._template) % params


class ConditionError(ValueError):
    """A condition that cannot be: `column` counts from 1, `reason` says what was expected there: `template` with
    `params`, for who reads another language."""

    def __init__(self, column: int, template: str, **params: object) -> None:
        self.column = column
        self.reason = Reason(template, params)
        super().__init__(f"column {column}: {self.reason}")


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
        raise ConditionError(MAX_LENGTH + 1, _TOO_LONG, most=MAX_LENGTH)
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
        raise ConditionError(column, gettext_noop("%(number)s is too large for a number"), number=raw)
    return value


def _unreadable(text: str, place: int) -> ConditionError:
    while text[place].isspace():
        place += 1
    character = text[place]
    if character in "\"'":
        never = gettext_noop("this text is never closed, expected another %(quote)s")
        return ConditionError(place + 1, never, quote=character)
    if character == "=":
        return ConditionError(place + 1, gettext_noop("expected == to compare"))
    if (hint := {"&": "and", "|": "or", "!": "!= or not"}.get(character)) is not None:
        meant = gettext_noop("%(sign)s has no meaning here, expected %(hint)s")
        return ConditionError(place + 1, meant, sign=repr(character), hint=hint)
    return ConditionError(place + 1, gettext_noop("%(sign)s has no meaning here"), sign=repr(character))
