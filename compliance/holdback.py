"""Hold-back: of a text that arrives in pieces, everything leaves at once that cannot become part of a listed word."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from compliance.normalising import normalise
from compliance.words import Hit, WordMatcher, in_word

MASK: Final = "*"


class Channel:
    """One text that arrives in pieces: the content of a choice, its reasoning, the arguments of one tool call.

    What leaves, and what is found, depends on the text alone and not on how it was cut."""

    __slots__ = ("_after_word", "_held", "_shown", "_words")

    def __init__(self, words: WordMatcher) -> None:
        self._words = words
        self._held = ""  # the end that is still undecided, as it came
        self._shown = ""  # the same with masks applied
        self._after_word = False  # whether the last character that left is in a word

    def push(self, piece: str, *, over: bool = False) -> tuple[str, Sequence[int]]:
        """What may leave now, and the words that were found (places in `WordMatcher.words`).

        A blocking word among them ends the channel: what comes with it is the text up to where nothing was undecided
        one character before the word was certain, so neither it nor the beginning of a longer word leaves."""
        text = shown = piece
        if self._held:
            text, shown = self._held + piece, self._shown + piece
        normal, origins = normalise(text)
        hits = self._words.find(normal, self._after_word, over)
        if hits:
            stop = next((hit.decided for hit in hits if self._words.entries[hit.word].block), None)
            if stop is not None:
                hits = list(takewhile(lambda hit: hit.decided <= stop, hits))
            shown = masked(shown, hits, origins, self._words)
            if stop is not None:
                free = self._free(normal, origins, min(stop - 1, len(normal)))
                return shown[:free], [hit.word for hit in hits]
        found: Sequence[int] = [hit.word for hit in hits] if hits else ()
        if over:
            return shown, found
        free = self._free(normal, origins, len(normal))
        if free:
            self._after_word = in_word(normal[(free if origins is None else _place(free, origins)) - 1])
        if free == len(text):
            self._held = self._shown = ""
            return shown, found
        self._held, self._shown = text[free:], shown[free:]
        return shown[:free], found

    def _free(self, normal: str, origins: Sequence[int] | None, end: int) -> int:
        """How many characters of the text, as it came, are free of anything undecided in `normal[:end]`."""
        held_from = self._words.held_from(normal, end, self._after_word)
        if origins is None:
            return held_from
        return origins[held_from] if held_from < len(origins) else origins[-1] + 1


def _place(free: int, origins: Sequence[int]) -> int:
    """The place in the normal form of the character `free` of the text."""
    return next((place for place, origin in enumerate(origins) if origin >= free), len(origins))


def masked(shown: str, hits: Sequence[Hit], origins: Sequence[int] | None, words: WordMatcher) -> str:
    """The text with an asterisk in place of every character of the hits whose list says so."""
    for hit in hits:
        if words.entries[hit.word].mask:
            start, end = hit.start, hit.end
            if origins is not None:
                start, end = origins[start], origins[end - 1] + 1
            shown = shown[:start] + MASK * (end - start) + shown[end:]
    return shown
