"""The turns this process is answering, so that another request or frame can stop one."""

from __future__ import annotations

import asyncio
from types import TracebackType

from engine.errors import TurnCancelled, TurnNotFound
from engine.types import Principal


class Running:
    """`with turns.running(principal) as running:` in the task that answers; `cancel` may come from anywhere in the
    process. The block then ends with TurnCancelled."""

    __slots__ = ("_cancelled", "_id", "_task", "_turns", "principal")

    def __init__(self, turns: dict[str, Running], principal: Principal) -> None:
        self.principal = principal
        self._turns = turns
        self._id: str | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelled = False

    def started(self, turn_id: str) -> None:
        """The turn has its name: from now on others find it by that."""
        self._id = turn_id
        self._turns[turn_id] = self

    def cancel(self) -> None:
        """Stops the turn and its call upstream; safe to call twice."""
        if not self._cancelled:
            self._cancelled = True
            if self._task is not None:
                self._task.cancel()

    def __enter__(self) -> Running:
        if self._cancelled:  # before its task had its first step
            raise TurnCancelled
        self._task = asyncio.current_task()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._id is not None and self._turns.get(self._id) is self:  # of a replayed turn there may be several
            del self._turns[self._id]
        task, self._task = self._task, None
        if self._cancelled and task is not None and task.uncancel() == 0 and kind is asyncio.CancelledError:
            cancelled = TurnCancelled()
            cancelled.turn_id = self._id
            raise cancelled from error


class RunningTurns:
    """One a process."""

    def __init__(self) -> None:
        self._turns: dict[str, Running] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def running(self, principal: Principal) -> Running:
        return Running(self._turns, principal)

    def cancel(self, principal: Principal, turn_id: str) -> None:
        """Stops a running turn of the caller's own, with the scope `manage` any of the tenant's. Raises TurnNotFound
        for every other id."""
        running = self._turns.get(turn_id)
        if running is None or not _may_cancel(principal, running.principal):
            raise TurnNotFound
        running.cancel()


def _may_cancel(caller: Principal, owner: Principal) -> bool:
    return caller.tenant_id == owner.tenant_id and (caller.subject == owner.subject or "manage" in caller.scopes)
