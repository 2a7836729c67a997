"""Where a session is: in its tenant's store, or to be brought back there first."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from engine.errors import SessionNotFound
from engine.snapshots import Cell
from engine.types import Principal
from sessions_app import records
from sessions_app.layout import READ, Home
from sessions_app.records import Record
from tenants.directory import TenantTable, TenantView
from tenants.isolation import Stores
from tenants.valkey import Reply

SESSION_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")


class NoSession(SessionNotFound):
    """`version` is where a session of this id begins to count: above 0 if there was one that was deleted."""

    def __init__(self, version: int = 0) -> None:
        super().__init__()
        self.version = version


class Recovered(NamedTuple):
    """Whose the session is that is in the store again. None: there is none, and one of this id that begins now goes on
    from `version`: above 0 if there was one that was deleted."""

    home: Home | None
    version: int = 0


class Recovery(Protocol):
    """Brings back sessions that left the store, or were lost there (see `sessions_app.recovery`)."""

    async def recover(self, principal: Principal, session_id: str) -> Recovered:
        """Puts the session into the store again if the caller has it. Raises StoreUnavailable."""

    async def verify(self, home: Home, session_id: str) -> None:
        """The session is doubtful (`Finder.doubtful`): what was acknowledged and is not in the store comes from the
        journal, and the session has the era of now. It is to be read again, and may be gone. Raises
        StoreUnavailable."""


class NoRecovery:
    """What is not in the store is not there."""

    async def recover(self, principal: Principal, session_id: str) -> Recovered:
        return Recovered(None)

    async def verify(self, home: Home, session_id: str) -> None:
        """There is nothing to verify it by."""


class Finder:
    """Finds sessions for turns and for people. `session_ttl` is the platform's: seconds after its last turn until a
    session is idle, where a tenant has no own."""

    def __init__(
        self, stores: Stores, tenants: Cell[TenantTable], *, session_ttl: int, recovery: Recovery | None = None
    ) -> None:
        self.stores = stores
        self.recovery = recovery or NoRecovery()
        self._tenants = tenants
        self._session_ttl = session_ttl

    async def find(self, principal: Principal, session_id: str) -> tuple[Home, Record]:
        """The session and whose it is. Raises NoSession, StoreUnavailable."""
        if not SESSION_ID.match(session_id):
            raise NoSession
        home, reply = await self._look(principal, session_id)
        if reply is not None and self.doubtful(home, session_id, reply[0]):
            await self.recovery.verify(home, session_id)
            reply = await self._read(home, session_id)
        if reply is None:
            recovered, version = await self.recovery.recover(principal, session_id)
            if recovered is None:
                raise NoSession(version)
            home = recovered
            reply = await self._read(home, session_id)
        if reply is None:
            raise NoSession
        return home, records.read(session_id, *reply)

    async def _look(self, principal: Principal, session_id: str) -> tuple[Home, Reply]:
        home = Home(principal.tenant_id, principal.user)
        reading = self._read(home, session_id)
        owning = self.owner(principal, session_id)
        reply = await reading
        if reply is None and owning is not None and (owner := await owning) is not None:
            home = Home(principal.tenant_id, owner.decode())
            reply = await self._read(home, session_id)
        return home, reply

    def _read(self, home: Home, session_id: str) -> asyncio.Future[Reply]:
        keys = [*home.keys(session_id), home.lease(session_id)]
        return self.stores.tenant(home.tenant_id).run(READ, keys)

    def owner(self, principal: Principal, session_id: str) -> asyncio.Future[Reply] | None:
        """Which of an API key's users has the session, in bytes, None if no other; None at once: the caller is no key
        that names nobody."""
        if not principal.nameless:
            return None
        home = Home(principal.tenant_id, principal.user)
        return self.stores.tenant(principal.tenant_id).send("GET", home.owner(session_id))

    def doubtful(self, home: Home, session_id: str, fields: Sequence[bytes | None]) -> bool:
        """Whether the journal may know more of the session than the store: its server was another one when it was last
        written, or a turn was let in and never came out. `fields` end with the values of `layout.STATE`, the last two
        of which count."""
        era, holder = fields[-2:]
        now = self.stores.tenant(home.tenant_id).era(home.session(session_id))
        return bool(holder) or bool(now and era != now.encode())

    def view(self, tenant_id: int) -> TenantView | None:
        return self._tenants.value.by_id.get(tenant_id)

    def ttl(self, tenant_id: int) -> int:
        """In milliseconds."""
        view = self.view(tenant_id)
        return 1000 * ((view.session_ttl if view is not None else None) or self._session_ttl)
