"""One spelling for text that reads the same, with the way back to the characters as they were written.

First cut: letter case (Unicode full case folding) and full or half width (the `<wide>` and `<narrow>` decompositions of
the Unicode character database)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

SWITCHES: Final[tuple[str, ...]] = (
    "traditional",
    "forms",
    "invisible",
    "symbols",
    "repeats",
    "lookalikes",
    "pinyin",
    "initials",
    "homophones",
)
DEFAULT_SWITCHES: Final = frozenset({"traditional", "forms", "invisible", "symbols", "repeats"})


def _width_forms() -> dict[str, str]:
    forms: dict[str, str] = {}
    for code in (0x3000, *range(0xFF01, 0xFFEF)):
        kind, _, plain = unicodedata.decomposition(chr(code)).partition(" ")
        if kind in ("<wide>", "<narrow>"):
            forms[chr(code)] = chr(int(plain, 16))
    return forms


_WIDTH: Final = _width_forms()
_OTHER_WIDTH: Final = re.compile(f"[{''.join(map(re.escape, _WIDTH))}]")
# Ordinary Chinese text is full of these: replacing them one kind at a time takes half the time of any other way.
_PUNCTUATION: Final = [(wide, _WIDTH[wide]) for wide in "，：？！；（）　"]


def normalise(text: str) -> tuple[str, Sequence[int] | None]:
    """The normal form, and for each of its characters the index of the character of `text` it comes from.

    None in place of the indexes: one for one. Each character is folded on its own, so the normal form of a
    concatenation is the concatenation of the normal forms: text may be cut anywhere."""
    if text.isascii():
        return text.lower(), None
    normal = _same_width(text.casefold())
    if len(normal) == len(text):  # folding only ever lengthens, so nothing moved
        return normal, None
    return normal, [index for index, character in enumerate(text) for _ in character.casefold()]


def _same_width(text: str) -> str:
    if _OTHER_WIDTH.search(text):
        for wide, plain in _PUNCTUATION:
            text = text.replace(wide, plain)
        for other in set(_OTHER_WIDTH.findall(text)):
            text = text.replace(other, _WIDTH[other])
    return text
