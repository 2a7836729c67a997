"""Where a session is: in its tenant's store, or to be brought back there first."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Protocol

from engine.errors import SessionNotFound
from engine.snapshots import Cell
from engine.types import Principal
from sessions_app import records
from sessions_app.layout import READ, Home
from sessions_app.records import Record
from tenants.directory import TenantTable, TenantView
from tenants.isolation import Stores

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
        """The session's `era` is not its store's: what was acknowledged and is not in the store comes from the journal,
        and the session has the era of now. It is to be read again, and may be gone. Raises StoreUnavailable."""


class NoRecovery:
    """What is not in the store is not there."""

    async def recover(self, principal: Principal, session_id: str) -> Recovered:
        return Recovered(None)

    async def verify(self, home: Home, session_id: str) -> None:
        """There is nothing to verify it by."""


class Finder:
    """Finds sessions for turns and for people. `session_ttl` is the platform's: seconds a session lives after its last
    turn, where a tenant has no own."""

    def __init__(
        self, stores: Stores, tenants: Cell[TenantTable], *, session_ttl: int, recovery: Recovery | None = None
    ) -> None:
        self.stores = stores
        self._tenants = tenants
        self._session_ttl = session_ttl
        self._recovery = recovery or NoRecovery()

    async def find(self, principal: Principal, session_id: str, ttl: int = 0) -> tuple[Home, Record]:
        """The session and whose it is; with `ttl` (milliseconds) it lives that long from now on. Raises
        NoSession, StoreUnavailable."""
        if not SESSION_ID.match(session_id):
            raise NoSession
        found = await self._look(principal, session_id, ttl)
        if found is None:
            home, version = await self._recovery.recover(principal, session_id)
            if home is None:
                raise NoSession(version)
            reply = await self.stores.tenant(principal.tenant_id).run(READ, home.keys(session_id), ttl)
            if reply is None:
                raise NoSession
            found = home, records.read(session_id, *reply)
        return found

    async def _look(self, principal: Principal, session_id: str, ttl: int) -> tuple[Home, Record] | None:
        connection = self.stores.tenant(principal.tenant_id)
        home = Home(principal.tenant_id, principal.user)
        reading = connection.run(READ, home.keys(session_id), ttl)
        owning = None
        if principal.kind == "key" and principal.user == principal.subject:
            owning = connection.send("GET", home.owner(session_id))
        reply = await reading
        if reply is None and owning is not None and (owner := await owning) is not None:
            home = Home(principal.tenant_id, owner.decode())
            reply = await connection.run(READ, home.keys(session_id), ttl)
        return (home, records.read(session_id, *reply)) if reply is not None else None

    def view(self, tenant_id: int) -> TenantView | None:
        return self._tenants.value.by_id.get(tenant_id)

    def ttl(self, tenant_id: int) -> int:
        """In milliseconds."""
        view = self.view(tenant_id)
        return 1000 * ((view.session_ttl if view is not None else None) or self._session_ttl)
