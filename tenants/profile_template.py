"""How a user's profile stands in the system prompt: a tenant's own sentence with places to fill.

`{key}` is the profile's value of that name, empty where it has none, `{profile}` the whole as JSON; `{{` and `}}` are
braces. That is all: no attributes, no indexes, no formats, so nothing of the process can be read or run by a template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

MAX_TEMPLATE: Final = 2_000  # characters
WHOLE: Final = "profile"

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_KEY: Final = re.compile(r"\w[\w-]{0,63}\Z")
_SPACES: Final = re.compile(r"[\s\x00-\x1f\x7f\u2028\u2029]+")


def parts(template: str) -> tuple[str | tuple[str], ...]:
    """Its texts and, each in a tuple, the names of its places. Raises ValueError, which says what is wrong where."""
    found: list[str | tuple[str]] = []
    start = 0
    for piece in _PIECE.finditer(template):
        found.append(template[start : piece.start()])
        start = piece.end()
        if piece[0] in ("{{", "}}"):
            found.append(piece[0][0])
        elif piece[1] is None:
            raise ValueError(
                f"The brace at character {piece.start() + 1} has no other; a brace itself is {piece[0] * 2}."
            )
        elif not _KEY.match(piece[1]):
            raise ValueError(f"{piece[0]} is not a place: letters, digits, _ and - stand between the braces.")
        else:
            found.append((piece[1],))
    found.append(template[start:])
    return tuple(each for each in found if each)


def check(template: str) -> None:
    """Raises ValueError, which says what is wrong where."""
    if len(template) > MAX_TEMPLATE:
        raise ValueError(f"It has more than {MAX_TEMPLATE} characters.")
    parts(template)


def fill(template: str, profile: dict[str, Any], whole: Callable[[], str], limit: int) -> str:
    """The tenant's words, and of the profile's values `limit` characters together; `whole` gives the profile as JSON.
    Values stand on one line: what a user writes about herself does not begin a paragraph of the tenant's prompt. A
    template that is none (the check came later than it) is filled as the whole profile."""
    try:
        pieces = _parts(template)
    except ValueError:
        return whole()
    words: list[str] = []
    for each in pieces:
        if isinstance(each, str):
            words.append(each)
            continue
        words.append(_value(each[0], profile, whole)[:limit])
        limit -= len(words[-1])
    return "".join(words).strip()


_parts: Final = lru_cache(maxsize=1024)(parts)


def _value(name: str, profile: dict[str, Any], whole: Callable[[], str]) -> str:
    value = profile.get(name)
    if value is None:
        return whole() if name == WHOLE else ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _SPACES.sub(" ", text).strip()
