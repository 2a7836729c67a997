"""JSON objects, one a line, as they arrive."""

from __future__ import annotations

from adapters.sse import MAX_EVENT
from engine.errors import UpstreamError


class LineParser:
    """`feed` bytes cut anywhere, get the lines completed by them, without empty ones.

    Raises UpstreamError once a line grows beyond MAX_EVENT bytes."""

    __slots__ = ("_partial", "_size")

    def __init__(self) -> None:
        self._partial: list[bytes] = []  # pieces of a line whose end is not here yet
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        if b"\n" not in chunk:
            self._keep(chunk)
            return []
        first, *lines = chunk.split(b"\n")
        self._keep(first)
        lines.insert(0, b"".join(self._partial))
        self._partial, self._size = [], 0
        self._keep(lines.pop())
        return [line for line in lines if line.strip()]

    def rest(self) -> list[bytes]:
        """The stream is over: a line that lacks only its end."""
        return self.feed(b"\n")

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MAX_EVENT:
            raise UpstreamError("The model's service sent an event that is too large.")
        if piece:
            self._partial.append(piece)
