"""A text as the classifier reads it: words, pairs of words, and pieces of words.

Chinese, Japanese and Korean are written without spaces, or with few: each of their characters is a word of its own, and
pieces are taken from whole runs of them. Mixed text gets both."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST: Final = 400  # characters that are read: who wants something says it early, and a turn must not wait
SHORTEST_PIECE: Final = 2
LONGEST_PIECE: Final = 5
LONGEST_RUN_PIECE: Final = 4

_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN: Final = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_RUN: Final = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+")


def normalised(text: str) -> str:
    """NFKC (half and full width are one), case-folded, its first `LONGEST` characters."""
    return unicodedata.normalize("NFKC", text[:LONGEST]).casefold()[:LONGEST]


def words(text: str) -> list[str]:
    """Of a normalised text, in order."""
    return _TOKEN.findall(text)


def word_grams(tokens: list[str]) -> list[str]:
    """Words and pairs of neighbours."""
    return [*tokens, *(f"{first} {second}" for first, second in zip(tokens, tokens[1:], strict=False))]


def runs(text: str) -> list[str]:
    """What a normalised text's pieces are taken from: words with spaces around them, and what is written without."""
    return _RUN.findall(text)


def pieces(run: str) -> list[str]:
    """Runs of two to five characters of a word, of which the spaces around are part; of two to four where there are
    no spaces between words."""
    if _CJK_RUN.match(run):
        longest, padded = LONGEST_RUN_PIECE, run
    else:
        longest, padded = LONGEST_PIECE, f" {run} "
    length = len(padded)
    sizes = range(SHORTEST_PIECE, min(longest, length) + 1)
    return [padded[start : start + size] for size in sizes for start in range(length - size + 1)]


_CJK_RUN: Final = re.compile(rf"[{_CJK}]")
