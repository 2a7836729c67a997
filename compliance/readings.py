"""A text as one way of reading it has it: letters only, runs of one letter as one, with the way back to the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import compress, pairwise
from operator import ne
from typing import Final

from compliance.characters import BREAK, LETTER, SPACE, UNSEEN, Characters, in_word

BETWEEN: Final = 8  # characters that may stand between two letters of a word
REACH: Final = BETWEEN + 1  # how far the next letter may be from the one before

_RUNS: Final = re.compile(r"(.)\1+", re.DOTALL)
_SPACES: Final = re.compile("  +")
# Signs that are read as letters, and signs between letters; the search is for signs, since those are few.
_SIGN: Final = r"[\x00-\x08\x0e-\x1f!-&(-/:-@\[-`{-\x7f]"
_LOOSE: Final = re.compile(rf"[@$|]|{_SIGN}(?<=[0-9A-Za-z]{_SIGN}){_SIGN}*(?=[0-9A-Za-z])")
_SHORT: Final = 48  # up to here a search is faster than arithmetic
# Of a byte whose high bit says that it stays, the byte; the others are deleted.
_LOW: Final = bytes(range(128))
_KEEP: Final = bytes(code & 0x7F for code in range(256))


class Reading:
    """`letters` is the text's every character as it is read, `runs` the same with each run of one letter as one; where
    runs make no difference, only those of spaces."""

    __slots__ = ("_apart", "_loose", "_openings", "_places", "characters", "letters", "repeats", "runs", "text")

    def __init__(self, text: str, characters: Characters, repeats: bool) -> None:
        self.text = text
        self.characters = characters
        self.repeats = repeats
        self.letters = characters.read(text)
        if characters.symbols and not self.letters.isascii() and SPACE in self.letters:
            self.letters = without_loose_spaces(self.letters)
        self.runs = runs_of(self.letters, repeats, characters.symbols)
        self._places: tuple[Sequence[int], Sequence[int]] | None = None
        self._apart: dict[int, int] = {}
        self._openings: dict[int, Sequence[int]] = {}
        self._loose: bool | None = None

    def places(self) -> tuple[Sequence[int], Sequence[int]]:
        """Where in the text each letter stands, and where in the letters each run begins (and the last one ends)."""
        if self._places is None:
            self._places = self._origins(), self._starts()
        return self._places

    def _origins(self) -> Sequence[int]:
        origins = self.characters.origins(self.text)
        if len(origins) == len(self.letters):
            return origins
        return list(compress(origins, _kept(self.characters.read(self.text))))

    def _starts(self) -> Sequence[int]:
        letters = self.letters
        if len(self.runs) == len(letters):
            return range(len(letters) + 1)
        if self.repeats and letters.isascii():
            size = len(letters)
            return [0, *compress(range(1, size + 1), _last_of_runs(letters)[1].to_bytes(size, "little"))]
        if self.repeats:
            return [0, *compress(range(1, len(letters)), map(ne, letters, letters[1:])), len(letters)]
        pairs = zip(letters, letters[1:], strict=False)
        return [0, *(place for place, pair in enumerate(pairs, 1) if pair != (SPACE, SPACE)), len(letters)]

    def openings(self, run: int) -> Sequence[int]:
        """The letters of a run at which a word may begin."""
        openings = self._openings.get(run)
        if openings is None:
            _, starts = self.places()
            letters = range(starts[run], starts[run + 1])
            openings = self._openings[run] = [letter for letter in letters if not self.joined(letter)]
        return openings

    @property
    def loose(self) -> bool:
        """Whether letters side by side may be no neighbours in the text, or no letters there."""
        if self._loose is None:
            self._loose = not self.text.isascii() or _LOOSE.search(self.text) is not None
        return self._loose

    def apart(self, run: int) -> int:
        """How far the letters of a run are from each other at most; very far if one of them has edges."""
        apart = self._apart.get(run)
        if apart is None:
            origins, starts = self.places()
            places = origins[starts[run] : starts[run + 1]]
            if any(self.characters.kind(self.text[place]) == LETTER for place in places):
                apart = len(self.text) + REACH
            else:
                apart = max((after - before for before, after in pairwise(places)), default=1)
            self._apart[run] = apart
        return apart

    def joined(self, letter: int) -> bool:
        """Whether a letter goes on with a word that began before it."""
        origins = self.places()[0]
        place = origins[letter]
        kind, text = self.characters.kind, self.text
        if kind(text[place]) != LETTER:
            return False
        if letter and origins[letter - 1] == place and in_word(self.letters[letter - 1]):
            return True  # one character is read as several letters
        for before in range(place - 1, max(place - 1 - REACH, -1), -1):
            seen = kind(text[before])
            if seen != UNSEEN:
                return seen == LETTER
        return False

    def after(self, end: int) -> tuple[int, int | None]:
        """The kind of the character seen at `end` or after it, and how much of the text must be known for that; no kind
        if the text does not tell yet."""
        text, kind = self.text, self.characters.kind
        for place in range(end, min(end + REACH, len(text))):
            seen = kind(text[place])
            if seen != UNSEEN:
                return place + 1, seen
        if end + REACH <= len(text):
            return end + REACH, BREAK
        return len(text) + 1, None


def runs_of(letters: str, repeats: bool, symbols: bool) -> str:
    """The letters with each run of one (of spaces, if only symbols make no difference) as one."""
    if repeats:
        if letters.isascii() and len(letters) > _SHORT:
            return _ascii_runs(letters)
        return _RUNS.sub(r"\1", letters) if _RUNS.search(letters) else letters
    return _SPACES.sub(SPACE, letters) if symbols and "  " in letters else letters


def _ascii_runs(letters: str) -> str:
    """All at once, in one big number: a letter that differs from the next one gets its high bit set and stays."""
    number, stays = _last_of_runs(letters)
    return (number | stays).to_bytes(len(letters), "little").translate(_KEEP, _LOW).decode("ascii")


def _last_of_runs(letters: str) -> tuple[int, int]:
    """The letters as a number of bytes, and another with the high bits of those that end a run."""
    size = len(letters)
    number = int.from_bytes(letters.encode("ascii"), "little")
    differs = (number ^ (number >> 8)) + int.from_bytes(b"\x7f" * size, "little")
    return number, differs & int.from_bytes(b"\x80" * size, "little")


def without_loose_spaces(letters: str) -> str:
    """Spaces part words only after a letter of a script with spaces; others go."""
    kept = []
    last = ""
    for number, part in enumerate(letters.split(SPACE)):
        if number and last and in_word(last):
            kept.append(SPACE)
        kept.append(part)
        last = part[-1:] or last
    return "".join(kept)


def _kept(letters: str) -> list[bool]:
    kept = []
    last = ""
    for letter in letters:
        kept.append(letter != SPACE or bool(last and in_word(last)))
        if letter != SPACE:
            last = letter
    return kept
