"""What a sensitive-word list may hold. Every refusal is a django ValidationError with a dictionary of fields."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, Final

from django.core.exceptions import ValidationError

from compliance.normalising import DEFAULT_SWITCHES, SWITCHES, normalise

LONGEST_WORD: Final = 64
MOST_WORDS: Final = 100_000
SHOWN_MISTAKES: Final = 5


def clean_words(lines: Iterable[str], *, most: int = MOST_WORDS, source: str = "") -> list[str]:
    """The words, one a line, without blank lines and surrounding space; of those that read the same, the first.

    Raises ValidationError for `words` that names the lines that are too long or hold control characters, as
    `<source>:<line>` where they are from a file."""
    words: dict[str, str] = {}
    mistakes: list[str] = []
    for number, line in enumerate(lines, 1):
        word = line.strip("\ufeff \t\r\n\u3000").strip()
        if wrong := mistake(word):
            mistakes.append(f"{source}:{number}: {wrong}" if source else f"Line {number}: {wrong}")
        elif word:
            words.setdefault(normalise(word)[0], word)
    if len(words) > most:
        told = f"{len(words)} words; a list holds at most {most}."
        mistakes.append(f"{source}: {told}" if source else told)
    if mistakes:
        raise ValidationError({"words": mistakes[:SHOWN_MISTAKES]})
    return list(words.values())


def mistake(word: str) -> str:
    """What is wrong with a word; empty: nothing."""
    if len(word) > LONGEST_WORD:
        return f"longer than {LONGEST_WORD} characters."
    if not all(map(_is_text, word)):
        return "holds a control character."
    return ""


def clean_switches(switches: Any) -> list[str]:
    """The names once and in their usual order. Raises ValidationError for `switches`."""
    if not isinstance(switches, list | tuple) or not all(isinstance(name, str) for name in switches):
        raise ValidationError({"switches": "A list of names."})
    for name in switches:
        if name not in SWITCHES:
            raise ValidationError({"switches": f"{name[:40]!r} is none of {', '.join(SWITCHES)}."})
    return [name for name in SWITCHES if name in switches]


def default_switches() -> list[str]:
    return [name for name in SWITCHES if name in DEFAULT_SWITCHES]


def _is_text(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
