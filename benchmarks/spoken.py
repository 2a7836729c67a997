"""What models say piece by piece: tokens (`o200k_base`) of this project's documentation, English and Chinese.

Pieces come again as they do in real answers, and no more often than that, so that what is kept of them is worth what it
would be worth there. `answers()` are a few thousand, none with a sensitive word of `benchmarks.rows` in it."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rs_bpe.bpe import openai

from benchmarks.listed import words
from compliance.normalising import DEFAULT_SWITCHES
from compliance.words import Rule, WordMatcher

ROOT: Final = Path(__file__).parents[1]
PIECES: Final = 32


@functools.cache
def answers() -> list[list[str]]:
    """The same ones every time, in no order. Takes some seconds."""
    listed = WordMatcher([(Rule("words", 1, "block"), words(), frozenset(DEFAULT_SWITCHES))])
    files = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("README*.md")])
    found = [said for file in files for said in _cut(file.read_text()) if not listed.find("".join(said))]
    random.Random(PIECES).shuffle(found)
    return found


def _cut(text: str) -> Iterator[list[str]]:
    known = openai.o200k_base()
    said = [piece for token in known.encode(text) if (piece := known.decode([token]))]  # not parts of a sign
    return (said[start : start + PIECES] for start in range(0, len(said) - PIECES + 1, PIECES))
