"""Many short texts in little memory: one text that holds them all, and where each begins in it.

A text that is an object of its own takes some 60 bytes more than its letters. Lists of words have tens of thousands of
them, which live among what was made on the way to them and keep its memory from being given back."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final, overload

_BLOCK: Final = 16  # sorted texts that are kept as one
_NUL: Final = "\0"


class Texts(Sequence[str]):
    """Immutable. A text is made when it is asked for."""

    __slots__ = ("_ends", "_joined")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        given = list(texts)
        self._joined = "".join(given)
        self._ends = array("I", accumulate(map(len, given), initial=0))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Raises IndexError."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
            if index < 0:
                raise IndexError(index)
        ends = self._ends
        return self._joined[ends[index] : ends[index + 1]]

    def __iter__(self) -> Iterator[str]:
        joined = self._joined
        return (joined[start:end] for start, end in pairwise(self._ends))


class SortedTexts(Sequence[str]):
    """Sorted texts without NUL, to be searched as fast as so many objects would be: the last steps
    are one search in one text. Immutable. Raises ValueError: there is a NUL."""

    __slots__ = ("_blocks", "_firsts", "_size")

    def __init__(self, texts: Sequence[str] = ()) -> None:
        if any(_NUL in text for text in texts):
            raise ValueError("NUL stands between the texts")
        self._size = len(texts)
        self._firsts = list(texts[::_BLOCK])
        starts = range(0, len(texts), _BLOCK)
        self._blocks = [f"{_NUL}{_NUL.join(texts[start : start + _BLOCK])}{_NUL}" for start in starts]

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Raises IndexError."""
        if isinstance(index, slice):
            return list(self)[index]
        if not -self._size <= index < self._size:
            raise IndexError(index)
        block, place = divmod(index % self._size, _BLOCK)
        return self._blocks[block].split(_NUL)[place + 1]

    def __iter__(self) -> Iterator[str]:
        return (text for block in self._blocks for text in block[1:-1].split(_NUL))

    def beginning(self, text: str) -> tuple[int, str] | None:
        """Of those that begin with this text the first, and its index."""
        after = bisect_left(self._firsts, text)
        if after:
            block = self._blocks[after - 1]
            start = block.find(_NUL + text) + 1
            if start:
                place = (after - 1) * _BLOCK + block.count(_NUL, 0, start) - 1
                return place, block[start : block.index(_NUL, start)]
        if after < len(self._firsts) and self._firsts[after].startswith(text):
            return after * _BLOCK, self._firsts[after]
        return None
