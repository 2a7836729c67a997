"""How much of an answer was held back at most, and for how long: what the guard costs a reader."""

from __future__ import annotations

import time
from collections.abc import Hashable


class Waiting:
    """Over one answer. The clock is read only while something is held."""

    __slots__ = ("characters", "seconds", "since")

    def __init__(self) -> None:
        self.characters = 0
        self.seconds = 0.0
        self.since: dict[Hashable, float] = {}  # when that came which waits now, by text

    def note(self, text: Hashable, held: int, fresh: int) -> None:
        """A piece of `fresh` characters came to one of the answer's texts, and `held` of it are held back now."""
        since = self.since.get(text)
        if since is None and not held:
            return
        now = time.monotonic()
        if since is not None:
            self.seconds = max(self.seconds, now - since)
        if not held:
            del self.since[text]
            return
        if since is None or held <= fresh:  # what waited before has left
            self.since[text] = now
        self.characters = max(self.characters, held)

    def end(self) -> None:
        """Nothing is held any more."""
        for text in list(self.since):
            self.note(text, 0, 0)
