"""Finds Chinese words by their sound: in pinyin, in other characters that sound alike, and in a mixture of both.

The automaton searches the letters of all syllables in a row. What it finds counts if the text's syllables begin and end
where the word's do: a Chinese character is one whole syllable (先, xian, is not 西安, xi'an), and pinyin stands as a
Latin word or several (`huairen`, `huai ren`, 坏`ren`) with nothing inside a syllable."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, NamedTuple

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from compliance.beginnings import Beginnings
from compliance.characters import LETTER, UNSEEN
from compliance.letters import Hit
from compliance.readings import BETWEEN, REACH, Reading
from compliance.sounds import NO_SOUND, TONES, Sounds, syllables

_MEASURED: Final = 16


class Spoken(NamedTuple):
    """A word as its characters, and how each of them sounds."""

    characters: str
    syllables: tuple[str, ...]
    word: int


class Walk(NamedTuple):
    """How far a word goes along with a text: `end` is where its last letter stands there. `whole`: all of it does."""

    end: int
    whole: bool
    latin: bool  # whether the last syllable is pinyin
    spelled: bool  # whether any is


class SyllablesView:
    """Words as syllables in a row. Immutable. The same questions as `compliance.letters.LettersView` answers."""

    repeats = False

    def __init__(self, words: Iterable[Spoken], characters: Sounds) -> None:
        self.characters = self._sounds = characters
        spellings: dict[str, list[Spoken]] = {}
        for word in words:
            spellings.setdefault("".join(word.syllables), []).append(word)
        self._keys = sorted(spellings)
        self._spellings = [spellings[key] for key in self._keys]
        self._written = sorted({each.characters for several in self._spellings for each in several})
        self.longest = max(map(len, self._keys))
        self.reach = REACH * self.longest
        self._automaton = AhoCorasick(
            self._keys, matchkind=MatchKind.Standard, store_patterns=False, implementation=Implementation.ContiguousNFA
        )

    def index(self) -> None:
        """To be called once, before anything is asked."""
        self._may_begin = Beginnings(lambda: ((key, 1, len(key) - 1) for key in self._keys)).may_hold

    def hits(self, reading: Reading, begin: int, over: bool) -> tuple[list[Hit], int]:
        """The hits that start at `begin` or later, unsorted; and where the first begins that only more text decides."""
        hits: list[Hit] = []
        undecided = len(reading.text)
        matches = self._automaton.find_matches_as_indexes(reading.letters, overlapping=True)
        if not matches:
            return [], undecided
        origins, text, table, homophones = reading.places()[0], reading.text, syllables(), self._sounds.homophones
        size = len(origins)
        for key, start, end in matches:
            place, last = origins[start], origins[end - 1]
            if place < begin or (start and origins[start - 1] == place) or (end < size and origins[end] == last):
                continue  # in the middle of a syllable, or of what was read before
            spoken = tuple([table.get(each, "") for each in text[place : last + 1]])
            if not homophones and "" not in spoken:
                continue  # no pinyin
            if spoken == self._spellings[key][0].syllables:
                hits += (Hit(last + 1, place, word.word, last + 1) for word in self._spellings[key])
                continue
            if not self._begins(reading, start):
                continue
            for word in self._spellings[key]:
                hit = self._hit(reading, start, word)
                if hit is not None and hit.decided > len(reading.text) and not over:
                    undecided = min(undecided, hit.start)
                elif hit is not None:
                    hits.append(hit)
        return hits, undecided

    def skips(self, text: str) -> bool:
        """Whether there is nothing to find: without homophones, where there is no pinyin."""
        return not self._sounds.homophones and not self._sounds.has_pinyin(text)

    def held_from(self, reading: Reading, begin: int) -> int:
        """Where in the text the longest end begins that may still grow into a word; its length: nowhere."""
        letters = reading.letters
        size = len(letters)
        for start in range(max(letters.rfind(NO_SOUND) + 1, size - self.longest, 0), size):
            if self._may_begin(letters[start:]) and self._begun(reading, start, begin):
                return reading.places()[0][start]
        return len(reading.text)

    def _hit(self, reading: Reading, start: int, word: Spoken) -> Hit | None:
        walk = self._walk(reading, start, word)
        if walk is None or not walk.whole or not (walk.spelled or self._sounds.homophones):
            return None
        place = reading.places()[0][start]
        if not walk.latin:
            return Hit(walk.end + 1, place, word.word, walk.end + 1)
        end = walk.end + 1
        decided, seen = reading.after(end)
        if seen == LETTER and reading.text[decided - 1] in TONES:
            end = decided
            decided, seen = reading.after(end)
        return None if seen == LETTER else Hit(decided, place, word.word, end)

    def _begins(self, reading: Reading, letter: int) -> bool:
        """Whether a syllable, and if it is pinyin a word, may begin at this letter."""
        origins = reading.places()[0]
        if reading.text[origins[letter]] in syllables():
            return letter == 0 or origins[letter - 1] != origins[letter]
        return not reading.joined(letter)

    def _begun(self, reading: Reading, start: int, begin: int) -> bool:
        """Whether the letters from `start` on are the beginning of a word."""
        beginning = reading.letters[start:]
        place = bisect_left(self._keys, beginning)
        if place == len(self._keys) or not self._keys[place].startswith(beginning):
            return False
        if reading.places()[0][start] < begin or not self._begins(reading, start):
            return False
        if not self._sounds.homophones and not self._written_so(reading, start):
            return False
        for tried in range(place, place + _MEASURED):
            if tried == len(self._keys) or not self._keys[tried].startswith(beginning):
                return False
            for word in self._spellings[tried]:
                walk = self._walk(reading, start, word)
                if walk is not None and not walk.whole:
                    return True
        return True

    def _written_so(self, reading: Reading, start: int) -> bool:
        """Whether the characters before any pinyin are those of a word, not only sound like them."""
        places = dict.fromkeys(reading.places()[0][start:])
        beginning = ""
        for place in places:
            if reading.text[place] not in syllables():
                break
            character = reading.text[place]
            beginning += self._sounds.traditional.get(character, character)
        place = bisect_left(self._written, beginning)
        return place < len(self._written) and self._written[place].startswith(beginning)

    def _walk(self, reading: Reading, letter: int, word: Spoken) -> Walk | None:
        """Along the text's letters from one on, syllable by syllable; none: they are not the word's."""
        origins, letters, text = reading.places()[0], reading.letters, reading.text
        end, latin, spelled = -1, False, False
        for character, syllable in zip(word.characters, word.syllables, strict=True):
            if letter == len(letters):
                return Walk(end, False, latin, spelled) if self._may_part(text, end, len(text), latin) else None
            place = origins[letter]
            if end >= 0 and not self._may_part(text, end, place, latin):
                return None
            if text[place] in syllables():
                if syllables()[text[place]] != syllable or not self._sounds.same(text[place], character):
                    return None
                letter += len(syllable)
                end, latin = place, False
                continue
            latin = spelled = True
            for sound in syllable:
                if letter == len(letters):
                    return Walk(end, False, latin, spelled) if self._unseen(text, end + 1, len(text)) else None
                there = origins[letter]
                if letters[letter] != sound or text[there] in syllables():
                    return None
                if there != place and not self._unseen(text, end + 1, there):
                    return None
                end = there
                letter += 1
        return Walk(end, True, latin, spelled)

    def _may_part(self, text: str, end: int, following: int, latin: bool) -> bool:
        """Whether what stands between two syllables may: not much, nothing with a sound, a digit only as a tone."""
        between = text[end + 1 : following]
        if len(between) > BETWEEN:
            return False
        seen = [each for each in between if self.characters.kind(each) != UNSEEN]
        return not any(each.isdigit() for each in seen[1 if latin else 0 :])

    def _unseen(self, text: str, start: int, end: int) -> bool:
        return end - start <= BETWEEN and all(
            self.characters.kind(text[place]) == UNSEEN for place in range(start, end)
        )
