"""The one JSON guard in front of every edge: bytes from outside in, a plain object out, `InvalidRequest` for the rest.

Only what `parse` returns travels on, re-encoded where it leaves again: of duplicate keys the last wins, here and
everywhere behind. The ordinary body pays for one parse and a few byte counts: every opening bracket and every comma
counted proves depth and size, and without a `\\u0000` in the bytes no string can hold a NUL. Only a body that these
counts cannot clear is walked. orjson itself refuses invalid UTF-8, byte order marks, lone surrogates, NaN, infinities
and what lies deeper than 1,024.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from engine.errors import InvalidRequest, PayloadTooLarge
from engine.types import Json

MAX_BYTES = 2 * 1024 * 1024
MAX_CHAT_BYTES = 8 * 1024 * 1024  # of a conversation with pictures in it, once it is known who sends it
LARGEST_BYTES = 20 * 1024 * 1024  # what a tenant can be allowed
MAX_DEPTH = 64
MAX_WIDTH = 4_096  # keys of one object, elements of one array
MAX_ITEMS = 32_768  # keys and elements of the whole body
MAX_INTEGER = 2**64
MAX_TOKENS = 8_192  # integers of one array, where it may be a text as tokens

_DIGITS = bytes(ord("0") if chr(byte) in "123456789" else byte for byte in range(256))
_LONG_NUMBER = b"0" * 20
_ESCAPED_NUL = b"\\u0000"
_NUL = re.compile("\0").search
_TEXT = {str}

Path = tuple[str | int, ...]


def parse(body: bytes, limit: int = MAX_BYTES, *, token_lists: bool = False) -> Json:
    """The JSON object of a body. With `token_lists` an array of nothing but integers may hold MAX_TOKENS of them and
    counts as one element. Raises PayloadTooLarge, or InvalidRequest with the `param` at fault where one is."""
    value = read(body, limit)
    bounded(value, body, token_lists=token_lists)
    return value


def read(body: bytes, limit: int = MAX_BYTES) -> Json:
    """The JSON object of a body, out of all bounds perhaps: `bounded` has to say before anybody uses it."""
    if len(body) > limit:
        raise PayloadTooLarge(f"The body is larger than {limit} bytes.")
    value = loaded(body)
    if type(value) is not dict:
        raise InvalidRequest("The body must be a JSON object.")
    return value


def part(text: str | bytes) -> Any:
    """JSON of any kind that stands within something else: a form's field, the arguments of a call. Raises
    InvalidRequest."""
    value = loaded(text)
    check({"": value})
    return value


def loaded(text: str | bytes) -> Any:
    """What JSON says, out of all bounds perhaps: `check` has to say before anybody uses it. Raises InvalidRequest."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from None


def bounded(value: Json, body: bytes, *, token_lists: bool = False) -> None:
    """Whether what was read from this body keeps every bound. Raises InvalidRequest as `parse` does."""
    if not _plain(body):
        check(value, token_lists=token_lists)


def _plain(body: bytes) -> bool:
    """Whether the bytes alone prove that the body keeps every bound."""
    openings = body.count(b"{") + body.count(b"[")
    return (
        openings <= MAX_DEPTH
        and openings + body.count(b",") <= MAX_WIDTH
        and _ESCAPED_NUL not in body
        and _LONG_NUMBER not in body.translate(_DIGITS)
    )


def check(root: Json, *, token_lists: bool = False) -> None:
    """Whether an object keeps every bound, wherever it came from. Raises InvalidRequest as `parse` does."""
    if _sound(root):
        return
    stack: list[tuple[Path, Any]] = [((), root)]
    items = 0
    while stack:
        path, value = stack.pop()
        if token_lists and type(value) is list and len(value) <= MAX_TOKENS and set(map(type, value)) == {int}:
            continue
        children = _children(path, value)
        if children is None:
            continue
        if len(path) >= MAX_DEPTH:
            raise InvalidRequest(f"The body is nested deeper than {MAX_DEPTH} levels.", param=name_of(path[:1]))
        if len(value) > MAX_WIDTH:
            what = "keys in one object" if type(value) is dict else "elements in one array"
            raise InvalidRequest(f"The body has more than {MAX_WIDTH} {what}.", param=name_of(path))
        items += len(value)
        if items > MAX_ITEMS:
            raise InvalidRequest(f"The body has more than {MAX_ITEMS} keys and elements.")
        stack.extend(children)


def _sound(root: Json) -> bool:
    """Whether it keeps them all; what does not is walked, to say where. Level by level, so that no value needs its path
    and texts beside each other are read by one call: a body of one message takes half of the walk's bytecodes."""
    items = 0
    level: list[Any] = [root]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for container in level:
            size = len(container)
            items += size
            if size > MAX_WIDTH or items > MAX_ITEMS:
                return False
            values = container
            if type(container) is dict:
                if any(map(_NUL, container)):
                    return False
                values = container.values()
            if set(map(type, values)) == _TEXT:
                if any(map(_NUL, values)):
                    return False
            elif not _sorted(values, below):
                return False
        if not below:
            return True
        level = below
    return False


def _sorted(values: Iterable[Any], below: list[Any]) -> bool:
    """Whether the scalars among them may pass; the containers are added to `below`."""
    for value in values:
        kind = type(value)
        if kind is str:
            if _NUL(value):
                return False
        elif kind is dict or kind is list:
            below.append(value)
        elif kind is float and not abs(value) < MAX_INTEGER:
            return False
    return True


def _children(path: Path, value: Any) -> Iterator[tuple[Path, Any]] | None:
    """What a container holds; None for a scalar that may pass."""
    kind = type(value)
    if kind is dict:
        if any("\0" in key for key in value):
            raise InvalidRequest("A key holds a NUL character.", param=name_of(path))
        return (((*path, key), child) for key, child in value.items())
    if kind is list:
        return (((*path, index), child) for index, child in enumerate(value))
    if kind is str and "\0" in value:
        raise InvalidRequest("NUL characters are not allowed.", param=name_of(path))
    if kind is float and not abs(value) < MAX_INTEGER:  # nor is it "not a number"
        raise InvalidRequest("A number is too large.", param=name_of(path))
    return None


def name_of(path: Path) -> str | None:
    """`messages[0].content`, as OpenAI's errors name a parameter; None for the body itself."""
    name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return name.removeprefix(".")[:200] or None
