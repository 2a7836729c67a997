"""Immutable configuration, swapped whole: the request path reads `cell.value` and never a database row."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Cell(Generic[T]):
    """One current value. Readers take it once a turn; `swap` replaces it in one assignment, which is atomic."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def swap(self, value: T) -> None:
        self.value = value
