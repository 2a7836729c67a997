"""Whatever a database answers, as JSON of a bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

LONGEST: Final = 1_000  # characters of one value
MOST_BYTES: Final = 32 * 1024  # of all rows as JSON: they are read by a model, and kept in the journal
DEEPEST: Final = 4
MOST_PARTS: Final = 100  # of an array or object
EXACT: Final = 2**53  # up to here every reader of JSON keeps a whole number as it is


def plain(value: Any, depth: int = DEEPEST) -> Any:
    """A value of any driver: numbers stay numbers where none of their digits is lost, NaN and infinity become null,
    bytes hexadecimal, times ISO 8601, what is unknown its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -EXACT <= value <= EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _text(bytes(value[: LONGEST // 2]).hex())
    if depth == 0:
        return _text(str(value))
    if isinstance(value, dict):
        first = list(value.items())[:MOST_PARTS]
        return {_text(str(key)): plain(part, depth - 1) for key, part in first}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part, depth - 1) for part in list(value)[:MOST_PARTS]]
    return _text(str(value))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], most: int) -> tuple[list[str], list[list[Any]], bool]:
    """At most `most` rows and `MOST_BYTES`; whether there were more."""
    names = [_text(str(name))[:128] for name in columns]
    found: list[list[Any]] = []
    size = 0
    for row in rows:
        if len(found) == most:
            return names, found, True
        cells = [plain(value) for value in row]
        size += len(msgspec.json.encode(cells))
        if size > MOST_BYTES:
            return names, found, True
        found.append(cells)
    return names, found, False


def _number(value: Decimal) -> Any:
    if not value.is_finite():
        return None
    if value == value.to_integral_value() and abs(value) <= EXACT:
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value and math.isfinite(number) else format(value, "f")[:LONGEST]


def _text(text: str) -> str:
    """Without what JSON or PostgreSQL could not keep."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    text = text.replace("\0", "\ufffd")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
