"""The turns this process is answering, so that another request or frame can stop one, at another worker too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Protocol

import msgspec

from compliance.journal.reader import TurnRecord
from engine.errors import TurnCancelled, TurnNotFound
from engine.types import ChatRequest, Principal, Start

NO_TURNS: Final = frozenset({"embeddings"})  # edges whose calls are cancelled by hanging up alone

Tell = Callable[[str, str], None]  # a kind and a text, for all workers (see `tenants.bus`)


class TurnReader(Protocol):
    """Recorded turns: `compliance.journal.reader.JournalReader.turn`."""

    async def __call__(self, tenant_id: int, turn_id: str) -> TurnRecord:
        """Raises TurnNotFound for unknown and foreign ids, StoreUnavailable."""


class Running:
    """`with turns.running(principal) as running:` in the task that answers; `cancel` may come from anywhere in the
    process. The block then ends with TurnCancelled."""

    __slots__ = ("_all", "_cancelled", "_id", "_task", "_turns", "began", "chat", "pieces", "principal", "start")

    def __init__(
        self, turns: dict[str, Running], everything: set[Running], principal: Principal, chat: ChatRequest | None
    ) -> None:
        self.principal = principal
        self.chat = chat
        self.began = time.time()
        self.start: Start | None = None
        self.pieces = 0  # of the answer so far: with most models a token each
        self._turns = turns
        self._all = everything
        self._id: str | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelled = False

    def started(self, turn_id: str, start: Start | None = None) -> None:
        """The turn has its name: from now on others find it by that."""
        self._id = turn_id
        self.start = start
        self._turns[turn_id] = self

    def begun(self, start: Start) -> None:
        self.started(start.id, start)

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
        self._all.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._all.discard(self)
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
        self._all: set[Running] = set()

    def __len__(self) -> int:
        return len(self._turns)

    def __iter__(self) -> Iterator[Running]:
        """All of them, also those that have not begun to answer."""
        return iter(list(self._all))

    def running(self, principal: Principal, chat: ChatRequest | None = None) -> Running:
        """`chat` is told to who looks at what runs."""
        return Running(self._turns, self._all, principal, chat)

    def cancel(self, principal: Principal, turn_id: str) -> None:
        """Stops a running turn of the caller's own, with the scope `manage` any of the tenant's. Raises TurnNotFound
        for every other id."""
        running = self._turns.get(turn_id)
        if running is None or not _may_cancel(principal, running.principal):
            raise TurnNotFound
        running.cancel()

    def end(self, over: Callable[[Principal], bool]) -> None:
        """Stops the turns of everybody for whom it is over."""
        for running in [each for each in self._turns.values() if over(each.principal)]:
            running.cancel()

    def stop(self, stop: Stop) -> None:
        """The same at the word of another worker; does nothing for a turn that is not here."""
        running = self._turns.get(stop.turn_id)
        if running is None or running.principal.tenant_id != stop.tenant_id:
            return
        if stop.manages or running.principal.subject == stop.subject:
            running.cancel()


class Stop(msgspec.Struct, frozen=True):
    """The bus's word `cancel`: who wants which turn stopped."""

    turn_id: str
    tenant_id: int
    subject: str
    manages: bool


class Canceller:
    """Stops turns wherever they run. One a process; its `heard` listens to the bus."""

    def __init__(self, running: RunningTurns, read_turn: TurnReader, tell: Tell) -> None:
        self._running = running
        self._read_turn = read_turn
        self._tell = tell

    async def cancel(self, principal: Principal, turn_id: str) -> None:
        """As `RunningTurns.cancel`; a turn that is not here and not over is asked for at all workers. Raises
        TurnNotFound, StoreUnavailable."""
        try:
            self._running.cancel(principal, turn_id)
        except TurnNotFound:
            record = await self._read_turn(principal.tenant_id, turn_id)
            manages = "manage" in principal.scopes
            mine = manages or record.intent.subject == principal.subject
            if not mine or record.completion is not None or record.intent.edge in NO_TURNS:
                raise
            stop = Stop(turn_id, principal.tenant_id, principal.subject, manages)
            self._tell("cancel", msgspec.json.encode(stop).decode())

    def heard(self, text: str) -> None:
        """From another worker, or from this one."""
        stop = msgspec.json.decode(text, type=Stop)
        self._running.stop(stop)


def _may_cancel(caller: Principal, owner: Principal) -> bool:
    return caller.tenant_id == owner.tenant_id and (caller.subject == owner.subject or "manage" in caller.scopes)
