"""Word lists as files: text, one word a line, or CSV, whose first column counts; and folders of them.

Every refusal is a django ValidationError that names file and line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from django.core.exceptions import ValidationError

from compliance.validation import SHOWN_MISTAKES, clean_words

SUFFIXES: Final = (".txt", ".csv")
LARGEST: Final = 16 * 2**20  # bytes
# A spreadsheet takes a cell that begins so for a formula. In CSV such a word has an apostrophe before it, and one that
# had apostrophes there one more, so that what is read back is the same.
_FORMULA: Final = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


class WordFile(NamedTuple):
    """A file's name without its suffix, and its words."""

    name: str
    words: list[str]


def read_words(data: bytes, source: str = "", *, is_csv: bool | None = None) -> list[str]:
    """The words of a UTF-8 file. CSV: where `is_csv` says so, or else its name."""
    if len(data) > LARGEST:
        raise ValidationError({"words": f"{_prefix(source)}larger than {LARGEST // 2**20} MiB."})
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValidationError({"words": f"{_prefix(source, line)}not UTF-8 text."}) from None
    if is_csv if is_csv is not None else source.lower().endswith(".csv"):
        return clean_words(csv_words(text, source), source=source)
    return clean_words(text.splitlines(), source=source)


def csv_words(text: str, source: str = "") -> list[str]:
    """The first column, each word at the place of the line its row ends in."""
    words: list[str] = []
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            words += [""] * (reader.line_num - 1 - len(words))
            words.append(_read(row[0]) if row else "")
    except csv.Error as error:
        raise ValidationError({"words": f"{_prefix(source, reader.line_num)}{error}."}) from None
    return words


def read_folder(folder: Path) -> list[WordFile]:
    """Every text and CSV file in it, by name; folders within are left out. All that is wrong is told at once, the first
    mistakes of it."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    return read_files((path.name, path.read_bytes()) for path in files)


def read_files(files: Iterable[tuple[str, bytes]]) -> list[WordFile]:
    """The same of files given by name and content."""
    found: list[WordFile] = []
    mistakes: list[str] = []
    for name, data in files:
        try:
            found.append(WordFile(Path(name).stem, read_words(data, name)))
        except ValidationError as error:
            mistakes += error.messages
    if mistakes:
        raise ValidationError({"words": mistakes[:SHOWN_MISTAKES]})
    if not found:
        raise ValidationError({"words": f"No file ends in {' or '.join(SUFFIXES)}."})
    return found


def a_list_each(files: list[WordFile]) -> list[WordFile]:
    """The files, if no two would be one list, whose words of the first nobody would have then."""
    names = [file.name for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValidationError({"words": [f"Several files would be the list {name}." for name in twice]})
    return files


def as_text(words: Sequence[str]) -> str:
    return "".join(f"{word}\n" for word in words)


def as_csv(words: Sequence[str]) -> str:
    """One column without a heading: what is read back is the same."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([_inert(word)] for word in words)
    return written.getvalue()


def _inert(word: str) -> str:
    return f"'{word}" if _FORMULA.match(word) else word


def _read(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _prefix(source: str, line: int | None = None) -> str:
    if not source:
        return "" if line is None else f"Line {line}: "
    return f"{source}: " if line is None else f"{source}:{line}: "
