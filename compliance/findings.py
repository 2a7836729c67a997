"""What was found in one direction of a turn, and each text without what must not be seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from compliance.arguments import Arguments
from compliance.holdback import masked
from compliance.words import Hit, WordMatcher
from engine.types import Verdict


class Findings:
    """The verdicts of one direction of a turn; each word is reported once a list."""

    __slots__ = ("_reported", "_where", "_words", "blocking", "verdicts")

    def __init__(self, words: WordMatcher, where: str) -> None:
        self.verdicts: list[Verdict] = []
        self.blocking = False
        self._words = words
        self._where = where
        self._reported: set[int] | None = None  # places, once there are any

    def add(self, found: Sequence[int]) -> None:
        if self._reported is None:
            self._reported = set()
        reported = self._reported
        for place in found:
            if place not in reported:
                reported.add(place)
                word, entry = self._words.words[place], self._words.entries[place]
                self.blocking = self.blocking or entry.block
                self.verdicts.extend(
                    Verdict(rule.name, rule.version, word, rule.action, self._where, rule.list_id, rule.scope)
                    for rule in entry.rules
                )

    def whole(self, text: str) -> str:
        """A text that is all there, with its masks applied."""
        hits = self._words.find(text)
        if not hits:
            return text
        self.add([hit.word for hit in hits])
        return masked(text, hits, self._words)

    def arguments(self, text: str) -> str:
        """The arguments of a whole tool call, as they are written and as a tool reads them."""
        if "\\" not in text and not self._words.find(text):
            return text
        shown, found = Arguments(self._words).push(text, over=True, whole=True)
        self.add(found)
        return shown

    def joined(self, texts: Sequence[str]) -> list[str]:
        """Texts that follow each other: read as one, and each alone, since a word may end where one of them does."""
        whole = "".join(texts)
        edges = list(accumulate(map(len, texts), initial=0))
        hits = [
            Hit(before + hit.decided, before + hit.start, hit.word, before + hit.end)
            for before, text in zip(edges, texts, strict=False)
            for hit in self._words.find(text)
        ]
        hits += self._words.find(whole)
        if not hits:
            return list(texts)
        self.add([hit.word for hit in sorted(set(hits))])
        shown = masked(whole, hits, self._words)
        return [shown[start:end] for start, end in pairwise(edges)]
