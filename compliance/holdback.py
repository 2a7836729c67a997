"""Hold-back: of a text that arrives in pieces, everything leaves at once that cannot become part of a listed word."""

from __future__ import annotations

from bisect import bisect_left
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
                free = free_of(self._words, normal, origins, min(stop - 1, len(normal)), self._after_word)
                return shown[:free], [hit.word for hit in hits]
        found: Sequence[int] = [hit.word for hit in hits] if hits else ()
        if over:
            return shown, found
        free = free_of(self._words, normal, origins, len(normal), self._after_word)
        if free:
            self._after_word = ends_word(normal, origins, free)
        if free == len(text):
            self._held = self._shown = ""
            return shown, found
        self._held, self._shown = text[free:], shown[free:]
        return shown[:free], found


def free_of(words: WordMatcher, normal: str, origins: Sequence[int] | None, end: int, after_word: bool) -> int:
    """How many characters of a text, as it came, are free of anything undecided in its `normal[:end]`."""
    held_from = words.held_from(normal, end, after_word)
    if origins is None:
        return held_from
    return origins[held_from] if held_from < len(origins) else origins[-1] + 1


def ends_word(normal: str, origins: Sequence[int] | None, free: int) -> bool:
    """Whether the last of the first `free` characters of a text, as it came, is in a word."""
    return in_word(normal[(free if origins is None else bisect_left(origins, free)) - 1])


def masked(shown: str, hits: Sequence[Hit], origins: Sequence[int] | None, words: WordMatcher) -> str:
    """The text with an asterisk in place of every character of the hits whose list says so, in one pass."""
    spans = [
        (hit.start, hit.end) if origins is None else (origins[hit.start], origins[hit.end - 1] + 1)
        for hit in hits
        if words.entries[hit.word].mask
    ]
    if not spans:
        return shown
    spans.sort()
    pieces: list[str] = []
    done = 0
    for start, end in spans:
        if end > done:
            begin = max(start, done)
            pieces += (shown[done:begin], MASK * (end - begin))
            done = end
    pieces.append(shown[done:])
    return "".join(pieces)
