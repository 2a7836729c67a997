"""One turn at a time on a session: who comes later waits in the order of arrival, and reads what the one before left.

A lease lasts `ttl` seconds and is prolonged while its turn runs; one of a worker that died runs out. Whether a turn is
still the one that was let in is told by its id in the session (`holder`, see `sessions_app.layout`): each turn that is
let in puts its own there, so a turn that was overtaken finds another's and cannot write any more. Turn ids are never
used twice.

Whoever gives a lease back learns whose turn it is next, and tells that one's worker over the bus. Words there may get
lost: a waiting turn also asks by itself every `look` seconds, which is how its worker shows that it lives.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from engine.errors import Conflict, SessionBusy, StoreUnavailable, TenantSuspended
from sessions_app.layout import OPEN, RELEASE, RENEW, Home
from tenants.isolation import Stores
from tenants.valkey import Reply

LEASE: Final = 15.0
PATIENCE: Final = 60.0  # seconds a turn waits at most
LOOK: Final = 1.0
PLACE: Final = 5  # looks that a waiting turn may miss before it loses its place
KIND: Final = "lease"  # of the words on the bus
LOST: Final = "Another turn took over this session."

Handler = Callable[[str], None]


class Words(Protocol):
    """What leases ask of `tenants.bus.Bus`."""

    @property
    def worker(self) -> str: ...

    def on(self, kind: str, handler: Handler) -> None: ...

    def tell(self, kind: str, text: str, worker: str | None = None) -> None: ...


class Alone:
    """The bus of a process without others: each of its turns is told at once."""

    def __init__(self) -> None:
        self.worker = os.urandom(8).hex()
        self._handlers: dict[str, Handler] = {}

    def on(self, kind: str, handler: Handler) -> None:
        self._handlers[kind] = handler

    def tell(self, kind: str, text: str, worker: str | None = None) -> None:
        if worker in (None, self.worker) and kind in self._handlers:
            asyncio.get_running_loop().call_soon(self._handlers[kind], text)


class Lease:
    """`sure`: until when nobody else can have it, by this process's monotonic clock."""

    __slots__ = ("home", "session_id", "sure", "turn_id")

    def __init__(self, home: Home, session_id: str, turn_id: str) -> None:
        self.home = home
        self.session_id = session_id
        self.turn_id = turn_id
        self.sure = 0.0

    @property
    def keys(self) -> tuple[str, str]:
        return self.home.lease(self.session_id), self.home.session(self.session_id)


class Opened(msgspec.Struct, frozen=True):
    """`found`: the values of `layout.FIELDS` and `layout.STATE`, and the turns; None: there is no such session yet."""

    lease: Lease
    found: tuple[Sequence[bytes | None], Sequence[bytes]] | None


class Leases:
    """One a process. Times in seconds."""

    def __init__(
        self,
        stores: Stores,
        bus: Words | None = None,
        *,
        ttl: float = LEASE,
        patience: float = PATIENCE,
        look: float = LOOK,
    ) -> None:
        self._stores = stores
        self._bus = bus or Alone()
        self._ttl = ttl
        self._patience = patience
        self._look = look
        self._held: dict[str, Lease] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._renewal: asyncio.TimerHandle | None = None
        self._bus.on(KIND, self._wake)

    async def open(self, home: Home, session_id: str, turn_id: str, *, create: bool) -> Opened | None:
        """Waits for the session's lease and reads it as the turn before left it. None: there is no such session, and
        nobody makes it; with `create` the turn may be its first. The same turn may open again: it reads anew. Raises
        SessionBusy, StoreUnavailable."""
        lease = Lease(home, session_id, turn_id)
        deadline = time.monotonic() + self._patience
        try:
            while True:
                sent = time.monotonic()
                reply = await self._ask(lease, create)
                if reply is None:
                    return None
                if reply[0] == b"open":
                    self._hold(lease, sent)
                    return Opened(lease, (reply[1], reply[2]) if len(reply) > 1 else None)
                if reply[0] == b"busy" or sent >= deadline:
                    raise SessionBusy(int(reply[1]))
                await self._wait(turn_id, deadline - sent)
        except BaseException:
            self.release(lease)
            raise
        finally:
            self._waiting.pop(turn_id, None)

    def claim(self, home: Home, session_id: str, turn_id: str) -> Lease:
        """The lease of a session that nobody else can know: it is sent for, and not waited for."""
        lease = Lease(home, session_id, turn_id)
        self._hold(lease, time.monotonic())
        self._ask(lease, True)
        return lease

    def _ask(self, lease: Lease, create: bool) -> asyncio.Future[Reply]:
        key, session = lease.keys
        ttl, place = int(1000 * self._ttl), int(1000 * self._look * PLACE)
        return self._stores.tenant(lease.home.tenant_id).run(
            OPEN, [key, session, f"{session}:turns"], lease.turn_id, self._bus.worker, ttl, place, int(create)
        )

    async def _wait(self, turn_id: str, left: float) -> None:
        event = self._waiting.get(turn_id)
        if event is None:  # its turn may have come since it asked: it asks once more, and can be woken from now on
            self._waiting[turn_id] = asyncio.Event()
            return
        pause = min(self._look * random.uniform(0.8, 1.2), left)  # noqa: S311  # jitter
        try:
            async with asyncio.timeout(pause):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()

    def _wake(self, turn_id: str) -> None:
        event = self._waiting.get(turn_id)
        if event is not None:
            event.set()

    async def confirm(self, lease: Lease) -> None:
        """No round trip while nobody else can have it; a store that is away cannot have given it to anybody. Raises
        Conflict if another turn has it, or had it."""
        sent = time.monotonic()
        if sent + self._ttl / 5 < lease.sure:
            return
        try:
            mine = await self._renew_one(lease)
        except (StoreUnavailable, TenantSuspended):
            return
        if not mine:
            raise Conflict(LOST)
        lease.sure = sent + self._ttl

    def release(self, lease: Lease, *, unsure: bool = False) -> None:
        """Waits for nothing and does not fail. `unsure`: the journal may have the turn though the session has not."""
        self.forget(lease)
        try:
            store = self._stores.tenant(lease.home.tenant_id)
        except (StoreUnavailable, TenantSuspended):
            return
        told = store.run(RELEASE, lease.keys, lease.turn_id, int(not unsure))
        told.add_done_callback(self._released)

    def forget(self, lease: Lease) -> None:
        """It was given back with something else, or is left to run out."""
        self._held.pop(lease.turn_id, None)

    def pass_on(self, turn_id: bytes, worker: bytes) -> None:
        """Tells whoever is next, if anybody is."""
        if turn_id:
            self._bus.tell(KIND, turn_id.decode(), worker.decode())

    def close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None

    def _released(self, told: asyncio.Future[Reply]) -> None:
        if not told.cancelled() and told.exception() is None:
            self.pass_on(*told.result())

    def _hold(self, lease: Lease, sent: float) -> None:
        lease.sure = sent + self._ttl
        self._held[lease.turn_id] = lease
        if self._renewal is None:
            self._renewal = asyncio.get_running_loop().call_later(self._ttl / 3, self._renew)

    def _renew(self) -> None:
        """All together: what one tick sends leaves in one write."""
        self._renewal = None
        if not self._held:
            return
        sent = time.monotonic()
        for lease in self._held.values():
            if lease.sure - sent < self._ttl * 0.7:
                try:
                    self._renew_one(lease).add_done_callback(
                        lambda told, lease=lease: _renewed(lease, told, sent, self._ttl)
                    )
                except (StoreUnavailable, TenantSuspended):
                    continue
        self._renewal = asyncio.get_running_loop().call_later(self._ttl / 3, self._renew)

    def _renew_one(self, lease: Lease) -> asyncio.Future[Reply]:
        return self._stores.tenant(lease.home.tenant_id).run(RENEW, lease.keys, lease.turn_id, int(1000 * self._ttl))


def _renewed(lease: Lease, told: asyncio.Future[Reply], sent: float, ttl: float) -> None:
    if not told.cancelled() and told.exception() is None and told.result():
        lease.sure = sent + ttl
