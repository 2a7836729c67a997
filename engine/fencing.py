"""Lets a model call run beside the commit of its intent, and stops it when the commit fails."""

from __future__ import annotations

import asyncio
from types import TracebackType

from engine.errors import EngineError


class Fence:
    """`with Fence(intent):` around the awaits of a model call: should the intent fail meanwhile, the running task is
    cancelled and the intent's own error is raised in place of the cancellation. The way of `asyncio.timeout`."""

    __slots__ = ("_error", "_intent", "_task")

    def __init__(self, intent: asyncio.Future[None]) -> None:
        self._intent = intent
        self._error: BaseException | None = None
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> None:
        if self._intent.done():
            self._intent.result()
            return
        self._task = asyncio.current_task()
        self._intent.add_done_callback(self._settled)

    def _settled(self, intent: asyncio.Future[None]) -> None:
        if intent.cancelled() or self._task is None:
            return
        self._error = intent.exception()
        if self._error is not None:
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._intent.remove_done_callback(self._settled)
        if self._error is None or self._task is None:
            return
        if kind is asyncio.CancelledError and self._task.uncancel() > 0:
            return  # somebody else cancelled the task too: that goes on
        if isinstance(self._error, EngineError):
            self._error.__traceback__ = None
        raise self._error from error
