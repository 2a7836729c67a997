"""Finds words in one reading of a text, and how much of the text's end could still become one.

The search is one Aho-Corasick automaton over all words (A. Aho, M. Corasick, "Efficient string matching", 1975), so its
time does not depend on how many there are. It searches the text's runs: every run of one letter is one, in the words
too. What it finds is then measured: a run must be at least as long as the word's own, and for each letter of the word
at most eight characters of the text may follow that are no further letter of it."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise, repeat
from operator import add
from typing import Final, NamedTuple

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from compliance.beginnings import Beginnings
from compliance.characters import LETTER, SPACE, Characters, in_word
from compliance.readings import REACH, Reading, runs_of

# Of words that share a beginning, how many are measured before one of them is taken to be possible.
_MEASURED: Final = 16


class Hit(NamedTuple):
    """A word at `text[start:end]`. `decided` is how much of the text must be known to be sure of it: up to its end, or
    more where only what follows tells whether the word ends there. Hits sort by it."""

    decided: int
    start: int
    word: int
    end: int


class Spelling(NamedTuple):
    """How long each run of a word is at least, and which word it is. No lengths: one letter each."""

    lengths: tuple[int, ...] | None
    word: int


class LettersView:
    """Words as letters in a row. Immutable.

    A word that begins (ends) with a letter or digit of a script with spaces is only found where such a word begins
    (ends): `ass` is not in `class`. Elsewhere, as in Chinese, a word is found anywhere. Words may overlap: all are
    found."""

    def __init__(
        self, words: Iterable[tuple[str, int]], characters: Characters, repeats: bool, together: bool = True
    ) -> None:
        """`words`: as their letters are read, with their numbers. `together`: the many hits of one word in one run of
        one letter may be reported as one that covers them all."""
        self.characters = characters
        self.repeats = repeats
        self._together = together
        spellings: dict[str, int | list[Spelling]] = {}
        for letters, word in words:
            key = runs_of(letters, repeats, characters.symbols)
            before = spellings.get(key)
            if before is None and len(key) == len(letters):
                spellings[key] = word
                continue
            lengths = None if len(key) == len(letters) else _lengths(letters, key, repeats)
            several = [Spelling(None, before)] if isinstance(before, int) else before or []
            if Spelling(lengths, word) not in several:
                spellings[key] = [*several, Spelling(lengths, word)]
        self._keys = keys = sorted(spellings)
        # By key its word, or minus one and less: the place in `_several` of what else it may be.
        self._words = array("i", bytes(4 * len(keys)))
        self._several: list[list[Spelling]] = []
        for place, key in enumerate(keys):
            found = spellings[key]
            if isinstance(found, int):
                self._words[place] = found
            else:
                self._several.append(found)
                self._words[place] = -len(self._several)
        self._automaton = AhoCorasick(
            keys, matchkind=MatchKind.Standard, store_patterns=False, implementation=Implementation.ContiguousNFA
        )

    def index(self) -> None:
        """To be called once, before anything is asked: by first letter, how long its run may be at least, in words of
        one run and in others; by the first two runs, how long a beginning may be.

        It makes the only small objects that stay, so it comes when those are gone that words are made of on the way."""
        self._alone: dict[str, int] = {}
        self._firsts: dict[str, int] = {}
        self._spaced: dict[str, int] = {}  # of words with a space after their first letter
        self._heads: dict[str, int] = {}
        self.longest = self._most = 1
        self.reach = REACH  # how much of a text one word can cover, at most
        reaches = array("i")
        for key, word in zip(self._keys, self._words, strict=True):
            several = len(key) > 1
            first, last, size = 1, 1, len(key)
            if word < 0:
                lengths = [each.lengths for each in self._several[-1 - word] if each.lengths is not None]
                first = max((each[0] for each in lengths), default=1)
                last = max((each[-1] for each in lengths), default=1)
                self._most = max(self._most, *map(max, lengths)) if lengths else self._most
                size = max(size, *map(sum, lengths)) if lengths else size
            self.reach = max(self.reach, REACH * size)
            counted = self._alone
            if several:
                counted = self._spaced if self.characters.symbols and key[1] == SPACE else self._firsts
            if first > counted.get(key[0], 0):
                counted[key[0]] = first
            reach = len(key) - (last == 1)
            reaches.append(reach)
            if several and reach > self._heads.get(key[:2], 1):
                self._heads[key[:2]] = reach
                self.longest = max(self.longest, reach)
        self._pairs = self._heads.keys()
        self._beginnings = Beginnings(lambda: zip(self._keys, repeat(2), reaches, strict=False))

    def _spelled(self, key: int) -> Sequence[Spelling]:
        word = self._words[key]
        return (Spelling(None, word),) if word >= 0 else self._several[-1 - word]

    # What is there --------------------------------------------------------------------------------------------------

    def hits(self, reading: Reading, begin: int, over: bool) -> tuple[list[Hit], int]:
        """The hits that start at `begin` or later, unsorted; and where the first begins that only more text decides."""
        matches = self._automaton.find_matches_as_indexes(reading.runs, overlapping=True)
        undecided = len(reading.text)
        if not matches:
            return [], undecided
        hits: list[Hit] = []
        if not reading.loose:
            matches = self._whole(matches, reading.runs)
        for key, start, end in matches:
            for spelling in self._spelled(key):
                for hit in self._found(reading, start, end, spelling, begin):
                    if hit.decided <= len(reading.text) or over:
                        hits.append(hit)
                    else:
                        undecided = min(undecided, hit.start)
        return hits, undecided

    def _whole(self, matches: list[tuple[int, int, int]], runs: str) -> list[tuple[int, int, int]]:
        """Without those inside a word: most of what is found in an English text is part of another word there."""
        if self.characters.symbols:  # all else are spaces
            runs = f" {runs} "
            return [match for match in matches if runs[match[1]] == SPACE and runs[match[2] + 1] == SPACE]
        size = len(runs)
        return [
            (key, start, end)
            for key, start, end in matches
            if not (start and runs[start - 1].isalnum() and runs[start].isalnum())
            and not (end < size and runs[end].isalnum() and runs[end - 1].isalnum())
        ]

    def _found(self, reading: Reading, start: int, end: int, spelling: Spelling, begin: int) -> Iterator[Hit]:
        if end - start == 1:
            yield from self._alone_in(reading, start, spelling, begin)
            return
        lengths = spelling.lengths
        origins, starts = reading.places()
        anchors = self._anchors(reading, start, end)
        first = self._first(reading, start, lengths[0] if lengths else 1, origins[starts[anchors[1]]], begin)
        if first is None or not self._fits(reading, anchors[1:], start, lengths):
            return
        length = lengths[-1] if lengths else 1
        last = starts[end - 1] + length - 1
        if last < starts[end] and origins[last] - origins[starts[end - 1]] < REACH * length:
            hit = self._decided(reading, first, last, spelling.word)
            if hit is not None:
                yield hit

    def _alone_in(self, reading: Reading, run: int, spelling: Spelling, begin: int) -> Iterator[Hit]:
        """A word of one run, within a run of the text: at every letter of it, or all of them together."""
        origins, starts = reading.places()
        length = spelling.lengths[0] if spelling.lengths else 1
        first, end = max(starts[run], bisect_left(origins, begin)), starts[run + 1]
        if self._together and end - first > length:
            apart = reading.apart(run)
            if apart == 1 or (length > 1 and apart <= REACH):
                place = origins[first + length - 1] + 1
                yield Hit(place, origins[first], spelling.word, origins[end - 1] + 1)
                return
        openings = reading.openings(run)
        for letter in openings[bisect_left(openings, first) : bisect_left(openings, end - length + 1)]:
            last = letter + length - 1
            if origins[last] - origins[letter] < REACH * length:
                hit = self._decided(reading, letter, last, spelling.word)
                if hit is not None:
                    yield hit

    def _decided(self, reading: Reading, first: int, last: int, word: int) -> Hit | None:
        """The hit from one letter to another, if a word may end there."""
        origins = reading.places()[0]
        place = origins[last]
        if self.characters.kind(reading.text[place]) != LETTER:
            return Hit(place + 1, origins[first], word, place + 1)
        if self.repeats:
            last = self._last_repeated(reading, last)
            place = origins[last]
        if last + 1 < len(origins) and origins[last + 1] == place and in_word(reading.letters[last + 1]):
            return None  # one character is read as several letters
        decided, seen = reading.after(place + 1)
        return None if seen == LETTER else Hit(decided, origins[first], word, place + 1)

    def _last_repeated(self, reading: Reading, last: int) -> int:
        """The last of the letters that repeat this one right after it."""
        origins, letters = reading.places()[0], reading.letters
        furthest = origins[last] + REACH
        while last + 1 < len(letters) and letters[last + 1] == letters[last] and origins[last + 1] < furthest:
            if reading.after(origins[last] + 1)[0] <= origins[last + 1]:
                break  # something seen stands between
            last += 1
        return last

    def _anchors(self, reading: Reading, start: int, end: int) -> Sequence[int]:
        """The runs that are letters: how far they are apart counts."""
        if self.characters.symbols:
            return [run for run in range(start, end) if reading.runs[run] != SPACE]
        return range(start, end)

    def _fits(self, reading: Reading, anchors: Sequence[int], start: int, lengths: tuple[int, ...] | None) -> bool:
        """Whether all these runs but the last are long enough, and each is near enough to the next."""
        origins, starts = reading.places()
        for run, following in pairwise(anchors):
            length = lengths[run - start] if lengths else 1
            if starts[run + 1] - starts[run] < length:
                return False
            if origins[starts[following]] - origins[starts[run]] > REACH * length:
                return False
        return True

    def _first(self, reading: Reading, run: int, length: int, following: int, begin: int) -> int | None:
        """The earliest letter of a run at which a word can begin whose next run begins at `following` in the text."""
        origins, starts = reading.places()
        latest = starts[run + 1] - length
        floor = max(following - REACH * length, begin)
        first = max(starts[run], bisect_left(origins, floor))
        while first <= latest and reading.joined(first):
            first += 1
        return first if first <= latest else None

    # What may come --------------------------------------------------------------------------------------------------

    def held_from(self, reading: Reading, begin: int) -> int:
        """Where in the text the longest end begins that may still grow into a word; its length: nowhere."""
        runs = reading.runs
        plain = not reading.loose  # then inside a word no other begins: in an English text four places in five
        if plain and self.characters.symbols:
            held = self._held_in_words(reading, begin)
        else:
            held = self._held_anywhere(reading, begin, plain)
        if held is not None:
            return held
        if runs and not (plain and len(runs) > 1 and runs[-2].isalnum() and runs[-1].isalnum()):
            last = runs[-1]
            alone, first, spaced = self._alone.get(last, 0), self._firsts.get(last, 0), self._spaced.get(last, 0)
            if alone > 1 or first or spaced:
                if reading.ends_in_a_letter_alone:
                    place = len(reading.text) - 1
                    return place if place >= begin else place + 1
                held = self._begun_in_run(reading, len(runs) - 1, begin, alone, first, spaced)
                if held is not None:
                    return held
        return len(reading.text)

    def _held_in_words(self, reading: Reading, begin: int) -> int | None:
        """Of a text of ASCII letters, digits and spaces, where a word only begins after a space."""
        runs, values, mask = reading.runs, self._beginnings.values, self._beginnings.mask
        size = len(runs)
        exact = size == len(reading.text)
        fresh = len(reading.text) - begin  # has no more runs than characters
        start = size - (self.longest if self.longest < fresh else fresh)
        start = runs.find(SPACE, start - 1) + 1 or size if start > 0 else 0
        while start < size - 1:
            if values[hash(runs[start:]) & mask]:  # `may_hold`: the call would take as long again
                held = self._begun(reading, start, begin, exact)
                if held is not None:
                    return held
            start = runs.find(SPACE, start) + 1 or size
        return None

    def _held_anywhere(self, reading: Reading, begin: int, plain: bool) -> int | None:
        runs, heads = reading.runs, self._heads
        size = len(runs)
        first = max(0, size - self.longest)
        end = runs[first:]
        if self._pairs.isdisjoint(map(add, end, end[1:])):
            return None
        for start in range(first, size - 1):
            reach = heads.get(runs[start : start + 2])
            if reach is not None and size - start <= reach and self._beginnings.may_hold(runs[start:]):
                if plain and start and runs[start - 1].isalnum() and runs[start].isalnum():
                    continue
                held = self._begun(reading, start, begin)
                if held is not None:
                    return held
        return None

    def _begun(self, reading: Reading, start: int, begin: int, exact: bool = False) -> int | None:
        """Where a word begins whose beginning the text's runs from `start` on are, if one may. `exact`: each of them is
        one character of the text, and no word goes on there that began before `start`."""
        text = reading.runs[start:]
        keys = self._keys
        place = bisect_left(keys, text)
        if place == len(keys) or not keys[place].startswith(text):
            return None
        if exact and len(keys[place]) > len(text) and self._words[place] >= 0:
            return start if start >= begin else None  # nothing to measure
        origins, starts = reading.places()
        anchors = self._anchors(reading, start, len(reading.runs))
        several = starts[start + 1] - starts[start] > 1
        best: int | None = None
        for tried in range(place, place + _MEASURED):
            if tried == len(keys) or not keys[tried].startswith(text):
                return best
            for spelling in self._spelled(tried):
                held = self._begun_as(reading, anchors, spelling.lengths, begin, keys[tried][len(text) :])
                if held is not None and not several:
                    return held
                best = held if best is None or (held is not None and held < best) else best
        return self._earliest(reading, start, anchors, begin)

    def _begun_as(
        self, reading: Reading, anchors: Sequence[int], lengths: tuple[int, ...] | None, begin: int, rest: str
    ) -> int | None:
        """Where a word begins that the text's last runs begin, and that is measured so; `rest`: what it has besides."""
        origins, starts = reading.places()
        start = anchors[0]
        if len(anchors) == 1:  # a letter and a space
            return self._begun_in_run(reading, start, begin, 0, lengths[0] if lengths else 1, 0)
        if not self._may_go_on(reading, anchors, lengths, rest):
            return None
        first = self._first(reading, start, lengths[0] if lengths else 1, origins[starts[anchors[1]]], begin)
        return None if first is None else origins[first]

    def _earliest(self, reading: Reading, run: int, anchors: Sequence[int], begin: int) -> int | None:
        """The earliest beginning in a run that any word may have."""
        origins, starts = reading.places()
        if len(anchors) == 1:
            return self._begun_in_run(reading, run, begin, 0, self._most, 0)
        following = origins[starts[anchors[1]]]
        floor = max(following - REACH * self._most, begin)
        letters = range(max(starts[run], bisect_left(origins, floor)), starts[run + 1])
        return next((origins[letter] for letter in letters if not reading.joined(letter)), None)

    def _may_go_on(self, reading: Reading, anchors: Sequence[int], lengths: tuple[int, ...] | None, rest: str) -> bool:
        """Whether the word goes on after the text: all runs fit so far, and the next letter would not come too late."""
        start, last = anchors[0], anchors[-1]
        if not self._fits(reading, anchors[1:], start, lengths):
            return False
        length = lengths[last - start] if lengths else 1
        origins, starts = reading.places()
        missing = max(0, length - (starts[last + 1] - starts[last]))
        if missing and last < len(reading.runs) - 1:
            return False  # a space ended the run
        soonest = len(reading.text) + missing + (self.characters.symbols and rest[:1] == SPACE)
        return (rest != "" or missing > 0) and soonest <= origins[starts[last]] + REACH * length

    def _begun_in_run(  # noqa: PLR0917
        self, reading: Reading, run: int, begin: int, alone: int, first: int, spaced: int
    ) -> int | None:
        """The same for the last run of the text, perhaps with a space after it. How long it must be at least: as a word
        (`alone`), as the first run of one, and of one with a space after it (`spaced`)."""
        origins, starts = reading.places()
        over = run < len(reading.runs) - 1
        size, end = len(reading.text), starts[run + 1]
        floor = max(begin, size - REACH * max(alone, first, spaced))
        for letter in range(max(starts[run], bisect_left(origins, floor)), end):
            there, place = end - letter, origins[letter]
            grows = there < alone and size + alone - there <= place + REACH * alone
            for length, more in ((first, 0), (spaced, 1)):
                missing = max(0, length - there)
                if length and not (over and missing):
                    grows = grows or size + missing + more <= place + REACH * length
            if grows and not reading.joined(letter):
                return place
        return None


def _lengths(letters: str, key: str, repeats: bool) -> tuple[int, ...]:
    if repeats:
        return tuple(len(list(run)) for _, run in groupby(letters))
    return (1,) * len(key)  # only spaces came together
