"""Many short texts in little memory: one text that holds them all, and where each begins in it.

A text that is an object of its own takes some 60 bytes more than its letters. Lists of words have tens of thousands of
them, which live among what was made on the way to them and keep its memory from being given back."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import overload


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
