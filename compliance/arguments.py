"""Tool arguments: JSON that a tool reads unescaped and a person perhaps as it is written, so both are searched."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from compliance.escapes import Unescaped, ends_quoted, unescaped
from compliance.holdback import MASK
from compliance.words import Hit, WordMatcher

_KEPT_OUTSIDE: Final = frozenset('{}[]:,"+-. \t\r\n')
_SPACE: Final = " \t\r\n"
# Outside a string an asterisk is no JSON, and this digit is a number wherever a part of a number or a literal stood.
_MASKED_OUTSIDE: Final = "1"


class Place(NamedTuple):
    """A hit in the raw text, as `compliance.words.Hit` is one in its normal form."""

    decided: int
    start: int
    word: int
    end: int


class View:
    """One way to read a raw text: its characters, and where each is in the raw text. `before`: what of it left."""

    __slots__ = ("_before", "_held", "_hits", "_over", "_read", "_text", "_words")

    def __init__(self, read: Unescaped, before: str, words: WordMatcher, over: bool) -> None:
        self._read = read
        self._before = len(before)
        self._words = words
        self._text = before + read.text
        self._over = over
        self._hits: list[Hit]
        self._held: int | None = None  # where the text is undecided; asked for only where it is over
        if over:
            self._hits = words.find(self._text, self._before)
        else:
            self._hits, self._held = words.read(self._text, self._before)

    def hits(self) -> list[Place]:
        before, starts = self._before, self._read.starts
        return [
            Place(self._known(hit.decided - before), starts[hit.start - before], hit.word, starts[hit.end - before])
            for hit in self._hits
        ]

    def held_from(self, known: int) -> int:
        """Where in the raw text that begins which is undecided while only `raw[:known]` is known."""
        certain = self._read.certain
        if not certain or certain[-1] <= known:
            if self._held is None:
                self._held = self._words.scan(self._text, self._before, self._over).held_from()
            return self._read.starts[self._held - self._before]
        text = self._text[: self._before + bisect_right(certain, known)]
        return self._read.starts[self._words.scan(text, self._before, over=False).held_from() - self._before]

    def last(self, free: int) -> str:
        """The end of what is read before `raw[free]`: what must be known to read on."""
        end = self._before + bisect_left(self._read.starts, free, 0, len(self._read.text))
        return self._text[max(0, end - self._words.context) : end]

    def _known(self, decided: int) -> int:
        certain = self._read.certain
        return certain[decided - 1] if decided <= len(certain) else self._read.starts[-1] + 1


class Arguments:
    """The arguments of one tool call as they arrive. To JSON what `Channel` is to text: what leaves, and what is found,
    depends on the whole text alone, and no escape is ever cut in two.

    Masks cover whole escapes. In a text that begins like JSON they leave it valid: quotes and structure stay, numbers
    and literals become digits."""

    __slots__ = ("_before", "_held", "_json", "_quoted", "_read_before", "_shown", "_words")

    def __init__(self, words: WordMatcher) -> None:
        self._words = words
        self._held = ""  # the end that is still undecided, as it came
        self._shown = ""  # the same with masks applied
        self._before = ""  # the last of what left, as it is written
        self._read_before = ""  # and as it is read
        self._json: bool | None = None  # None: nothing but space so far
        self._quoted = False  # whether what left ends inside a JSON string

    @property
    def held(self) -> int:
        """How many characters are held back."""
        return len(self._held)

    def push(self, piece: str, *, over: bool = False, whole: bool = False) -> tuple[str, Sequence[int]]:
        """What may leave now, and the words that were found. `whole`: found are all, also after a blocking one."""
        text, shown = self._held + piece, self._shown + piece
        if self._json is None and (begun := text.lstrip(_SPACE)):
            self._json = begun[0] in '{["'
        views, starts = self._views(text, over)
        hits = sorted({hit for view in views for hit in view.hits()})
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

    def _views(self, text: str, over: bool) -> tuple[list[View], Sequence[int]]:
        """The text as it is written and, where that is another, as it is read; where each character of that begins."""
        starts: Sequence[int] = range(len(text) + 1)
        raw = View(Unescaped(text, starts, starts[1:]), self._before, self._words, over)
        if "\\" not in text and self._before == self._read_before:
            return [raw], starts
        read = unescaped(text, over)
        return [raw, View(read, self._read_before, self._words, over)], read.starts

    def _leave(self, text: str, free: int, views: Sequence[View]) -> None:
        if free:
            self._before, self._read_before = views[0].last(free), views[-1].last(free)
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
