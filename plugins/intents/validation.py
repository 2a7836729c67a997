"""What an intent may be called and what its examples may be. Every refusal is a django ValidationError."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from django.core.exceptions import ValidationError

LONGEST_NAME: Final = 64
LONGEST_UTTERANCE: Final = 500
MOST_UTTERANCES: Final = 2_000  # of one intent
MOST_INTENTS: Final = 500  # of one tenant
MOST_TOGETHER: Final = 50_000  # utterances of one tenant
SHOWN_MISTAKES: Final = 5

_NAME: Final = re.compile(r"[^\W_][\w.\-]*\Z")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def clean_name(name: str) -> str:
    """A letter or digit, then letters, digits, `.`, `-` and `_`, in any script."""
    name = name.strip()
    if not _NAME.match(name) or len(name) > LONGEST_NAME:
        raise ValidationError(
            f"A name is 1 to {LONGEST_NAME} letters, digits, dots, hyphens and underscores, a letter or digit first."
        )
    return name


def clean_utterances(lines: Iterable[str]) -> list[str]:
    """Without spaces around, empty ones and those that were there before."""
    found: dict[str, None] = {}
    mistakes: list[str] = []
    for number, line in enumerate(lines, 1):
        text = " ".join(line.split())
        if len(text) > LONGEST_UTTERANCE:
            mistakes.append(f"Line {number} is longer than {LONGEST_UTTERANCE} characters.")
        elif _CONTROL.search(text):
            mistakes.append(f"Line {number} holds control characters.")
        elif text:
            found[text] = None
    if len(found) > MOST_UTTERANCES:
        mistakes.append(f"There are {len(found)} lines: at most {MOST_UTTERANCES} are taken.")
    if mistakes:
        raise ValidationError(mistakes[:SHOWN_MISTAKES])
    return list(found)
