"""How Chinese characters are read aloud, and texts as the letters of that: pinyin without its tones.

Source: the table of single characters of `pypinyin`, of several readings the first. `ü` is written `v`, as it is
typed."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from compliance.characters import OF_CHARACTERS, UNSEEN, Characters, symbols
from compliance.forms import PLANES, simplified

NO_SOUND: Final = "\x03"
_ASTRAL: Final = re.compile("[\U00010000-\U0001ffff]")
TONES: Final = frozenset("12345")
_MARKS: Final = (0x300, 0x301, 0x304, 0x306, 0x308, 0x30C)


@cache
def syllables() -> dict[str, str]:
    """The toneless syllable of each Chinese character."""
    package = find_spec("pypinyin")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("pypinyin is not installed; see requirements.txt")
    readings = json.loads((Path(package.origin).parent / "pinyin_dict.json").read_text(encoding="utf-8"))
    table = {}
    for code, spoken in readings.items():
        letters = toneless(spoken.split(",")[0])
        if int(code) < PLANES and letters.isascii() and letters.isalpha():
            table[chr(int(code))] = letters
    return table


def toneless(spoken: str) -> str:
    plain = unicodedata.normalize("NFD", spoken).replace("u\u0308", "v").replace("ê", "e")
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


class Sounds(Characters):
    """A text as the letters of its syllables. With `homophones` or `pinyin`: what is neither Chinese nor (for `pinyin`)
    a Latin letter has no sound and parts words; what may stand between syllables goes."""

    def __init__(self, switches: frozenset[str]) -> None:
        super().__init__(switches & OF_CHARACTERS - {"symbols", "lookalikes"})
        self.homophones = "homophones" in switches
        self.traditional = simplified() if "traditional" in switches else {}
        self._drops_far = bool(switches & {"invisible", "symbols"})
        spelled = "pinyin" in switches
        read = self.table
        gaps = symbols() if "symbols" in switches else frozenset(map(ord, " '-’"))
        table: list[int | str | None] = [NO_SOUND] * PLANES
        for code in range(PLANES):
            letter = read[code]
            letter = chr(letter) if isinstance(letter, int) else letter
            plain = toneless(letter) if spelled and letter is not None else ""
            if plain.isascii() and plain.isalpha():
                table[code] = plain
            elif letter is None or code in gaps or (spelled and letter in TONES and chr(code).isdigit()):
                table[code] = None
        for character, syllable in syllables().items():
            table[ord(character)] = syllable
        if spelled:
            kinds = bytearray(self.kinds)
            for code in _MARKS:
                table[code], kinds[code] = None, UNSEEN
            self.kinds = bytes(kinds)
        self.table = table
        self._measure()
        # Only of the basic plane: a class of others is searched a hundred times slower.
        near = (chr(code) for code, each in enumerate(table[:0x10000]) if isinstance(each, str) and each.isalpha())
        latin = "".join(character for character in near if character not in syllables())
        self._latin = re.compile(f"[{latin}]" if spelled else "(?!)")
        self._spelled = spelled

    def has_pinyin(self, text: str) -> bool:
        """Whether some of the text may be pinyin."""
        return self._latin.search(text) is not None or (self._spelled and _ASTRAL.search(text) is not None)

    def same(self, character: str, listed: str) -> bool:
        """Whether a character of a text stands for one of a word, not only by its sound."""
        return self.homophones or self.traditional.get(character, character) == listed


@cache
def sounds(switches: frozenset[str]) -> Sounds:
    """One a process for each set of switches."""
    return Sounds(switches)


def spoken(word: str) -> tuple[str, ...]:
    """The syllables of a word that is all Chinese, else none."""
    try:
        return tuple(map(syllables().__getitem__, word))
    except KeyError:
        return ()
