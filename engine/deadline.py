"""A limit to how long a block may wait."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """`with Deadline(at):` around awaits of the running task: once the loop's clock passes `at` it is cancelled, and
    the block ends with TimeoutError. The way of `asyncio.timeout_at`, and its rules where somebody else cancels the
    task too, at a third of its bytecodes: every call of a model pays for one."""

    __slots__ = ("_at", "_cancelling", "_late", "_task", "_timer")

    def __init__(self, at: float) -> None:
        self._at = at
        self._late = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "it needs a task to cancel"
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = asyncio.get_running_loop().call_at(self._at, self._expire)

    def _expire(self) -> None:
        self._late = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
