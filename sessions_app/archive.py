"""The archive, for the event loop: its few threads have connections of their own to database and object storage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial as bound
from typing import Final, TypeVar

from django.core.files.storage import default_storage
from django.db import DatabaseError, connections

from engine.errors import StoreUnavailable
from engine.ports import Vault
from engine.types import SessionName
from sessions_app.layout import Home
from sessions_app.records import Line
from sessions_app.recovery import Base
from sessions_app.shelf import Shelf

PATIENCE: Final = 10.0  # seconds; a database that does not even refuse is away, too
THREADS: Final = 4  # touches at the same time; more of them wait
T = TypeVar("T")


class Archive:
    """Where idle sessions are. Every method raises StoreUnavailable where database or object storage are away."""

    def __init__(self, vault: Vault, *, threads: int = THREADS) -> None:
        self._shelf = Shelf(vault)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="archive", initializer=_warm)

    async def seen(self, names: Collection[SessionName]) -> set[SessionName]:
        """Those that anybody's session has or had here."""
        return await self._do(bound(self._shelf.seen, names))

    async def fetch(self, home: Home, session_id: str) -> Base | None:
        """The session as it was put away: later events of the journal are not in it. Without a record: it was ended by
        retention, and one of this id that begins now goes on from `version`. None: nothing is known of it here."""
        return await self._do(bound(self._shelf.get, home, session_id))

    async def whose(self, tenant_id: int, key_id: int, session_id: str) -> Home | None:
        """Which of the users that an API key named has an archived session of this id."""
        return await self._do(bound(self._shelf.whose, tenant_id, key_id, session_id))

    async def page(self, home: Home, below: int | None, limit: int) -> list[Line]:
        """The user's sessions that are or were archived, the last active first, from before `below` (microseconds) on;
        some may be in the store again."""
        return await self._do(bound(self._shelf.page, home, below, limit))

    async def held(self, home: Home) -> set[str]:
        """The ids of the user's archived sessions."""
        return await self._do(bound(self._shelf.held, home))

    async def forget(self, home: Home, session_id: str) -> None:
        """The session was deleted."""
        await self._do(bound(self._shelf.drop, home, [session_id]))

    async def warm(self) -> None:
        """Makes the clients of object storage, which would cost the first touches a while."""
        await asyncio.gather(*(self._do(lambda: None) for _ in range(THREADS)))

    def close(self) -> None:
        """Blocking."""
        self._threads.submit(connections.close_all)
        self._threads.shutdown()

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.get_running_loop().run_in_executor(self._threads, _done, work)
        except TimeoutError as error:
            raise StoreUnavailable from error


def _warm() -> None:
    warm: Callable[[], None] | None = getattr(default_storage, "warm", None)
    if warm is not None:
        warm()


def _done(work: Callable[[], T]) -> T:
    try:
        return work()
    except (DatabaseError, OSError) as error:
        raise StoreUnavailable from error
