"""Whether some letters are the beginning of a word, answered at once for nearly all that are not.

A Bloom filter with one hash (B. Bloom, "Space/time trade-offs in hash coding", 1970): a byte for each value of it. It
never misses a beginning, so what it lets through is looked up exactly, and what it does not needs no search among
60,000 words, whose many steps through memory cost more than all else that a chunk of an answer takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

_ROOM: Final = 4  # times as many values as beginnings: one in four of other letters is let through, at most
_LEAST: Final = 1 << 10


class Beginnings:
    """Of all words: each is given with the least and the greatest length that a beginning of it has. `words` gives them
    twice."""

    __slots__ = ("mask", "values")

    def __init__(self, words: Callable[[], Iterable[tuple[str, int, int]]]) -> None:
        count = sum(most - least + 1 for _, least, most in words() if most >= least)
        size = max(_LEAST, 1 << (_ROOM * count - 1).bit_length()) if count else _LEAST
        values = bytearray(size)
        self.mask = mask = size - 1
        for word, least, most in words():
            for length in range(least, most + 1):
                values[hash(word[:length]) & mask] = 1
        self.values = bytes(values)

    def may_hold(self, letters: str) -> int:
        """0: they begin no word, for certain."""
        return self.values[hash(letters) & self.mask]
