"""The only way to a store: the platform's own database, and each tenant's.

A tenant lives in its own numbered database of the platform's server, or on its own server (`Tenant.store_url`). A
handle is for the moment it was asked for: ask again for the next command, so that a changed address is followed."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

from engine.errors import StoreUnavailable, TenantSuspended
from engine.snapshots import Cell
from tenants.addresses import numbered
from tenants.directory import TenantTable, TenantView
from tenants.resp import Reply, Script, Word
from tenants.valkey import Connection

log = logging.getLogger(__name__)

PLATFORM_DATABASE: Final = 0
MAX_OPEN: Final = 256
MOVE_PATIENCE: Final = 10.0  # seconds a turn waits for its tenant's store to be moved
MOVE_LOOK: Final = 0.05


class Store(Protocol):
    """A handle: what the code may do with a tenant's keys, wherever they lie. See `Connection` for the contracts."""

    @property
    def idle(self) -> bool: ...

    def send(self, *words: Word) -> asyncio.Future[Reply]:
        """A command whose one key comes right after its name."""

    async def call(self, *words: Word) -> Reply:
        """`send`, awaited."""

    def run(self, script: Script, keys: Sequence[Word], *arguments: Word) -> asyncio.Future[Reply]:
        """All keys share one hash tag."""

    def era(self, key: str) -> str: ...

    def scan(self, count: int = 1_000, match: str = "*") -> AsyncIterator[list[str]]: ...

    async def values(self, keys: Sequence[str]) -> list[bytes | None]: ...

    async def unlink(self, keys: Sequence[str]) -> int: ...

    async def close(self) -> None: ...


class Stores:
    """Connections of one event loop, opened when first asked for. At most `max_open` tenants' stay open: of the idle
    ones the least recently used is closed first.

    `nodes` are the URLs of the platform's server; the first one counts while there is no cluster."""

    def __init__(self, nodes: Sequence[str], tenants: Cell[TenantTable], *, max_open: int = MAX_OPEN) -> None:
        self._server = nodes[0]
        self._tenants = tenants
        self._max_open = max_open
        self._platform = Connection(numbered(self._server, PLATFORM_DATABASE))
        self._open: OrderedDict[str, Connection] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    def platform(self) -> Store:
        """Counters and limits; nothing anybody said."""
        return self._platform

    async def settled(self, tenant_id: int) -> None:
        """Waits while the tenant's store is being moved. For turns before they open their session. Raises
        StoreUnavailable after ten seconds."""
        deadline = 0.0
        while (view := self._tenants.value.by_id.get(tenant_id)) is not None and view.store_moving:
            now = asyncio.get_running_loop().time()
            deadline = deadline or now + MOVE_PATIENCE
            if now >= deadline:
                raise StoreUnavailable("The tenant's store is being moved.")
            await asyncio.sleep(MOVE_LOOK)

    def tenant(self, tenant_id: int) -> Store:
        """The tenant's own database. Raises TenantSuspended for a tenant that is gone, StoreUnavailable if its own
        address cannot be read."""
        view = self._tenants.value.by_id.get(tenant_id)
        if view is None:
            raise TenantSuspended
        url = self._address(view)
        connection = self._open.get(url)
        if connection is None:
            connection = self._connect(url, view)
        self._open.move_to_end(url)
        return connection

    async def servers(self, tenant_id: int) -> list[Connection]:
        """A connection to each server that holds keys of the tenant: for what its operator does, not for keys."""
        store = self.tenant(tenant_id)
        return [store] if isinstance(store, Connection) else []

    def _address(self, view: TenantView) -> str:
        return view.store_url or numbered(self._server, view.store_database)

    def _connect(self, url: str, view: TenantView) -> Connection:
        try:
            connection = Connection(url)
        except ValueError as error:
            log.error("the store of tenant %s has no valid address: %s", view.slug, error)
            raise StoreUnavailable from None
        self._open[url] = connection
        self._make_room()
        return connection

    def _make_room(self) -> None:
        spare = len(self._open) - self._max_open
        if spare <= 0:
            return
        *older, _ = self._open
        for url in [url for url in older if self._open[url].idle][:spare]:
            task = asyncio.get_running_loop().create_task(self._open.pop(url).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Ends every connection once it has its answers, at most two seconds."""
        connections = [self._platform, *self._open.values()]
        self._open.clear()
        await asyncio.gather(*(connection.close() for connection in connections), *self._closing)
