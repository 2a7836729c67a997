"""Finds the words of sensitive-word lists in text, and says how much of a text's end could still become one.

The search is one Aho-Corasick automaton over all lists (A. Aho, M. Corasick, "Efficient string matching", 1975), so
its time does not depend on how many words there are. Words are compared in normal form (`compliance.normalising`).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec
from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from compliance.normalising import normalise

Action = Literal["block", "mask", "record"]
Scope = Literal["tenant", "platform"]

# Scripts that write words without spaces between them, or glue endings to them (Hangul): there a word has no edges.
_UNSPACED: Final[Callable[[str], object]] = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\uff65-\uffdc\U0001b000-\U0001b2ff\U00020000-\U0003ffff]"
).match
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


@lru_cache(maxsize=65_536)
def in_word(character: str) -> bool:
    """Whether the character belongs to a word that has edges: a letter or digit of a script with spaces."""
    return character.isalnum() and (character < "\u0e00" or not _UNSPACED(character))


class Rule(msgspec.Struct, frozen=True):
    """What a list asks for: `name`, `version` and `scope` (whose it is) are the list's; `list_id` is its row."""

    name: str
    version: int
    action: Action
    list_id: int = 0
    scope: Scope = "tenant"


class Entry(msgspec.Struct, frozen=True):
    """What is to be done about a word: the rules of every list it is in."""

    rules: tuple[Rule, ...]
    block: bool
    mask: bool


class Hit(NamedTuple):
    """A word at `normal[start:end]`. `decided` is how much of the text must be known to be sure of it: up to its end,
    or one character more where only that one tells whether the word ends there. Hits sort by it."""

    decided: int
    start: int
    end: int
    word: int


class WordMatcher:
    """The words of some lists, compiled. Immutable; used by any number of turns at once.

    A word that begins (ends) with a letter or digit of a script with spaces is only found where such a word begins
    (ends): `ass` is not in `class`. Elsewhere, as in Chinese, a word is found anywhere. Words may overlap: all are
    found."""

    def __init__(
        self, lists: Iterable[tuple[Rule, Sequence[str], frozenset[str]]], exceptions: Iterable[str] = ()
    ) -> None:
        rules: dict[str, tuple[Rule, ...]] = {}
        for rule, words, _ in lists:
            alone = (rule,)
            for word in words:
                normal = normalise(word)[0]
                others = rules.get(normal)
                rules[normal] = alone if others is None else others if rule in others else (*others, rule)
        entries = {each: _entry(each) for each in set(rules.values())}
        self.words: list[str] = sorted(rules)
        self.entries: list[Entry] = [entries[rules[word]] for word in self.words]
        self._index_beginnings()
        self._automaton = AhoCorasick(
            self.words,
            matchkind=MatchKind.Standard,
            store_patterns=False,
            implementation=Implementation.ContiguousNFA,
        )

    def _index_beginnings(self) -> None:
        """By first character, and by the first two with how long a beginning may be before its word is complete."""
        self._longest = 0
        self._firsts: set[str] = set()
        self._heads: dict[str, int] = {}
        for word in self.words:
            reach = len(word) if in_word(word[-1]) else len(word) - 1
            if reach:
                self._firsts.add(word[0])
            if reach > 1 and reach > self._heads.get(word[:2], 0):
                self._heads[word[:2]] = reach
            self._longest = max(self._longest, reach)
        self._beginnings = _ascii_beginnings(self._firsts)

    def find(self, normal: str, after_word: bool = False, over: bool = True) -> list[Hit]:
        """The hits in a text in normal form, sorted. `after_word`: the character before the text is in a word.
        Unless the text is `over`, a hit is left out whose end only the next character can tell."""
        try:
            matches = self._automaton.find_matches_as_indexes(normal, overlapping=True)
        except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form; no word holds one
            matches = self._automaton.find_matches_as_indexes(_SURROGATES.sub("\ufffd", normal), overlapping=True)
        if not matches:
            return []
        hits = []
        length = len(normal)
        for word, start, end in matches:
            if self._joined(normal, start, after_word):
                continue
            decided = end
            if in_word(normal[end - 1]):
                decided += 1
                if (end == length and not over) or (end < length and in_word(normal[end])):
                    continue
            hits.append(Hit(decided, start, end, word))
        hits.sort()
        return hits

    def held_from(self, normal: str, end: int, after_word: bool = False) -> int:
        """Where in `normal[:end]` the longest end begins that may still grow into a word; `end`: nowhere.

        That is the depth of the automaton's state, counted from the end, as far as the edges of words allow it."""
        if normal.isascii():
            return self._held_from_ascii(normal, end, after_word)
        heads = self._heads
        for start in range(end - self._longest if end > self._longest else 0, end - 1):
            reach = heads.get(normal[start : start + 2])
            if reach is None or end - start > reach or self._joined(normal, start, after_word):
                continue
            if end - start == 2 or self._begins_word(normal[start:end]):
                return start
        if end and normal[end - 1] in self._firsts and not self._joined(normal, end - 1, after_word):
            return end - 1
        return end

    def _held_from_ascii(self, normal: str, end: int, after_word: bool) -> int:
        """The same, looking only where a word can begin: in a text of letters that is one place in five."""
        heads = self._heads
        for match in self._beginnings(normal, end - self._longest if end > self._longest else 0, end):
            start = match.start()
            if start == 0 and after_word and in_word(normal[0]):
                continue
            if start == end - 1:
                return start
            reach = heads.get(normal[start : start + 2])
            if reach is None or end - start > reach:
                continue
            if end - start == 2 or self._begins_word(normal[start:end]):
                return start
        return end

    def _begins_word(self, text: str) -> bool:
        """Or is a whole one whose end is not certain yet."""
        words = self.words
        place = bisect_left(words, text)
        if place < len(words) and words[place] == text:
            if in_word(text[-1]):
                return True
            place += 1
        return place < len(words) and words[place].startswith(text)

    @staticmethod
    def _joined(normal: str, start: int, after_word: bool) -> bool:
        """Whether the character at `start` continues a word that began before it."""
        return in_word(normal[start]) and (in_word(normal[start - 1]) if start else after_word)


def _ascii_beginnings(firsts: set[str]) -> Callable[[str, int, int], Iterator[re.Match[str]]]:
    """Finds the characters of an ASCII text in normal form that may begin a word and do not continue one."""
    letters = "".join(sorted(first for first in firsts if first.isascii() and first.isalnum()))
    others = "".join(sorted(first for first in firsts if first.isascii() and not first.isalnum()))
    choices = [f"(?<![0-9a-z])[{letters}]"] if letters else []
    choices += [f"[{re.escape(others)}]"] if others else []
    return re.compile("|".join(choices) or "(?!)").finditer


def _entry(rules: tuple[Rule, ...]) -> Entry:
    actions = {rule.action for rule in rules}
    return Entry(rules=rules, block="block" in actions, mask="mask" in actions)
