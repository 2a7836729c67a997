"""Cancels a turn whose reader went away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final

from access.asgi import Receive, Scope

GRACE = 0.1  # seconds before anybody listens: a turn that is over sooner pays for no second task

WHEN_GONE: Final = "clawdbot.when_gone"
"""In a scope, where the server can do better than `receive`: a function that takes what is to be called once when the
client disconnects (None: nothing any more). It gives False, and will not call, while a part of the body is to come."""

WhenGone = Callable[[Callable[[], None] | None], bool]


class Watcher:
    """`with Watcher(receive, scope):` around the turn of an HTTP request whose body is read: when the client
    disconnects, the running task is cancelled and the block is left without an error; `gone` says so. `close()` it
    before the last byte is sent, since servers report the end of an answer as a disconnect too."""

    __slots__ = ("_listener", "_receive", "_timer", "_turn", "_when_gone", "gone")

    def __init__(self, receive: Receive, scope: Scope) -> None:
        self._receive = receive
        self._when_gone: WhenGone | None = scope.get(WHEN_GONE)
        self._timer: asyncio.TimerHandle | None = None
        self._listener: asyncio.Task[None] | None = None
        self._turn: asyncio.Task[object] | None = None
        self.gone = False

    def __enter__(self) -> Watcher:
        self._turn = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(GRACE, self._start)
        return self

    def _start(self) -> None:
        self._timer = None
        if self._when_gone is not None and self._when_gone(self.leave):
            return
        self._listener = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.leave()

    def leave(self) -> None:
        """As if the client had disconnected."""
        if self.gone:
            return
        self.gone = True
        if self._turn is not None:
            self._turn.cancel()

    def close(self) -> None:
        """Stops listening."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        elif self._when_gone is not None:
            self._when_gone(None)
        if self._listener is not None:
            self._listener.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.close()
        if not self.gone or self._turn is None:
            return False
        return self._turn.uncancel() == 0 and kind is asyncio.CancelledError
