"""Who follows the events of a turn: in a task of its own, which the turn spares whatever it can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from types import coroutine
from typing import Any, Final, Protocol

AT_ONCE: Final = 256  # events

Sending = Coroutine[Any, Any, None]
Push = Callable[[bytes], Sending]


class Followed(Protocol):
    """What a reader needs of a generation. `pushed` is the reader that has everything and waits, if one may be given
    the next event at once."""

    frames: list[bytes]
    over: bool
    pushed: Reader | None

    def news(self) -> asyncio.Future[None]: ...

    def wake(self) -> None: ...


class Reader:
    """One who follows a generation. `position` is the sequence of the next event; `busy` since when it has had what it
    was given last without asking for more, 0: it waits for events."""

    __slots__ = ("_failure", "_generation", "_held", "_send", "busy", "drop", "position")

    def __init__(self, generation: Followed, first: int, drop: Callable[[], None] | None) -> None:
        self._generation = generation
        self._send: Push | None = None
        self._held: tuple[Sending, object] | None = None
        self._failure: Exception | None = None
        self.position = first
        self.busy = 0.0
        self.drop = drop

    @property
    def over(self) -> bool:
        """Nothing will come after what it was given."""
        return self._generation.over and self.position >= len(self._generation.frames)

    async def next(self, push: Push | None = None) -> list[bytes]:
        """What has come since, at least one event and at most `AT_ONCE`; none: that was all. While it waits, a single
        event that is not the last is given to `push` instead, by whoever makes it: that spares a change of tasks for
        each."""
        generation = self._generation
        frames = generation.frames
        self.busy = 0.0
        while self.position >= len(frames):
            if generation.over:
                return []
            if push is not None and generation.pushed is None:
                generation.pushed, self._send = self, push
            try:
                await generation.news()
            except BaseException:
                self._drop_held()
                raise
            finally:
                if generation.pushed is self:
                    generation.pushed = None
            await self._send_held()
        given = frames[self.position : self.position + AT_ONCE]  # who is far behind is sent no heap at once
        self.position += len(given)
        self.busy = time.monotonic()
        return given

    def push(self, made: bytes) -> None:
        """Sends as far as that needs no waiting; the rest is the reader's own, and so is whatever goes wrong."""
        assert self._send is not None
        self.position += 1
        sending = self._send(made)
        try:
            waits_for = sending.send(None)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001  # the border: the turn goes on without this reader
            self._failure = error
        else:
            self._held = sending, waits_for
            self.busy = time.monotonic()
        self._generation.pushed = None
        self._generation.wake()

    async def _send_held(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._held is not None:
            held, self._held = self._held, None
            await _rest_of(*held)
            self.busy = 0.0

    def _drop_held(self) -> None:
        if self._held is not None:
            self._held[0].close()
            self._held = None


@coroutine
def _rest_of(sending: Sending, waits_for: object) -> Iterator[object]:
    """Goes on with a coroutine that has had its first step."""
    while True:
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001  # a cancellation: it is the coroutine's to answer
            step = partial(sending.throw, error)
        else:
            step = partial(sending.send, None)
        try:
            waits_for = step()
        except StopIteration:
            return
