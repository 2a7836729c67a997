"""Hold-back: of a text that arrives in pieces, everything leaves at once that cannot become part of a listed word."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from compliance.quiet import LONGEST, NEAR, Decided
from compliance.words import TELLING, TELLING_HAN, Hit, WordMatcher

MASK: Final = "*"
_FIRST, _END = TELLING_HAN


class Channel:
    """One text that arrives in pieces: the content of a choice, its reasoning, the arguments of one tool call.

    What leaves, and what is found, depends on the text alone and not on how it was cut, but for `pause`."""

    __slots__ = ("_before", "_ends", "_gone", "_held", "_shown", "_words")

    def __init__(self, words: WordMatcher) -> None:
        self._words = words
        self._ends = words.quiet.ends
        self._before = ""  # the last of what left
        self._held = ""  # the end that is still undecided, as it came
        self._shown = ""  # the same with masks applied; the same object where there are none
        self._gone = 0  # how much of it left all the same, in a pause

    @property
    def held(self) -> int:
        """How many characters are held back."""
        return len(self._held) - self._gone

    def pause(self) -> tuple[str, Sequence[int]]:
        """Lets out what is held, as if the text were over: something else is said before it goes on. A word that stands
        there is found. Where it was only the beginning of one, the rest of that word is dealt with like the whole."""
        text, found = self._decided("", True)
        gone, self._gone = self._gone, len(self._held)
        return text[gone:], found

    def push(self, piece: str, *, over: bool = False) -> tuple[str, Sequence[int]]:
        """What may leave now, and the words that were found (places in `WordMatcher.words`)."""
        if not piece and not self._held:
            return "", ()
        begin = len(self._before)
        if begin < NEAR and not over:
            text = self._before + self._held + piece
            known = self._ends[begin].get(text)
            if known is not None and self._shown is self._held and not self._gone:
                self._before, held = known
                leaves = text[begin : len(text) - len(held)] if held or self._held else piece
                self._held = self._shown = held
                return leaves, ()
        text, found = self._decided(piece, over)
        if not self._gone:
            return text, found
        gone = min(self._gone, len(text))
        self._gone -= gone
        return text[gone:], found

    def _decided(self, piece: str, over: bool) -> tuple[str, Sequence[int]]:
        """What is decided now, whether it left in a pause or not.

        A blocking word among them ends the channel: what comes with it is the text up to where nothing was undecided
        one character before the word was certain, so neither it nor the beginning of a longer word leaves."""
        words = self._words
        begin = len(self._before)
        text = shown = self._before + self._held + piece
        if self._shown is not self._held:
            shown = self._before + self._shown + piece
        hits: Sequence[Hit]
        hits, free = (words.find(text, begin), len(text)) if over else words.read(text, begin)
        found: Sequence[int] = ()
        if hits:
            stop = next((hit.decided for hit in hits if words.entries[hit.word].block), None)
            if stop is not None:
                hits = list(takewhile(lambda hit: hit.decided <= stop, hits))
            shown = masked(shown, hits, words)
            found = [hit.word for hit in hits]
            if stop is not None:
                return shown[begin : words.read(text[: stop - 1], begin)[1]], found
        if over:
            return shown[begin:], found
        before = text[free - 1 : free]
        if words.spares or not (before in TELLING or _FIRST <= before < _END):
            before = text[_needed(text, free, words) : free]
        self._before = before
        self._held = self._shown = held = text[free:]
        leaves = shown[begin:free]
        if shown is not text:
            self._shown = shown[free:]
        elif not hits and begin < NEAR and len(text) <= LONGEST:
            words.quiet.note(begin, text, Decided(before, held))
        return leaves, found


def _needed(text: str, free: int, words: WordMatcher) -> int:
    """From where on what leaves must be known to read on after it."""
    least = max(0, free - words.context)
    if words.spares:
        return least
    for place in range(free - 1, least, -1):
        if text[place] in TELLING or _FIRST <= text[place] < _END:
            return place
    return least


def masked(shown: str, hits: Sequence[Hit], words: WordMatcher) -> str:
    """The text with an asterisk in place of every character of the hits whose list says so, in one pass."""
    spans = [(hit.start, hit.end) for hit in hits if words.entries[hit.word].mask]
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
