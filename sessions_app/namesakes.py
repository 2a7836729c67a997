"""Whether anybody ever had a session of some id: asked for each new one that a caller names.

Archive and journal are asked in threads, which costs more than the questions do. So those that come while some are
being asked are asked together next; nobody is told what was read before they asked. Where an answer takes long, as on a
connection whose other end is gone, those that come are asked beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final, Protocol

from engine.coalescing import copied
from engine.errors import StoreUnavailable
from engine.types import SessionName

SLOW: Final = 0.5  # seconds
PATIENCE: Final = 10.0  # seconds in all; what does not even refuse is away, too


class Records(Protocol):
    """What keeps sessions, or what was said in them."""

    async def seen(self, names: Collection[SessionName]) -> set[SessionName]:
        """Those that anybody's session has here, or had. Raises StoreUnavailable."""


class Namesakes:
    """One a process, of one event loop."""

    def __init__(self, *places: Records) -> None:
        self._places = places
        self._waiting: list[tuple[SessionName, asyncio.Future[bool]]] = []
        self._asking: asyncio.Task[None] | None = None  # whose place another takes when it is late
        self._late = 0.0
        self._timer: asyncio.TimerHandle | None = None  # for those who wait, where nobody comes after them

    async def seen(self, tenant_id: int, session_id: str) -> bool:
        """Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(((tenant_id, session_id), told))
        self._look(loop)
        return await told

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Somebody waits."""
        now = loop.time()
        if self._asking is None or now >= self._late:
            self._late = now + SLOW
            self._asking = loop.create_task(self._ask())
        elif self._timer is None:
            self._timer = loop.call_at(self._late, self._again, loop)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiting:
            self._look(loop)

    async def _ask(self) -> None:
        loop, mine = asyncio.get_running_loop(), asyncio.current_task()
        try:
            while self._waiting and self._asking is mine:
                asked, self._waiting = self._waiting, []
                self._late = loop.time() + SLOW
                try:
                    seen = await self._patiently({name for name, _ in asked})
                except Exception as error:  # noqa: BLE001  # the border: whoever asked is told
                    for _, told in asked:
                        if not told.done():
                            told.set_exception(copied(error))
                    continue
                except asyncio.CancelledError:
                    for _, told in asked:
                        told.cancel()
                    raise
                for name, told in asked:
                    if not told.done():  # who left does not want to know
                        told.set_result(name in seen)
        finally:
            if self._asking is mine:
                self._asking = None

    async def _patiently(self, names: set[SessionName]) -> set[SessionName]:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._seen(names)
        except TimeoutError as error:
            raise StoreUnavailable from error

    async def _seen(self, names: set[SessionName]) -> set[SessionName]:
        seen: set[SessionName] = set()
        for place in self._places:
            if left := names - seen:
                seen |= await place.seen(left)
        return seen
