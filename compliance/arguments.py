"""Tool arguments: JSON that a tool reads unescaped and a person perhaps as it is written, so both are searched."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from compliance.escapes import Unescaped, ends_quoted, unescaped
from compliance.holdback import MASK, ends_word, free_of
from compliance.normalising import normalise
from compliance.words import WordMatcher, in_word

_KEPT_OUTSIDE: Final = frozenset('{}[]:,"+-. \t\r\n')
_SPACE: Final = " \t\r\n"
# Outside a string an asterisk is no JSON, and this digit is a number wherever a part of a number or a literal stood.
_MASKED_OUTSIDE: Final = "1"


class Place(NamedTuple):
    """A hit in the raw text, as `compliance.words.Hit` is one in its normal form."""

    decided: int
    start: int
    end: int
    word: int


class View:
    """One way to read a raw text: its normal form, and where each character of that is in the raw text."""

    __slots__ = ("_after_word", "_certain", "_normal", "_starts", "_words")

    def __init__(self, read: Unescaped, after_word: bool, words: WordMatcher) -> None:
        self._normal, origins = normalise(read.text)
        self._after_word = after_word
        self._words = words
        self._starts, self._certain = read.starts, read.certain
        if origins is not None:
            self._starts = [*(read.starts[origin] for origin in origins), read.starts[-1]]
            self._certain = [read.certain[origin] for origin in origins]

    def hits(self, over: bool) -> list[Place]:
        found = self._words.find(self._normal, self._after_word, over)
        return [
            Place(self._known(hit.decided), self._starts[hit.start], self._end(hit.end - 1), hit.word) for hit in found
        ]

    def held_from(self, known: int) -> int:
        """Where in the raw text that begins which is undecided while only `raw[:known]` is known."""
        certain = self._certain
        count = len(certain) if not certain or certain[-1] <= known else bisect_right(certain, known)
        return self._starts[self._words.held_from(self._normal, count, self._after_word)]

    def ends_word(self, free: int) -> bool:
        """Whether the last character before `raw[free]` is in a word."""
        count = bisect_left(self._starts, free, 0, len(self._normal))
        return in_word(self._normal[count - 1]) if count else self._after_word

    def _known(self, decided: int) -> int:
        return self._certain[decided - 1] if decided <= len(self._certain) else self._starts[-1] + 1

    def _end(self, place: int) -> int:
        """A character may have folded into several, which all begin where it does."""
        return self._starts[bisect_right(self._starts, self._starts[place])]


class Arguments:
    """The arguments of one tool call as they arrive. To JSON what `Channel` is to text: what leaves, and what is found,
    depends on the whole text alone, and no escape is ever cut in two.

    Masks cover whole escapes. In a text that begins like JSON they leave it valid: quotes and structure stay, numbers
    and literals become digits."""

    __slots__ = ("_after_raw", "_after_read", "_held", "_json", "_quoted", "_shown", "_words")

    def __init__(self, words: WordMatcher) -> None:
        self._words = words
        self._held = ""  # the end that is still undecided, as it came
        self._shown = ""  # the same with masks applied
        self._after_raw = False  # whether the last character that left is in a word, as it is written
        self._after_read = False  # and as it is read
        self._json: bool | None = None  # None: nothing but space so far
        self._quoted = False  # whether what left ends inside a JSON string

    def push(self, piece: str, *, over: bool = False, whole: bool = False) -> tuple[str, Sequence[int]]:
        """What may leave now, and the words that were found. `whole`: found are all, also after a blocking one."""
        text, shown = self._held + piece, self._shown + piece
        if self._json is None and (begun := text.lstrip(_SPACE)):
            self._json = begun[0] in '{["'
        if "\\" not in text and self._after_raw == self._after_read:
            normal, origins = normalise(text)
            if not self._words.find(normal, self._after_raw, over):
                return self._push_plain(text, shown, normal, origins, over), ()
        views, starts = self._views(text, over)
        hits = sorted({hit for view in views for hit in view.hits(over)})
        entries = self._words.entries
        stop = None if whole else next((hit.decided for hit in hits if entries[hit.word].block), None)
        if stop is not None:
            hits = [hit for hit in hits if hit.decided <= stop]
        found = [hit.word for hit in hits]
        spans = [(hit.start, hit.end) for hit in hits if entries[hit.word].mask]
        if spans:
            shown = self._masked(text, shown, spans, starts)
        if stop is not None:
            return shown[: _free(views, starts, min(stop - 1, len(text)))], found
        if over:
            return shown, found
        free = _free(views, starts, len(text))
        # A hit as it is written may end inside an escape that is still growing, whose mask is not known yet.
        cut = min((start for start, end in spans if end > starts[-1]), default=free)
        free = min(free, starts[bisect_right(starts, cut) - 1])
        self._leave(text, free, views)
        self._held, self._shown = text[free:], shown[free:]
        return shown[:free], found

    def _push_plain(self, text: str, shown: str, normal: str, origins: Sequence[int] | None, over: bool) -> str:
        """The short way of most pieces: no escapes, no hits."""
        free = len(text) if over else free_of(self._words, normal, origins, len(normal), self._after_raw)
        if free:
            self._after_raw = self._after_read = ends_word(normal, origins, free)
            self._quoted ^= bool(text.count('"', 0, free) & 1)
        self._held, self._shown = text[free:], shown[free:]
        return shown[:free]

    def _views(self, text: str, over: bool) -> tuple[list[View], Sequence[int]]:
        """The text as it is written and, where that is another, as it is read; where each character of that begins."""
        starts: Sequence[int] = range(len(text) + 1)
        raw = View(Unescaped(text, starts, starts[1:]), self._after_raw, self._words)
        if "\\" not in text and self._after_raw == self._after_read:
            return [raw], starts
        read = unescaped(text, over)
        return [raw, View(read, self._after_read, self._words)], read.starts

    def _leave(self, text: str, free: int, views: Sequence[View]) -> None:
        if free:
            self._after_raw, self._after_read = views[0].ends_word(free), views[-1].ends_word(free)
            self._quoted = ends_quoted(text[:free], self._quoted)

    def _masked(self, text: str, shown: str, spans: list[tuple[int, int]], starts: Sequence[int]) -> str:
        """`shown` with the spans masked. Each character of the raw text stays one."""
        pieces: list[str] = []
        done, quoted = 0, self._quoted
        for start, end in sorted(spans):
            first = max(bisect_right(starts, start) - 1, bisect_left(starts, done))
            last = bisect_left(starts, min(end, starts[-1]))
            if first < last:
                pieces.append(shown[done : starts[first]])
                quoted = ends_quoted(text[done : starts[first]], quoted)
                for place in range(first, last):
                    sign = text[starts[place] : starts[place + 1]]
                    quoted ^= sign == '"'
                    before = text[starts[place] - 1 : starts[place]]
                    pieces.append(self._mask(sign, quoted, before))
                done = starts[last]
        pieces.append(shown[done:])
        return "".join(pieces)

    def _mask(self, sign: str, quoted: bool, before: str) -> str:
        if not self._json:
            return MASK * len(sign)
        if quoted:
            return sign if sign == '"' else MASK * len(sign)
        exponent = sign in "eE" and before.isdigit()
        return sign if exponent or sign in _KEPT_OUTSIDE else _MASKED_OUTSIDE * len(sign)


def _free(views: Iterable[View], starts: Sequence[int], known: int) -> int:
    """How many characters are free of anything undecided in `raw[:known]`, without half an escape."""
    free = min(view.held_from(known) for view in views)
    return starts[bisect_right(starts, free) - 1]
