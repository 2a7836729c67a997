"""What runs now, at every worker: who waits for what answer, how far it is; to be watched, and to be stopped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

import msgspec

from access.heartbeats import Beat, Heartbeats
from access.resuming import Resuming
from access.turns import Canceller, Running, RunningTurns
from engine.errors import EngineError, TurnNotFound
from engine.types import Principal
from tenants.asking import Asking

TURNS: Final = "turns"
MOST: Final = 500  # turns a worker tells of at once, the oldest first


class LiveTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that runs. `id` is empty and `state` `waiting` until it is being answered; `pieces` of the answer were
    sent so far, with most models a token each. `began` is Unix seconds."""

    id: str
    tenant_id: int
    kind: str
    subject: str
    user: str
    edge: str
    wanted: str
    model: str
    session_id: str
    state: str
    pieces: int
    began: float
    watchable: bool


class LiveTurns:
    """One a process."""

    def __init__(
        self,
        running: RunningTurns,
        asking: Asking,
        heartbeats: Heartbeats,
        resuming: Resuming,
        canceller: Canceller,
    ) -> None:
        self._running = running
        self._asking = asking
        self._heartbeats = heartbeats
        self._resuming = resuming
        self._canceller = canceller
        asking.answers(TURNS, self._here)

    async def listed(self, tenant_id: int) -> list[LiveTurn]:
        """The tenant's, the oldest first, as all workers tell."""
        told = await self._asking.ask(TURNS, str(tenant_id), workers=len(await self.workers()))
        turns = [each for said in told.values() for each in msgspec.convert(said or [], list[LiveTurn])]
        mine = [turn for turn in turns if turn.tenant_id == tenant_id]
        return sorted(mine, key=lambda turn: (turn.began, turn.id))

    async def workers(self) -> Sequence[Beat]:
        """Those that give signs of life; where the store is away this one alone."""
        try:
            return await self._heartbeats.listed() or [self._heartbeats.now()]
        except EngineError:
            return [self._heartbeats.now()]

    async def find(self, tenant_id: int, turn_id: str) -> LiveTurn:
        """Raises TurnNotFound."""
        found = next((turn for turn in await self.listed(tenant_id) if turn.id == turn_id), None)
        if found is None or not turn_id:
            raise TurnNotFound
        return found

    async def watch(self, turn: LiveTurn, tenant: str, language: str) -> AsyncGenerator[list[bytes], None]:
        """Its events from the first on, as `access.frames` has them. Raises TurnNotFound, StoreUnavailable."""
        owner = Principal(
            tenant_id=turn.tenant_id,
            tenant=tenant,
            kind=turn.kind,  # type: ignore[arg-type]
            subject=turn.subject,
            user=turn.user,
        )
        async for some in self._resuming.watch(owner, turn.id, language):
            yield some

    async def cancel(self, who: Principal, turn_id: str) -> None:
        """`who` has the scope `manage`. Raises TurnNotFound, StoreUnavailable."""
        await self._canceller.cancel(who, turn_id)

    def _here(self, text: str) -> list[LiveTurn]:
        tenant_id = int(text)
        mine = [_told(each) for each in self._running if each.principal.tenant_id == tenant_id]
        return sorted(mine, key=lambda turn: turn.began)[:MOST]


def _told(running: Running) -> LiveTurn:
    start, chat, who = running.start, running.chat, running.principal
    edge = chat.edge if chat is not None else ""
    return LiveTurn(
        id=start.id if start is not None else "",
        tenant_id=who.tenant_id,
        kind=who.kind,
        subject=who.subject,
        user=who.user,
        edge=edge,
        wanted=chat.model if chat is not None else "",
        model=start.model if start is not None else "",
        session_id=(start.session_id if start is not None else None) or "",
        state="waiting" if start is None else "answering" if running.pieces else "begun",
        pieces=running.pieces,
        began=running.began,
        watchable=chat is not None and chat.resumable and start is not None,
    )
