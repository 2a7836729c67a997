"""How a listed word is written down: letter case and width make no difference to anything.

What else makes none is switched list by list, and is no matter of how words are written but of how texts are read:
`compliance.characters`, `compliance.readings`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from compliance.forms import WIDTH

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

_OTHER_WIDTH: Final = re.compile(f"[{''.join(map(re.escape, WIDTH))}]")


def normalise(text: str) -> tuple[str, Sequence[int] | None]:
    """The normal form, and for each of its characters the index of the character of `text` it comes from.

    None in place of the indexes: one for one. Each character is folded on its own."""
    if text.isascii():
        return text.lower(), None
    normal = text.casefold()
    if _OTHER_WIDTH.search(normal):
        for other in set(_OTHER_WIDTH.findall(normal)):
            normal = normal.replace(other, WIDTH[other])
    if len(normal) == len(text):  # folding only ever lengthens, so nothing moved
        return normal, None
    return normal, [index for index, character in enumerate(text) for _ in character.casefold()]
