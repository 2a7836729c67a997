"""The sensitive words of "everything on"."""

from __future__ import annotations

import random
from typing import Final

WORDS: Final = 60_000
CHINESE: Final = 2 / 3  # of them; the others are of Latin letters
SYLLABLES: Final = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


def words(count: int = WORDS) -> list[str]:
    """The same ones every time: of two to six Chinese characters, or of three to five syllables."""
    chance = random.Random(60_000)
    made: set[str] = set()
    while len(made) < count:
        if chance.random() < CHINESE:
            made.add("".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(chance.randint(2, 6))))
        else:
            made.add("".join(chance.choices(SYLLABLES, k=chance.randint(3, 5))))
    return sorted(made)
