"""What streamed turns sent, in their tenants' stores: for readers that come back at another worker.

A turn's events lie under one key one after the other, as server-sent events, so a reader goes on at any byte. An API
key that spoke for a user it named finds them by a note in its own home, as it finds sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.errors import EngineError
from engine.types import Principal
from sessions_app.layout import home_of
from tenants.isolation import Stores
from tenants.valkey import Reply

KEPT: Final = 600  # seconds after the last event
PART: Final = 64 * 1024  # bytes read at once
END: Final = b"\n\n"  # of an event


class EventStore:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def put(self, owner: Principal, turn_id: str, place: int, events: bytes, landed: Callable[[bool], None]) -> None:
        """Sends events on their way, behind the `place` bytes that are there; 0: instead of all that is. `landed` is
        told whether now all of them are there, and nothing else."""
        home = home_of(owner.tenant_id, owner.user)
        key, whole = home.events(turn_id), place + len(events)
        try:
            store = self._stores.tenant(owner.tenant_id)
        except EngineError:
            landed(False)
            return
        if place:
            store.send("APPEND", key, events).add_done_callback(lambda reply: landed(_result(reply) == whole))
            return
        if owner.kind == "key" and not owner.nameless:
            store.send("SET", home_of(owner.tenant_id, owner.subject).owner(turn_id), owner.user, "EX", 2 * KEPT)
        store.send("SET", key, events, "EX", KEPT).add_done_callback(lambda reply: landed(_result(reply) == b"OK"))

    def prolong(self, owner: Principal, turn_id: str) -> None:
        """The time for which the events are kept begins anew."""
        try:
            store = self._stores.tenant(owner.tenant_id)
        except EngineError:
            return
        store.send("EXPIRE", home_of(owner.tenant_id, owner.user).events(turn_id), KEPT)

    async def find(self, principal: Principal, turn_id: str) -> Principal | None:
        """As whom the caller reads the turn's events; None: there are none for them. Raises StoreUnavailable."""
        store = self._stores.tenant(principal.tenant_id)
        here = store.send("EXISTS", home_of(principal.tenant_id, principal.user).events(turn_id))
        if principal.nameless:
            user = await store.call("GET", home_of(principal.tenant_id, principal.subject).owner(turn_id))
            if user is not None:
                return _as(principal, user.decode())
        return principal if await here else None

    async def get(self, owner: Principal, turn_id: str, place: int) -> bytes:
        """Whole events behind the first `place` bytes: about `PART` of them, so that who comes back to a long turn and
        reads slowly is held no heap. Raises StoreUnavailable."""
        store, key = self._stores.tenant(owner.tenant_id), home_of(owner.tenant_id, owner.user).events(turn_id)
        most = PART
        while True:
            found = bytes(await store.call("GETRANGE", key, place, place + most - 1))
            end = len(found) if len(found) < most else found.rfind(END) + len(END)
            if end >= len(END):
                return found[:end]
            if not found:
                return found
            most *= 4


def _as(principal: Principal, user: str) -> Principal:
    return Principal(
        tenant_id=principal.tenant_id,
        tenant=principal.tenant,
        kind=principal.kind,
        subject=principal.subject,
        user=user,
        key_id=principal.key_id,
    )


def _result(reply: object) -> Reply:
    """None: it failed."""
    future: Reply = reply
    return None if future.cancelled() or future.exception() is not None else future.result()
