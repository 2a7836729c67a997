"""A bounded dictionary that forgets what was not used lately."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most `capacity` entries. Two generations instead of an exact order: a hit in the young one, the usual case,
    is one dictionary look-up and changes nothing; the old one is dropped whole when the young one is full.

    Safe from several threads."""

    def __init__(self, capacity: int) -> None:
        self._half = max(1, capacity // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        value = self._young.get(key)
        if value is None and key in self._old:
            with self._lock:
                value = self._old.pop(key, None)  # again: it may have gone meanwhile
                if value is not None:
                    self._put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._old.pop(key, None)
            self._put(key, value)

    def replace(self, key: K, value: V) -> None:
        """A new value for an entry that is still there; no use of it."""
        with self._lock:
            for generation in (self._young, self._old):
                if key in generation:
                    generation[key] = value

    def drop(self, key: K) -> None:
        with self._lock:
            self._young.pop(key, None)
            self._old.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._young, self._old = {}, {}

    def keys(self) -> list[K]:
        with self._lock:
            return [*self._young, *self._old]

    def _put(self, key: K, value: V) -> None:
        if len(self._young) >= self._half and key not in self._young:
            self._old, self._young = self._young, {}
        self._young[key] = value
