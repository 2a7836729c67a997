"""Lets a model call run beside the commit of its intent, and stops it when the commit fails."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Fence:
    """`with Fence(intent):` around the awaits of a model call: should the intent fail meanwhile, the running task is
    cancelled and the intent's own error is raised in place of the cancellation, the way of `asyncio.timeout`. The block
    is never left normally over a failed intent, also when both happen in one tick of the loop."""

    __slots__ = ("_cancelled", "_intent", "_left", "_task")

    def __init__(self, intent: asyncio.Future[None]) -> None:
        self._intent = intent
        self._task: asyncio.Task[object] | None = None
        self._cancelled = False
        self._left = False

    def __enter__(self) -> None:
        if self._intent.done():
            self._intent.result()
            return
        self._task = asyncio.current_task()
        self._intent.add_done_callback(self._settled)

    def _settled(self, intent: asyncio.Future[None]) -> None:
        """May still be due when the block has been left: then it is too late to cancel anybody."""
        if not self._left and self._task is not None and _failure(intent) is not None:
            self._cancelled = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left = True
        self._intent.remove_done_callback(self._settled)
        failure = _failure(self._intent)
        if failure is None:
            return
        if self._cancelled and self._task is not None and self._task.uncancel() > 0:
            return  # somebody else cancelled the task too: that goes on
        if kind is None or self._cancelled:
            raise failure from error


def _failure(intent: asyncio.Future[None]) -> BaseException | None:
    return intent.exception() if intent.done() and not intent.cancelled() else None
