"""What single characters are read as, and which of them are letters: the tables behind every way of reading a text.

A character is read on its own, whatever stands beside it, so the reading of a text in pieces is that of the whole.
Tables are built when a list first needs them and kept for the life of the process: a megabyte a set of switches."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import chain, compress, repeat
from typing import Final

from compliance.forms import PLANES, folded, formed, lookalikes, simplified

OF_CHARACTERS: Final = frozenset({"traditional", "forms", "invisible", "symbols", "lookalikes"})

BREAK, LETTER, UNSEEN = 0, 1, 2  # kinds: not in a word, in a word, cannot be seen
SPACE: Final = " "
_UNREADABLE: Final = "\ufffd"
_PLAIN: Final = frozenset(string.ascii_letters + string.digits + SPACE)

# Scripts that write words without spaces between them, or glue endings to them (Hangul): there a word has no edges.
_UNSPACED: Final[Callable[[str], object]] = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\uff65-\uffdc\U0001b000-\U0001b2ff\U00020000-\U0003ffff]"
).match
_APOSTROPHES: Final = "'’‘ʼ＇"
_MARKS_OF_NO_SCRIPT: Final = (
    *range(0x300, 0x370),
    *range(0x483, 0x48A),
    *range(0x1AB0, 0x1B00),
    *range(0x1DC0, 0x1E00),
    *range(0x20D0, 0x2100),
    *range(0xFE20, 0xFE30),
)
# Of scripts that are read without them: vowel points of Hebrew and Arabic, and the stroke that lengthens Arabic words.
_POINTS: Final = (
    *range(0x591, 0x5BE),
    *(0x5BF, 0x5C1, 0x5C2, 0x5C4, 0x5C5, 0x5C7),
    *range(0x610, 0x61B),
    *(0x640, 0x670),
    *range(0x64B, 0x660),
    *range(0x6D6, 0x6DD),
)
_NO_SPACES: Final = "\x1c\x1d\x1e\x1f\x85"  # are spaces to Python, but nobody sees one
_FILLERS: Final = (0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0)
_FAR_UNSEEN: Final = re.compile("[\U000e0000-\U000e0fff]")
_FAR: Final = re.compile("[\U00020000-\U0010ffff]")


def _in_word(character: str) -> bool:
    return character.isalnum() and (character < "\u0e00" or not _UNSPACED(character))


@cache
def _edged() -> bytes:
    """For each character whether it belongs to a word that has edges."""
    return bytes(map(_in_word, map(chr, range(PLANES))))


@lru_cache(maxsize=1024)  # those of the texts of a while, and not every one that a list of words has
def in_word(character: str) -> bool:
    """Whether it belongs to a word that has edges: a letter or digit of a script with spaces; "" does not."""
    return character != "" and (bool(_edged()[ord(character)]) if ord(character) < PLANES else _in_word(character))


@cache
def _unseen() -> frozenset[int]:
    """What a reader does not see: format and control characters, variation selectors, marks put over any letter, and
    points that nobody needs."""
    codes = {*_MARKS_OF_NO_SCRIPT, *_POINTS, *_FILLERS, *range(0xFE00, 0xFE10), *map(ord, _NO_SPACES)}
    for code in range(PLANES):
        if unicodedata.category(chr(code)) in ("Cc", "Cf") and not chr(code).isspace():
            codes.add(code)
    return frozenset(codes)


def _symbols() -> tuple[frozenset[int], frozenset[int]]:
    """Characters that are no letters: those that also part words (space, apostrophes), and all others."""
    soft, hard = set(map(ord, _APOSTROPHES)), set()
    for code in range(PLANES):
        character = chr(code)
        if character.isspace():
            soft.add(code)
        elif not character.isalnum() and unicodedata.category(character)[0] != "M":
            hard.add(code)
    return frozenset(soft), frozenset(hard - soft)


@cache
def _letters() -> list[int | None]:
    """Letters and digits as themselves, for all tables; what else one has is its own: most have little."""
    return [code if chr(code).isalnum() else None for code in range(PLANES)]


def symbols() -> frozenset[int]:
    """Characters that are no letters."""
    soft, hard = _symbols()
    return soft | hard


class Characters:
    """What each character of a text is read as, by some of the switches `OF_CHARACTERS`; letter case and width always.

    With `symbols`, spaces and apostrophes become one space and other symbols go."""

    def __init__(self, switches: frozenset[str]) -> None:
        self.switches = switches
        self.symbols = "symbols" in switches
        self._drops_far = bool(switches & {"invisible", "symbols"})
        letters = _letters()
        self.table: list[int | str | None] = [code if each is None else each for code, each in enumerate(letters)]
        kinds = bytearray(_edged())  # `LETTER` is 1
        self._read_letters(kinds)
        self._drop(kinds)
        self.kinds = bytes(kinds)
        self._measure()

    def _measure(self) -> None:
        self.sizes = bytes(0 if read is None else len(read) if isinstance(read, str) else 1 for read in self.table)
        self.widest = max(self.sizes)  # letters of one character, at most
        # Whether letters and digits of ASCII are read as their lower case, and a space as one.
        self.plain = all(self._as_text(ord(each)) == each.lower() for each in _PLAIN)
        # What bytes of ASCII are read as, and which are not read: several times as fast as characters. None: not ASCII.
        read = "".join(self._as_text(code) or "\0" for code in range(128))
        dropped = bytes(code for code in range(128) if self.table[code] is None)
        self._ascii = (read.encode() * 2, dropped) if read.isascii() and len(read) == 128 else None

    def _read_letters(self, kinds: bytearray) -> None:
        steps = [folded()]
        for switch, forms in (("forms", formed), ("traditional", simplified), ("lookalikes", lookalikes)):
            if switch in self.switches:
                steps.append(forms())
                if switch == "forms":
                    steps.append(folded())
        numerals = formed() if "forms" in self.switches and "traditional" in self.switches else {}
        for character in {each for step in steps for each in step}:
            read = character
            for step in steps:
                read = "".join(step.get(each, each) for each in read)
            if numerals and not read.isascii():
                read = "".join(numerals.get(each, each) for each in read)
            if self.symbols and len(read) > 1:
                read = "".join(each for each in read if each.isalnum()) or read[0]
            self.table[ord(character)] = ord(read) if len(read) == 1 else read
            if not _UNSPACED(character) and not character.isascii() and in_word(read[0]):
                kinds[ord(character)] = LETTER

    def _drop(self, kinds: bytearray) -> None:
        for code in range(0xD800, 0xE000):
            self.table[code] = _UNREADABLE  # a lone surrogate has no UTF-8 form
        for code in range(3):
            self.table[code] = _UNREADABLE
        if self.symbols:
            soft, hard = _symbols()
            read_as_letters = {
                code for code in soft | hard if (read := self._as_text(code)) is not None and read[0].isalnum()
            }
            for code in soft - read_as_letters:
                self.table[code] = SPACE
            for code in hard - read_as_letters:
                self.table[code] = None
        if "invisible" in self.switches:
            for code in _unseen():
                self.table[code] = None
                kinds[code] = UNSEEN

    def _as_text(self, code: int) -> str | None:
        read = self.table[code]
        return chr(read) if isinstance(read, int) else read

    def read(self, text: str) -> str:
        if self._ascii is not None and text.isascii():
            return text.encode().translate(*self._ascii).decode()
        read = text.translate(self.table)
        if self._drops_far and not text.isascii() and _FAR_UNSEEN.search(read):
            return _FAR_UNSEEN.sub("", read)
        return read

    def read_lines(self, lines: Sequence[str]) -> list[str]:
        """Each line read; one call for all of them takes a tenth of the time."""
        if not lines or any("\n" in line for line in lines):
            return [self.read(line) for line in lines]
        table = self.table.copy()
        table[0x0A] = 0x0A
        read = "\n".join(lines).translate(table)
        return (_FAR_UNSEEN.sub("", read) if self._drops_far else read).split("\n")

    def origins(self, text: str) -> Sequence[int]:
        """For each character of `read(text)` the index of the character of the text it comes from."""
        spelled = text.translate(self.sizes)
        if not text.isascii() and _FAR.search(spelled):
            if self._drops_far:
                spelled = _FAR_UNSEEN.sub("\0", spelled)
            spelled = _FAR.sub("\1", spelled)
        sizes = spelled.encode("latin-1")
        if not sizes.translate(None, b"\0\1"):
            return range(len(text)) if 0 not in sizes else list(compress(range(len(text)), sizes))
        return list(chain.from_iterable(map(repeat, range(len(text)), sizes)))

    def kind(self, character: str) -> int:
        code = ord(character)
        if code < PLANES:
            return self.kinds[code]
        return UNSEEN if 0xE0000 <= code < 0xE1000 and "invisible" in self.switches else BREAK


@cache
def characters(switches: frozenset[str]) -> Characters:
    """One a process for each set of switches; those that do not concern single characters make no difference."""
    return Characters(switches)
