"""Intents as files: CSV with an intent and an example a row, or JSON, either `{"intent": ["example", …]}` or a list of
`["example", "intent"]` as in published data sets, or of `{"text", "intent"}`.

Every refusal is a django ValidationError that says where."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from django.core.exceptions import ValidationError

from plugins.intents.validation import MOST_INTENTS, MOST_TOGETHER

LARGEST: Final = 8 * 2**20  # bytes
HEADING: Final = ("intent", "label", "name")
_FORMULA: Final = re.compile("'+[=+\\-@\t]")  # how spreadsheets are kept from taking a text for a formula


def read_intents(data: bytes, source: str) -> dict[str, list[str]]:
    """Examples by intent, in the file's order. JSON where its name says so, else CSV."""
    if len(data) > LARGEST:
        raise ValidationError(f"{source}: larger than {LARGEST // 2**20} MiB.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValidationError(f"{source}:{line}: not UTF-8 text.") from None
    pairs = _of_json(text, source) if source.lower().endswith(".json") else _of_csv(text, source)
    found: dict[str, list[str]] = {}
    for number, (intent, example) in enumerate(pairs):
        if number >= 2 * MOST_TOGETHER or len(found) > MOST_INTENTS:
            raise ValidationError(f"{source}: more than a tenant can have.")
        examples = found.setdefault(intent.strip(), [])
        if example.strip():
            examples.append(example)
    if not found:
        raise ValidationError(f"{source}: there is no intent in it.")
    return found


def as_csv(intents: Iterable[tuple[str, Iterable[str]]]) -> str:
    """What `read_intents` reads back."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(("intent", "example"))
    for name, examples in intents:
        for example in examples:
            writer.writerow((name, f"'{example}" if re.match("'*[=+\\-@\t]", example) else example))
    return written.getvalue()


def _of_csv(text: str, source: str) -> Iterator[tuple[str, str]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for number, row in enumerate(reader):
            if not any(cell.strip() for cell in row):
                continue
            if len(row) < 2:
                raise ValidationError(f"{source}:{reader.line_num}: expected an intent and an example.")
            if number == 0 and row[0].strip().lower() in HEADING:
                continue
            yield row[0], row[1][1:] if _FORMULA.match(row[1]) else row[1]
    except csv.Error as error:
        raise ValidationError(f"{source}:{reader.line_num}: {error}.") from None


def _of_json(text: str, source: str) -> Iterator[tuple[str, str]]:
    try:
        document: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValidationError(f"{source}: not JSON: {error}.") from None
    rows: Iterable[Any]
    if isinstance(document, dict):
        rows = [(example, name) for name, examples in document.items() for example in _listed(examples, name, source)]
    elif isinstance(document, list):
        rows = document
    else:
        raise ValidationError(f"{source}: expected an object or a list.")
    for number, row in enumerate(rows):
        pair = (row.get("text"), row.get("intent")) if isinstance(row, dict) else row
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(each, str) for each in pair)):
            raise ValidationError(f"{source}: entry {number + 1}: expected an example and its intent.")
        yield pair[1], pair[0]


def _listed(examples: Any, name: str, source: str) -> list[Any]:
    if not isinstance(examples, list):
        raise ValidationError(f"{source}: {name[:64]}: expected a list of examples.")
    return examples
