"""Reads YAML so that every value knows its line and column, and `${NAME}` stands for a variable.

`$${` is a plain `${`. A variable that is not set is an error; its value is taken as text and never read as YAML."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

import msgspec
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_NESTING: Final = 20

_VARIABLE: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # no text of a file, nor what a file is made of
_FLAGS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NULL: Final = "tag:yaml.org,2002:null"
_STRING: Final = "tag:yaml.org,2002:str"


class ConfigurationError(ValueError):
    """What is wrong in the text, and where; line and column count from 1."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        self.line = line
        self.column = column
        self.reason = reason
        super().__init__(f"{line}:{column}: {reason}")


class Place(msgspec.Struct, frozen=True):
    line: int
    column: int

    def refuse(self, reason: str) -> NoReturn:
        raise ConfigurationError(self.line, self.column, reason)


class Block(msgspec.Struct, frozen=True):
    """The values of one mapping by key, where each stands, and where the mapping begins. Nulls are left out."""

    values: dict[str, Any]
    places: dict[str, Place]
    place: Place


Read = Callable[["Reader", Node], Any]


def parse(text: str) -> Node | None:
    """The one document of the text, None when it is empty. Raises ConfigurationError."""
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark is not None else Place(1, 1)
        place.refuse(error.problem or error.context or "not readable as YAML")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        column = error.position - (text.rfind("\n", 0, error.position) + 1)
        Place(line + 1, column + 1).refuse("this character is not allowed in YAML")
    except RecursionError:
        Place(1, 1).refuse("nested too deeply")


def place_of(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


class Reader:
    """Turns nodes into values. `environ` is what `${NAME}` is looked up in."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def block(self, node: Node, keys: Mapping[str, Read]) -> Block:
        """A mapping of these keys, each at most once."""
        if not isinstance(node, MappingNode):
            place_of(node).refuse(f"expected a mapping with {', '.join(keys)}")
        values: dict[str, Any] = {}
        places: dict[str, Place] = {}
        for key_node, value_node in node.value:
            key, place = key_node.value, place_of(key_node)
            if not isinstance(key, str) or key not in keys:
                place.refuse(_unknown(str(key) if isinstance(key, str) else "", keys))
            if key in places:
                place.refuse(f"{key!r} is there twice")
            places[key] = place_of(value_node)
            if value_node.tag != _NULL:
                values[key] = keys[key](self, value_node)
        return Block(values, places, place_of(node))

    def items(self, node: Node) -> list[Node]:
        if not isinstance(node, SequenceNode):
            place_of(node).refuse("expected a list")
        return list(node.value)

    def text(self, node: Node) -> str:
        """Any scalar, as it is written: `1.10` stays `1.10`."""
        if not isinstance(node, ScalarNode):
            place_of(node).refuse("expected a text")
        value = self._substituted(node)
        if UNSEEN.search(value):
            place_of(node).refuse("control characters are not allowed here")
        return value

    def texts(self, node: Node) -> list[str]:
        return [self.text(item) for item in self.items(node)]

    def whole(self, node: Node) -> int:
        text = self.text(node)
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            place_of(node).refuse(f"expected a whole number, found {text!r}")
        return int(text)

    def amount(self, node: Node) -> Decimal:
        text = self.text(node)
        try:
            value = Decimal(text)
        except InvalidOperation:
            value = Decimal("nan")
        if not value.is_finite() or "_" in text:
            place_of(node).refuse(f"expected a number, found {text!r}")
        return value.normalize()

    def number(self, node: Node) -> float:
        return float(self.amount(node))

    def flag(self, node: Node) -> bool:
        text = self.text(node)
        value = _FLAGS.get(text.lower())
        if value is None:
            place_of(node).refuse(f"expected true or false, found {text!r}")
        return value

    def mapping(self, node: Node) -> dict[str, Any]:
        """Free JSON: an adapter's own options."""
        if not isinstance(node, MappingNode):
            place_of(node).refuse("expected a mapping")
        value: dict[str, Any] = self._free(node, MAX_NESTING)
        return value

    def _free(self, node: Node, depth: int) -> Any:
        if depth == 0:
            place_of(node).refuse("nested too deeply")
        if isinstance(node, MappingNode):
            return {self.text(key): self._free(value, depth - 1) for key, value in node.value}
        if isinstance(node, SequenceNode):
            return [self._free(item, depth - 1) for item in node.value]
        if node.tag == _STRING:
            return self.text(node)
        value = yaml.SafeLoader("").construct_object(node)
        if not (value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))):
            place_of(node).refuse("expected a text, a number, true, false or null")
        return value

    def _substituted(self, node: ScalarNode) -> str:
        def replaced(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return "${"
            if not _NAME.match(name):
                place_of(node).refuse(f"{match[0]!r} does not name a variable (write $${{ for a plain ${{)")
            if name not in self._environ:
                place_of(node).refuse(f"the variable {name} is not set")
            return self._environ[name]

        return _VARIABLE.sub(replaced, node.value)


def escaped(value: Any) -> Any:
    """What `Reader` reads back as `value`."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [escaped(item) for item in value]
    if isinstance(value, dict):
        return {escaped(key): escaped(item) for key, item in value.items()}
    return value


def _unknown(key: str, keys: Mapping[str, Read]) -> str:
    near = difflib.get_close_matches(key, keys, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(keys)}"
    return f"unknown key {key!r}, {hint}"
