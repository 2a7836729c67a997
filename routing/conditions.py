"""The condition language of routing rules, compiled to closures. Nothing is ever evaluated as Python.

    condition  = conjunct { "or" conjunct }
    conjunct   = negation { "and" negation }
    negation   = "not" negation | "(" condition ")" | comparison
    comparison = operand [ ("<" | "<=" | ">" | ">=" | "==" | "!=") operand
                         | ["not"] "in" ( list | metadata field ) ]
    list       = "[" literal { "," literal } "]"
    operand    = field | literal

    max_tokens < 2000        language in ["zh", "en"] and not has_tools        metadata.plan == "gold"
    header.x-team != "research"

A comparison with a field the request does not have is false, whatever the operator; so is one whose kinds differ
(`metadata.n < 3` where `n` is a text). Evaluation never raises.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from routing.headers import HEADER, is_credential, is_name
from routing.lexing import ConditionError, Scalar, Token, gettext_noop, tokens

__all__ = ["FIELDS", "Condition", "ConditionError", "compile_condition"]

MAX_DEPTH: Final = 32  # of parentheses and `not`

Kind = Literal["number", "text", "boolean", "any"]
Values = Mapping[str, Any]
Test = Callable[[Values], bool]

FIELDS: Final[Mapping[str, Kind]] = {
    "model": "text",
    "max_tokens": "number",
    "temperature": "number",
    "stream": "boolean",
    "prompt_tokens": "number",
    "complexity_score": "number",
    "language": "text",
    "has_tools": "boolean",
    "has_images": "boolean",
    "user": "text",
    "hour": "number",
    "intent": "text",
    "intent_score": "number",
}
METADATA: Final = "metadata."

_KINDS: Final[Mapping[type, Kind]] = {int: "number", float: "number", str: "text", bool: "boolean"}
_NOUNS: Final = {"number": "a number", "text": "a text in quotes", "boolean": "true or false", "any": "a value"}
_ORDERINGS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_EQUALITIES: Final[Mapping[str, Callable[[Any, Any], bool]]] = {"==": operator.eq, "!=": operator.ne}
_COMPARISONS: Final = {**_ORDERINGS, **_EQUALITIES}
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class Condition(msgspec.Struct, frozen=True):
    """`test` reads the `fields` it needs from a mapping, where None means absent. It makes at most so many
    `comparisons`; a membership is one, and so is a field by itself."""

    text: str
    fields: frozenset[str]
    comparisons: int
    test: Test


def compile_condition(text: str) -> Condition:
    """Raises ConditionError, which names the column and what was expected there."""
    parser = _Parser(tokens(text))
    test = parser.condition()
    if parser.here.kind != "end":
        raise parser.unexpected("and, or or the end")
    return Condition(text, frozenset(parser.fields), parser.comparisons, test)


class _Operand(msgspec.Struct, frozen=True):
    token: Token
    kind: Kind

    @property
    def name(self) -> str | None:
        return str(self.token.value) if self.token.kind == "name" else None


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.fields: set[str] = set()
        self.comparisons = 0
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    @property
    def here(self) -> Token:
        return self._tokens[self._place]

    def unexpected(self, expected: str) -> ConditionError:
        wrong = gettext_noop("expected %(expected)s, found %(found)s")
        return ConditionError(self.here.column, wrong, expected=expected, found=str(self.here))

    def _take(self) -> Token:
        token = self.here
        self._place += 1
        return token

    def _takes(self, sign: str) -> bool:
        if self.here.kind == "operator" and self.here.value == sign:
            self._place += 1
            return True
        return False

    def _must_take(self, sign: str) -> None:
        if not self._takes(sign):
            raise self.unexpected(sign)

    def condition(self) -> Test:
        tests = [self._conjunct()]
        while self._takes("or"):
            tests.append(self._conjunct())
        return tests[0] if len(tests) == 1 else lambda values: any(test(values) for test in tests)

    def _conjunct(self) -> Test:
        tests = [self._negation()]
        while self._takes("and"):
            tests.append(self._negation())
        return tests[0] if len(tests) == 1 else lambda values: all(test(values) for test in tests)

    def _negation(self) -> Test:
        column = self.here.column
        if self._takes("not"):
            self._deeper(column)
            test = self._negation()
            self._depth -= 1
            return lambda values: not test(values)
        if self._takes("("):
            self._deeper(column)
            test = self.condition()
            self._must_take(")")
            self._depth -= 1
            return test
        return self._comparison()

    def _deeper(self, column: int) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConditionError(column, gettext_noop("nested more than %(most)d deep"), most=MAX_DEPTH)

    def _comparison(self) -> Test:
        self.comparisons += 1
        left = self._operand()
        sign = self.here
        if sign.kind == "operator" and sign.value in _COMPARISONS:
            self._take()
            return _compare(left, sign, self._operand())
        if self._takes("not"):
            self._must_take("in")
            return self._membership(left, wanted=False)
        if self._takes("in"):
            return self._membership(left, wanted=True)
        return self._bare(left)

    def _bare(self, operand: _Operand) -> Test:
        """A field that is a condition by itself."""
        name = operand.name
        if name is None or operand.kind not in ("boolean", "any"):
            raise self.unexpected("an operator (< <= > >= == != in)")
        return lambda values: values[name] is True

    def _operand(self) -> _Operand:
        token = self.here
        if token.kind == "name":
            self._take()
            return self._field(token)
        value = self._literal("a field, a value, not or (")
        return _Operand(Token(token.kind, value, token.column), _KINDS[type(value)])

    def _field(self, token: Token) -> _Operand:
        name = str(token.value)
        kind: Kind | None = FIELDS.get(name)
        if name.startswith(METADATA):
            kind = "any"
        elif name.startswith(HEADER):
            kind, name = "text", name.lower()
            _check_header(name.removeprefix(HEADER), token.column)
        if kind is None:
            expected = ", ".join((*FIELDS, "metadata.<key>", "header.<name>"))
            unknown = gettext_noop("there is no field %(name)s, expected one of: %(expected)s")
            raise ConditionError(token.column, unknown, name=repr(name), expected=expected)
        self.fields.add(name)
        return _Operand(token._replace(value=name), kind)

    def _literal(self, expected: str) -> Scalar:
        token = self.here
        if token.kind in ("number", "text"):
            return self._take().value
        if token.kind == "operator" and token.value in ("true", "false"):
            return self._take().value == "true"
        raise self.unexpected(expected)

    def _membership(self, left: _Operand, *, wanted: bool) -> Test:
        if self.here.kind == "name":
            return self._in_metadata(left, wanted)
        if left.name is None:
            raise ConditionError(left.token.column, gettext_noop("expected a field before in [...]"))
        members = {self._key(value) for value in self._list(left)}
        name = left.name
        return lambda values: (key := _key_of(values[name])) is not None and (key in members) is wanted

    def _in_metadata(self, left: _Operand, wanted: bool) -> Test:
        """`"vip" in metadata.tags`, where the request's metadata holds a list."""
        token = self.here
        if not str(token.value).startswith(METADATA) or left.name is not None:
            raise self.unexpected("a list such as ['zh', 'en']")
        self._take()
        self._field(token)
        name, value = str(token.value), left.token.value
        if value not in (0, 1):  # those alone are equal to values of another kind, False and True
            return lambda values: isinstance(held := values[name], list) and (value in held) is wanted
        kind = left.kind

        def test(values: Values) -> bool:
            held = values[name]
            if not isinstance(held, list):
                return False
            return (value in [each for each in held if _KINDS.get(type(each)) == kind]) is wanted

        return test

    def _list(self, left: _Operand) -> list[Scalar]:
        if not self._takes("["):
            raise self.unexpected("a list such as ['zh', 'en']")
        found: list[Scalar] = []
        while True:
            column = self.here.column
            value = self._literal("a value")
            _check_kind(left.kind, _KINDS[type(value)], column, left.token)
            found.append(value)
            if not self._takes(","):
                break
        if not self._takes("]"):
            raise self.unexpected(", or ]")
        return found

    @staticmethod
    def _key(value: Scalar) -> tuple[Kind, Scalar]:
        return _KINDS[type(value)], value


def _key_of(value: object) -> tuple[Kind, Any] | None:
    """Makes True and 1 differ. None: absent, or nothing that can be compared."""
    kind = _KINDS.get(type(value))
    return None if kind is None else (kind, value)


def _check_header(name: str, column: int) -> None:
    if not is_name(name):
        wrong = gettext_noop("no header is called %(name)s, expected letters a to z, digits, - and _")
        raise ConditionError(column, wrong, name=repr(name))
    if is_credential(name):
        secret = gettext_noop("the header %(name)s holds a credential, which decision records must not repeat")
        raise ConditionError(column, secret, name=name)


def _check_kind(expected: Kind, found: Kind, column: int, beside: Token) -> None:
    if found not in (expected, "any") and expected != "any":
        other = gettext_noop("%(field)s is compared with %(expected)s, found %(found)s")
        raise ConditionError(column, other, field=beside.value, expected=_NOUNS[expected], found=_NOUNS[found])


def _compare(left: _Operand, sign: Token, right: _Operand) -> Test:
    if left.name is None:
        if right.name is None:
            raise ConditionError(left.token.column, gettext_noop("expected a field on one side of the comparison"))
        left, right = right, left
        sign = sign._replace(value=_MIRRORED[str(sign.value)])
    _check_kind(left.kind, right.kind, right.token.column, left.token)
    if sign.value in _ORDERINGS:
        for operand in (left, right):
            if operand.kind not in ("number", "any"):
                unordered = gettext_noop("only numbers have an order, expected == or != for %(operand)s")
                raise ConditionError(sign.column, unordered, operand=operand.token.value)
    compare = _COMPARISONS[str(sign.value)]
    assert left.name is not None
    if right.name is not None:
        return _two_fields(left.name, compare, right.name, ordered=sign.value in _ORDERINGS)
    if left.kind == "any":
        return _loose(left.name, compare, right.token.value)
    return _strict(left.name, compare, right.token.value)


def _strict(name: str, compare: Callable[[Any, Any], bool], literal: Scalar) -> Test:
    """A field whose kind the request schema guarantees."""
    return lambda values: (value := values[name]) is not None and compare(value, literal)


def _loose(name: str, compare: Callable[[Any, Any], bool], literal: Scalar) -> Test:
    kind = _KINDS[type(literal)]
    return lambda values: _KINDS.get(type(value := values[name])) is kind and compare(value, literal)


def _two_fields(name: str, compare: Callable[[Any, Any], bool], other: str, *, ordered: bool) -> Test:
    def test(values: Values) -> bool:
        left, right = values[name], values[other]
        kind = _KINDS.get(type(left))
        if kind is None or kind is not _KINDS.get(type(right)) or (ordered and kind != "number"):
            return False
        return compare(left, right)

    return test
