"""Connections that outlive a request: their credentials are looked at again, and they are told before the process ends.

One loop a process does it for all of them. It looks when something changed that a credential depends on, when one of
them expires, and now and then anyway; a herd of idle connections costs nothing meanwhile."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final, Protocol

from access.asgi import RawHeaders
from engine.errors import EngineError, Forbidden, Unauthenticated
from engine.types import Principal

EVERY: Final = 0.4  # seconds between two looks whether anything changed,
ANYWAY: Final = 60.0  # and between two at everybody
AT_ONCE: Final = 250  # connections looked at in one step of the event loop


class Authenticator(Protocol):
    """Who is calling (see `access.authentication`)."""

    def cached(self, headers: RawHeaders, peer: str | None) -> Principal | None:
        """The answer from memory alone; None: it takes `authenticate`. Raises like that."""

    async def authenticate(self, headers: RawHeaders, peer: str | None) -> Principal:
        """Raises Unauthenticated, IpNotAllowed, TenantSuspended, StoreUnavailable."""

    def changes(self) -> int:
        """Another number than before if a credential may mean something else since then."""

    def body_limit(self, tenant_id: int) -> int | None:
        """Bytes that a request of the tenant's callers may have; None: as for everybody."""

    def expires_at(self, headers: RawHeaders) -> float:
        """When a credential that was accepted ends by itself, in Unix seconds. Raises Unauthenticated."""


class Connection(Protocol):
    """`headers` have its credential, `address` is its other end's."""

    headers: RawHeaders
    address: str | None

    def holds(self, principal: Principal) -> None:
        """The credential was looked at and is good. Raises Forbidden: not for this."""

    def lost(self, error: EngineError) -> None:
        """It is good no more."""

    def retire(self) -> None:
        """The process is about to end."""


class Connections:
    """One a process."""

    def __init__(self, authenticator: Authenticator, clock: Callable[[], float] = time.time) -> None:
        self._authenticator = authenticator
        self._clock = clock
        self._open: dict[Connection, float] = {}  # until when its credential is good by itself
        self._unsure: set[Connection] = set()  # nobody could say
        self._changes = 0
        self._soonest = math.inf
        self._loop: asyncio.Task[None] | None = None
        self._retired = False

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """Its credential was good just now."""
        if not self._open:
            self._changes = self._authenticator.changes()
        self._open[connection] = math.inf
        self._unsure.add(connection)  # what changed while it was let in
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._look_again())
        if self._retired:
            connection.retire()

    def remove(self, connection: Connection) -> None:
        """It is gone. Safe to call twice."""
        self._open.pop(connection, None)
        self._unsure.discard(connection)
        if not self._open and self._loop is not None:
            self._loop.cancel()
            self._loop = None

    def retire(self) -> None:
        """From now on nobody is to stay."""
        self._retired = True
        for connection in list(self._open):
            connection.retire()

    async def _look_again(self) -> None:
        everybody = time.monotonic() + ANYWAY
        while True:
            await asyncio.sleep(EVERY)
            changes = self._authenticator.changes()
            now = time.monotonic()
            if changes != self._changes or now >= everybody:
                everybody = now + ANYWAY
                self._changes = changes
                await self._check(list(self._open))
            elif self._clock() >= self._soonest:
                end = self._clock()
                await self._check([one for one, until in self._open.items() if until <= end] + list(self._unsure))
            elif self._unsure:
                await self._check(list(self._unsure))

    async def _check(self, connections: list[Connection]) -> None:
        for begin in range(0, len(connections), AT_ONCE):
            some = connections[begin : begin + AT_ONCE]
            await asyncio.gather(*[each for one in some if (each := self._from_memory(one)) is not None])
            await asyncio.sleep(0)
        self._soonest = min(self._open.values(), default=math.inf)

    def _from_memory(self, connection: Connection) -> asyncio.Future[None] | None:
        """What is left to be done where memory alone cannot tell."""
        try:
            principal = self._authenticator.cached(connection.headers, connection.address)
            if principal is None:
                return asyncio.ensure_future(self._ask(connection))
            self._good(connection, principal)
        except EngineError as error:
            self._bad(connection, error)
        return None

    async def _ask(self, connection: Connection) -> None:
        try:
            self._good(connection, await self._authenticator.authenticate(connection.headers, connection.address))
        except EngineError as error:
            self._bad(connection, error)

    def _good(self, connection: Connection, principal: Principal) -> None:
        if connection in self._open:
            connection.holds(principal)
            self._open[connection] = self._authenticator.expires_at(connection.headers)
            self._unsure.discard(connection)

    def _bad(self, connection: Connection, error: EngineError) -> None:
        if connection not in self._open:
            return
        if isinstance(error, (Unauthenticated, Forbidden)):
            self.remove(connection)
            connection.lost(error)
        else:
            self._unsure.add(connection)  # nobody can say right now: what was allowed stays so
