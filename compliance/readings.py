"""A text as one way of reading it has it: letters only, runs of one letter as one, with the way back to the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import compress, pairwise
from operator import ne
from typing import Final

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from compliance.characters import BREAK, LETTER, SPACE, UNSEEN, Characters, in_word
from compliance.forms import PLANES

BETWEEN: Final = 8  # characters that may stand between two letters of a word
REACH: Final = BETWEEN + 1  # how far the next letter may be from the one before

_RUNS: Final = re.compile(r"(.)\1+", re.DOTALL)
_SPACES: Final = re.compile("  +")
_BETWEEN_LETTERS: Final = re.compile(rb"a\.+a")
# Kinds of ASCII characters: signs that are read as letters, letters and digits, other signs, spaces and apostrophes.
_KINDS: Final = (
    "".join(
        "@" if each in "@$|" else "a" if each.isalnum() else " " if each in "\t\n\v\f\r '" else "."
        for each in map(chr, range(128))
    ).encode()
    * 2
)
_SHORT: Final = 96  # up to here a search is faster than arithmetic
# Two equal letters side by side: a third of the time the expression above takes to find none in a chunk of an answer.
_DOUBLES: Final = AhoCorasick(
    [chr(code) * 2 for code in range(128)],
    matchkind=MatchKind.Standard,
    store_patterns=False,
    implementation=Implementation.DFA,
)
# Of a byte whose high bit says that it stays, the byte; the others are deleted.
_LOW: Final = bytes(range(128))
_KEEP: Final = bytes(code & 0x7F for code in range(256))
_ZEROS: Final = re.compile(b"\0")
_BLOCK: Final = 64  # numbers are of so many letters or a multiple of it, so that a few masks do for all sizes,
_KEPT: Final = 4096  # and of more letters than this masks are made anew


class Reading:
    """`letters` is the text's every character as it is read, `runs` the same with each run of one letter as one; where
    runs make no difference, only those of spaces."""

    __slots__ = ("_apart", "_loose", "_openings", "_places", "characters", "letters", "repeats", "runs", "text")

    def __init__(self, text: str, characters: Characters, repeats: bool) -> None:
        self.text = text
        self.characters = characters
        self.repeats = repeats
        self._places: tuple[Sequence[int], Sequence[int]] | None = None
        self._loose: bool | None = None
        if characters.plain and len(text) <= _SHORT and text.isascii() and text.replace(SPACE, "").isalnum():
            self.letters = text.lower()  # as most chunks of answers are
            self._loose = False
        else:
            self.letters = characters.read(text)
            if characters.symbols and not self.letters.isascii() and SPACE in self.letters:
                self.letters = without_loose_spaces(self.letters)
        self.runs = runs_of(self.letters, repeats, characters.symbols)

    def places(self) -> tuple[Sequence[int], Sequence[int]]:
        """Where in the text each letter stands, and where in the letters each run begins (and the last one ends)."""
        if self._places is None:
            self._places = self._origins(), self._starts()
            self._apart: dict[int, int] = {}
            self._openings: dict[int, Sequence[int]] = {}
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
            size = _room(letters)
            return [0, *compress(range(1, size + 1), _last_of_runs(letters, size)[1].to_bytes(size, "little"))]
        if self.repeats:
            return [0, *compress(range(1, len(letters)), map(ne, letters, letters[1:])), len(letters)]
        pairs = zip(letters, letters[1:], strict=False)
        return [0, *(place for place, pair in enumerate(pairs, 1) if pair != (SPACE, SPACE)), len(letters)]

    def openings(self, run: int) -> Sequence[int]:
        """The letters of a run at which a word may begin."""
        _, starts = self.places()
        openings = self._openings.get(run)
        if openings is None:
            letters = range(starts[run], starts[run + 1])
            openings = self._openings[run] = [letter for letter in letters if not self.joined(letter)]
        return openings

    @property
    def loose(self) -> bool:
        """Whether letters side by side may be no neighbours in the text, or no letters there."""
        if self._loose is None:
            self._loose = not self.text.isascii() or _is_loose(self.text.encode())
        return self._loose

    @property
    def ends_in_a_letter_alone(self) -> bool:
        """Whether the last character is one letter, a run by itself, and goes on with no word; if False, perhaps."""
        last, before = self.letters[-1:], self.text[-2:-1]
        characters, code = self.characters, ord(self.text[-1])
        if code >= PLANES or characters.table[code] not in (last, ord(last)) or self.letters[-2:-1] == last:
            return False
        return characters.kinds[code] != LETTER or not before or characters.kind(before) == BREAK

    def apart(self, run: int) -> int:
        """How far the letters of a run are from each other at most; very far if one of them has edges."""
        origins, starts = self.places()
        apart = self._apart.get(run)
        if apart is None:
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


def _is_loose(text: bytes) -> bool:
    kinds = text.translate(_KINDS)
    if b"@" in kinds or b"a.a" in kinds:
        return True
    return b"a.." in kinds and _BETWEEN_LETTERS.search(kinds) is not None


def runs_of(letters: str, repeats: bool, symbols: bool) -> str:
    """The letters with each run of one (of spaces, if only symbols make no difference) as one."""
    if not repeats:
        return _SPACES.sub(SPACE, letters) if symbols and "  " in letters else letters
    if not letters.isascii():
        if len(letters) > _SHORT:
            return _wide_runs(letters)
        return letters if len(set(letters)) == len(letters) else _RUNS.sub(r"\1", letters)
    if len(letters) > _SHORT:
        return _ascii_runs(letters)
    doubles = _DOUBLES.find_matches_as_indexes(letters, overlapping=True)
    return _without(letters, [start for _, start, _ in doubles]) if doubles else letters


def _without(letters: str, places: Iterable[int]) -> str:
    """All but the letters at these places, in ascending order."""
    kept: list[str] = []
    done = 0
    for place in places:
        kept.append(letters[done:place])
        done = place + 1
    kept.append(letters[done:])
    return "".join(kept)


def _ascii_runs(letters: str) -> str:
    """All at once, in one big number: a letter that differs from the next one gets its high bit set and stays."""
    size = _room(letters)
    number, stays = _last_of_runs(letters, size)
    return (number | stays).to_bytes(size, "little").translate(_KEEP, _LOW).decode("ascii")


def _last_of_runs(letters: str, size: int) -> tuple[int, int]:
    """The letters as a number of `size` bytes, and another with the high bits of those that end a run."""
    number = int.from_bytes(letters.encode("ascii"), "little")
    low, high = _masks(size, 1)
    return number, ((number ^ (number >> 8)) + low) & high


def _wide_runs(letters: str) -> str:
    """The same with two bytes a letter, for texts with few runs, as Chinese ones are."""
    size = _room(letters)
    spelled = letters.encode("utf-16-le", "surrogatepass")
    if len(spelled) != 2 * len(letters):
        return _RUNS.sub(r"\1", letters)  # some take four
    number = int.from_bytes(spelled, "little")
    low, high = _masks(size, 2)
    differs = number ^ (number >> 16)
    ends = (((differs & low) + low) | differs) & high
    if ends == high >> 16 * (size - len(letters)):
        return letters
    places = _ZEROS.finditer(ends.to_bytes(2 * size, "little")[1 : 2 * len(letters) : 2])
    return _without(letters, [found.start() for found in places])


def _room(letters: str) -> int:
    return -(-len(letters) // _BLOCK) * _BLOCK


def _masks(size: int, width: int) -> tuple[int, int]:
    """Of so many letters of `width` bytes each: all bits but the highest of each, and the highest of each."""
    return _kept_masks(size, width) if size <= _KEPT else _made_masks(size, width)


def _made_masks(size: int, width: int) -> tuple[int, int]:
    low, high = b"\xff" * (width - 1) + b"\x7f", bytes(width - 1) + b"\x80"
    return int.from_bytes(low * size, "little"), int.from_bytes(high * size, "little")


_kept_masks = cache(_made_masks)


def without_loose_spaces(letters: str) -> str:
    """Spaces part words only after a letter of a script with spaces; others go."""
    first, *rest = letters.split(SPACE)
    kept = [first]
    last = first[-1:]
    for part in rest:
        if last and (last < "\x80" or in_word(last)):  # of ASCII there are but letters and digits
            kept.append(SPACE)
        kept.append(part)
        if part:
            last = part[-1]
    return "".join(kept)


def _kept(letters: str) -> list[bool]:
    kept = []
    last = ""
    for letter in letters:
        kept.append(letter != SPACE or bool(last and in_word(last)))
        if letter != SPACE:
            last = letter
    return kept
