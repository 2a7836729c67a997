"""What a connection that carries many turns keeps of each: WebSocket and gRPC alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from clawdbot_client.backoff import Backoff
from clawdbot_client.errors import ClawdbotError
from clawdbot_client.events import Done, Event, Json, Start


class Turn:
    """One under way. `asked` begins it, again if need be; `turn_id` and `event_id` say how far it was heard, `began_on`
    and `asked_on` are the connections that were asked for it first and last."""

    def __init__(self, ref: str, asked: Json) -> None:
        self.ref = ref
        self.asked = asked
        self.turn_id: str | None = None
        self.event_id: str | None = None
        self.began_on: object = None
        self.asked_on: object = None
        self.backoff = Backoff()
        self._heard: asyncio.Queue[Event | ClawdbotError | None] = asyncio.Queue()

    def hear(self, event: Event) -> None:
        self.backoff.heard()
        if isinstance(event, Start):
            self.turn_id = event.id
        self.event_id = event.event_id or self.event_id
        self._heard.put_nowait(event)

    def fail(self, error: ClawdbotError) -> None:
        self._heard.put_nowait(error)

    def end(self) -> None:
        """There is nothing more."""
        self._heard.put_nowait(None)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Raises ClawdbotError."""
        while (event := await self._heard.get()) is not None:
            if isinstance(event, ClawdbotError):
                raise event
            yield event
            if isinstance(event, Done):
                return


class Turns:
    """All of a connection, by ref. `cancel` tells the other side that nobody wants a turn any more."""

    def __init__(self, cancel: Callable[[Turn], Awaitable[None]]) -> None:
        self._cancel = cancel
        self._by_ref: dict[str, Turn] = {}
        self._count = 0

    @property
    def open(self) -> list[Turn]:
        return list(self._by_ref.values())

    def new(self, asked: Json) -> Turn:
        self._count += 1
        turn = self._by_ref[f"t{self._count}"] = Turn(f"t{self._count}", asked)
        return turn

    def find(self, ref: str | None) -> Turn | None:
        return self._by_ref.get(ref or "")

    def fail(self, error: ClawdbotError) -> None:
        """All of them."""
        for turn in self.open:
            turn.fail(error)

    async def read(self, turn: Turn) -> AsyncGenerator[Event, None]:
        """Its events; a reader who leaves before the end cancels it."""
        over = False
        try:
            async for event in turn.events():
                over = isinstance(event, Done)
                yield event
            over = True
        except ClawdbotError:
            over = True
            raise
        finally:
            self._by_ref.pop(turn.ref, None)
            if not over:
                await self._cancel(turn)
