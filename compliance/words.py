"""Finds the words of sensitive-word lists in text, and says how much of a text's end could still become one.

A list says which ways to write its words are seen through (`compliance.normalising.SWITCHES`). Lists with the same
switches are searched together, in as many views of the text as their switches ask for."""

from __future__ import annotations

import string
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from copy import copy
from itertools import accumulate
from typing import Final, Literal, NamedTuple

import msgspec

from compliance.characters import SPACE, Characters, in_word
from compliance.letters import Hit
from compliance.normalising import DEFAULT_SWITCHES, normalise
from compliance.packed import Texts
from compliance.quiet import Quiet
from compliance.readings import REACH, Reading
from compliance.spellings import View, views_of
from compliance.syllables import SyllablesView

__all__ = ["Action", "Entry", "Explanation", "Hit", "Rule", "Scan", "WordMatcher", "in_word"]

Action = Literal["block", "mask", "record"]
Scope = Literal["tenant", "platform"]

# Seen by everybody, so that whether a word goes on after it needs nothing before it: these, and all from the first of
# `TELLING_HAN` up to the second.
TELLING: Final = frozenset(string.ascii_letters + string.digits + SPACE)
TELLING_HAN: Final = ("\u4e00", "\ua000")
_ORDINARY: Final = 64  # letters: the longest word there is
_MUCH: Final = 64  # characters: of a longer text only the end is read again for what it may become, if that is enough


class Rule(msgspec.Struct, frozen=True):
    """What a list asks for: `name`, `version` and `scope` (whose it is) are the list's; `list_id` is its row. There are
    no exceptions to a `mandatory` one."""

    name: str
    version: int
    action: Action
    list_id: int = 0
    scope: Scope = "tenant"
    mandatory: bool = False


class Entry(msgspec.Struct, frozen=True):
    """What is to be done about a word: the rules of every list it is in."""

    rules: tuple[Rule, ...]
    block: bool
    mask: bool
    spared: bool = True  # whether exceptions hold for it


class Explanation(NamedTuple):
    """A hit for people: `word` as the list has it, `found` as the text has it, at `text[start:end]`."""

    start: int
    end: int
    rule: Rule
    word: str
    found: str


class Group(NamedTuple):
    """Words that are looked for in the same ways, and what is an exception to them. `first` is to be added to their
    numbers, where others have the views too."""

    views: tuple[View, ...]
    exceptions: tuple[View, ...]
    first: int = 0


class WordMatcher:
    """The words of some lists, compiled. Immutable; used by any number of turns at once.

    `exceptions`: a hit that lies wholly inside one of these is none, unless its list is mandatory. They are read as the
    list that hit is."""

    def __init__(
        self, lists: Iterable[tuple[Rule, Sequence[str], frozenset[str]]], exceptions: Iterable[str] = ()
    ) -> None:
        groups = self._compiled(lists, exceptions)
        for group in groups:
            for view in (*group.views, *group.exceptions):
                view.index()
        self._search(group for group in groups if group.views)
        self._spared = max((view.reach for group in groups for view in group.exceptions), default=0)
        # How much of what left must be known to read on after it; without exceptions, what comes after the last
        # character that is `TELLING` is enough.
        self.context: int = REACH + (self._spared + REACH if self._spared else 0)
        self.spares: bool = self._spared > 0  # whether there are exceptions
        self.quiet = Quiet()

    def _compiled(
        self, lists: Iterable[tuple[Rule, Sequence[str], frozenset[str]]], exceptions: Iterable[str]
    ) -> list[Group]:
        """The views, without their indexes. What the words are made of on the way is gone when it returns."""
        by_switches: dict[frozenset[str], dict[str, tuple[Rule, ...]]] = {}
        self._written: dict[str, str] = {}
        for rule, words, switches in lists:
            rules = by_switches.setdefault(switches, {})
            alone = (rule,)
            for word in words:
                normal = normalise(word)[0]
                others = rules.get(normal)
                rules[normal] = alone if others is None else others if rule in others else (*others, rule)
                if normal != word:
                    self._written.setdefault(normal, word)
        self.entries: list[Entry] = []
        spared = [normalise(exception)[0] for exception in exceptions]
        groups = []
        for switches, rules in by_switches.items():
            entries = {each: _entry(each) for each in set(rules.values())}
            views = views_of(list(rules), len(self.entries), switches, together=not spared)
            groups.append(Group(tuple(views), tuple(views_of(spared, 0, switches, together=False))))
            self.entries += (entries[each] for each in rules.values())
        self.words = Texts(word for rules in by_switches.values() for word in rules)
        # How many times as long as with ordinary words a text takes to be read at worst, about.
        self.weight = max((_nesting(rules) for rules in by_switches.values()), default=1)
        self.weight *= (4 if spared else 1) * (4 if any(switches - DEFAULT_SWITCHES for switches in by_switches) else 1)
        return groups

    @classmethod
    def joined(cls, parts: Iterable[WordMatcher]) -> WordMatcher:
        """The words of all of them. Their automata are shared, not built again, and each is searched by itself. Only of
        parts without exceptions: one part's would not hold for the others."""
        whole = cls(())
        groups: list[Group] = []
        for part in parts:
            assert not part._spared
            first = len(whole.words)
            groups += (group._replace(first=group.first + first) for group in part._groups)
            whole.words = Texts([*whole.words, *part.words])
            whole.entries = [*whole.entries, *part.entries]
            whole._written = {**part._written, **whole._written}
            whole.weight = max(whole.weight, part.weight)
        whole._search(groups)
        return whole

    def _search(self, groups: Iterable[Group]) -> None:
        """Views that read a text alike share its reading."""
        self._groups = tuple(groups)
        readers: dict[tuple[Characters, bool], list[tuple[View, int, Callable[[str], bool] | None]]] = {}
        for group in self._groups:
            for view in group.views:
                skips = view.skips if isinstance(view, SyllablesView) else None
                readers.setdefault((view.characters, view.repeats), []).append((view, group.first, skips))
        self._readers = tuple((*reader, tuple(views)) for reader, views in readers.items())

    def ruled(self, rule: Rule) -> WordMatcher:
        """The same words under one rule; nothing is built again."""
        other = copy(self)
        other.entries = [_entry((rule,))] * len(self.words)
        if self.spares:
            other.quiet = Quiet()  # what an exception lets pass under one rule is found under a mandatory one
        return other

    def scan(self, text: str, begin: int = 0, over: bool = True) -> Scan:
        """Reads a text whose first `begin` characters have been read before: no hit starts there. Unless the text is
        `over`, a hit is left out that only more of it can make certain."""
        return Scan(self, text, begin, over)

    def find(self, text: str, begin: int = 0) -> list[Hit]:
        """The hits in a whole text that start at `begin` or later, sorted."""
        hits: list[Hit] = []
        for characters, repeats, views in self._readers:
            reading: Reading | None = None
            for view, first, skips in views:
                if skips is None or not skips(text):
                    reading = reading or Reading(text, characters, repeats)
                    found, _ = view.hits(reading, begin, True)
                    if found:
                        hits += found if not first else _renumbered(found, first)
        if hits and self._spared:
            return self.scan(text, begin).hits
        return sorted(set(hits)) if len(hits) > 1 else hits

    def read(self, text: str, begin: int) -> tuple[list[Hit], int]:
        """What `scan(text, begin, over=False)` finds and where it is `held_from`; nothing is made for the scan, so a
        chunk of an answer takes a third of the time."""
        hits: list[Hit] = []
        size = held = len(text)
        for characters, repeats, views in self._readers:
            reading = Reading(text, characters, repeats)
            for view, first, skips in views:
                place = view.held_from(reading, begin) if size <= _MUCH else held_from(view, reading, begin)
                held = min(held, place)
                if skips is None or not skips(text):
                    found, place = view.hits(reading, begin, False)
                    held = min(held, place)
                    if found:
                        hits += found if not first else _renumbered(found, first)
        if hits and self._spared:
            scan = self.scan(text, begin, over=False)
            return scan.hits, scan.held_from()
        return (sorted(set(hits)) if len(hits) > 1 else hits), held

    def explain(self, text: str) -> list[Explanation]:
        """Which words of which lists a whole text holds, and where."""
        return [
            Explanation(hit.start, hit.end, rule, self._written.get(word := self.words[hit.word], word), found)
            for hit in sorted(self.find(text), key=lambda hit: (hit.start, hit.end, hit.word))
            for found in (text[hit.start : hit.end],)
            for rule in self.entries[hit.word].rules
        ]


class Scan:
    """A text that was read: the hits in it, sorted, and what is still undecided."""

    __slots__ = ("_begin", "_earliest", "_over", "_readings", "_text", "_undecided", "_words", "hits")

    def __init__(self, words: WordMatcher, text: str, begin: int, over: bool) -> None:
        self._words = words
        self._text = text
        self._begin = begin
        self._over = over
        self._readings: dict[tuple[int, bool], Reading] = {}
        self._undecided = len(text)
        self._earliest: dict[tuple[int, int], int] = {}  # where the first exception begins that is possible then
        self.hits: list[Hit] = []
        for group in words._groups:
            hits = self._hits(group.views, begin)
            if group.first:
                hits = _renumbered(hits, group.first)
            if hits and group.exceptions:
                hits = self._without_exceptions(hits, group.exceptions)
            self.hits += hits
        if len(self.hits) > 1:
            self.hits = sorted(set(self.hits))

    def held_from(self) -> int:
        """Where in the text the longest end begins that may still become a hit; its length: nowhere."""
        held = self._undecided
        for group in self._words._groups:
            for view in group.views:
                held = min(held, held_from(view, self._reading(view), self._begin))
        return held

    def _hits(self, views: Iterable[View], begin: int) -> list[Hit]:
        found: list[Hit] = []
        for view in views:
            if isinstance(view, SyllablesView) and view.skips(self._text):
                continue
            hits, undecided = view.hits(self._reading(view), begin, self._over)
            found += hits
            self._undecided = min(self._undecided, undecided)
        return found

    def _reading(self, view: View) -> Reading:
        key = (id(view.characters), view.repeats)
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = Reading(self._text, view.characters, view.repeats)
        return reading

    # Exceptions -----------------------------------------------------------------------------------------------------

    def _without_exceptions(self, hits: list[Hit], views: Sequence[View]) -> list[Hit]:
        """The hits that lie in no exception, each decided only when no exception around it is possible any more."""
        undecided = self._undecided
        spans = sorted((hit.start, hit.end) for hit in self._hits(views, 0))
        self._undecided = undecided  # an exception that is not certain yet holds only what it might spare
        furthest = list(accumulate((end for _, end in spans), max))
        starts = [start for start, _ in spans]
        kept: list[Hit] = []
        for hit in hits:
            if not self._words.entries[hit.word].spared:
                kept.append(hit)
                continue
            before = bisect_right(starts, hit.start)
            if before and furthest[before - 1] >= hit.end:
                continue
            decided = self._certain(hit, views)
            if decided > len(self._text) and not self._over:
                self._undecided = min(self._undecided, hit.start)
            else:
                kept.append(hit._replace(decided=decided))
        return kept

    def _certain(self, hit: Hit, views: Sequence[View]) -> int:
        """How much of the text must be known to tell that no exception around the hit will come of it."""
        low, high = hit.decided, min(len(self._text), hit.start + self._words._spared + 2 * REACH) + 1
        if low >= high or not self._may_be_spared(hit, views, low):
            return low
        while high - low > 1:
            middle = (low + high) // 2
            if self._may_be_spared(hit, views, middle):
                low = middle
            else:
                high = middle
        return high

    def _may_be_spared(self, hit: Hit, views: Sequence[View], known: int) -> bool:
        """Whether an exception that begins no later than the hit is possible while so much of the text is known."""
        earliest = self._earliest.get((id(views), known))
        if earliest is None:
            skipped = max(0, known - self._words._spared - 2 * REACH)
            text = self._text[skipped:known]
            earliest = known
            for view in views:
                reading = Reading(text, view.characters, view.repeats)
                held = min(view.hits(reading, 0, False)[1], view.held_from(reading, 0))
                earliest = min(earliest, skipped + held)
            self._earliest[id(views), known] = earliest
        return earliest <= hit.start


def _renumbered(hits: Iterable[Hit], first: int) -> list[Hit]:
    return [hit._replace(word=hit.word + first) for hit in hits]


def held_from(view: View, reading: Reading, begin: int) -> int:
    """Where in the text the longest end begins that may still become a hit of the view; its length: nowhere."""
    text = reading.text
    if len(text) <= _MUCH:
        return view.held_from(reading, begin)
    # Enough letters for the longest beginning, and before it for whatever tells whether a word begins there.
    enough = view.longest + REACH * (1 if text.isascii() else view.characters.widest)
    for size, least in ((2 * enough, enough), (view.reach + 2 * REACH, 0)):
        skipped = len(text) - size
        if skipped > size:
            end = Reading(text[skipped:], view.characters, view.repeats)
            if len(end.runs) >= least:
                return skipped + view.held_from(end, max(0, begin - skipped))
    return view.held_from(reading, begin)


def _nesting(words: Collection[str]) -> int:
    """What a place in a text costs at worst: each of the words that begin or end alike there is looked at letter by
    letter. 1: no more than a longest word."""
    most = 0
    for word in words:
        cost = len(word)
        for cut in range(1, len(word)):
            cost += (cut if word[:cut] in words else 0) + (len(word) - cut if word[cut:] in words else 0)
        most = max(most, cost)
    return max(1, most // _ORDINARY)


def _entry(rules: tuple[Rule, ...]) -> Entry:
    actions = {rule.action for rule in rules}
    spared = not any(rule.mandatory for rule in rules)
    return Entry(rules=rules, block="block" in actions, mask="mask" in actions, spared=spared)
