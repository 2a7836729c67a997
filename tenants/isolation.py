"""The only way to a store: the platform's own database, and each tenant's keys.

The platform's server is a standalone one or a cluster; which, it says itself. A tenant lives there in its own numbered
database (layout `database`) or behind a prefix with a user of its own (layout `prefix`), or on its own server or
cluster (`Tenant.store_url`). A handle is for the moment it was asked for: ask again for the next command, so that a
changed address is followed."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec
from django.conf import settings

from engine.errors import StoreUnavailable, TenantSuspended
from engine.snapshots import Cell
from tenants import addresses, prefixed
from tenants.addresses import Address
from tenants.cluster import Cluster
from tenants.directory import TenantTable, TenantView
from tenants.handles import Store as Store
from tenants.prefixed import Prefixed
from tenants.topology import Topology
from tenants.valkey import Connection, Login

log = logging.getLogger(__name__)

PLATFORM_DATABASE: Final = 0
MAX_OPEN: Final = 256
MOVE_PATIENCE: Final = 10.0  # seconds a turn waits for its tenant's store to be moved
MOVE_LOOK: Final = 0.05


class Deployment:
    """One standalone server or one cluster, by its operator's login. A unix socket is a standalone server's; what
    listens on TCP is asked when it is first used."""

    def __init__(self, urls: Sequence[str], *, private: bool | None = None) -> None:
        """`private` as `tenants.addresses.Address` has it. Raises ValueError for an address that is none."""
        parsed = (addresses.parse(url) for url in urls)
        self._seeds: list[Address] = [msgspec.structs.replace(each, private=private) for each in parsed]
        self.topology = None if self._seeds[0].path else Topology(self._seeds)
        self.operator: Store = self.database(PLATFORM_DATABASE)

    @classmethod
    def own(cls, url: str) -> Deployment:
        """A tenant's. Raises ValueError for an address that is none."""
        return cls([url], private=settings.STORE_PRIVATE)

    @property
    def own_database(self) -> int:
        """The one its address names."""
        return self._seeds[0].database

    def database(self, number: int) -> Store:
        if self.topology is None:
            return Connection(self._address(number))
        return Cluster(self.topology, database=number)

    def prefix(self, tenant_id: int) -> Store:
        topology = self.topology
        if topology is None:
            connection = Connection(self._address(), prepare=lambda: self._grant(tenant_id))
            return Prefixed(connection, self.operator, tenant_id)
        cluster = Cluster(topology, grant=lambda node: prefixed.grant(topology.server(node), tenant_id))
        return Prefixed(cluster, self.operator, tenant_id)

    async def _grant(self, tenant_id: int) -> Login:
        (server,) = await self.servers()
        return await prefixed.grant(server, tenant_id)

    async def servers(self) -> list[Connection]:
        """The operator's connection to each server, replicas too. Raises StoreUnavailable."""
        if self.topology is None:
            assert isinstance(self.operator, Connection)
            return [self.operator]
        await self.topology.load()
        return [self.topology.server(node) for node in self.topology.nodes]

    def _address(self, database: int = PLATFORM_DATABASE) -> Address:
        return msgspec.structs.replace(self._seeds[0], database=database)

    async def close(self) -> None:
        """After the handles that came from it."""
        await self.operator.close()
        if self.topology is not None:
            await self.topology.close()


class _Own:
    """A handle together with the deployment that has nobody else's."""

    def __init__(self, url: str) -> None:
        self.deployment = Deployment.own(url)
        self.store = self.deployment.database(self.deployment.own_database)

    async def close(self) -> None:
        await self.store.close()
        await self.deployment.close()


class _Shared:
    """A handle on the platform's deployment."""

    def __init__(self, deployment: Deployment, store: Store) -> None:
        self.deployment = deployment
        self.store = store

    async def close(self) -> None:
        await self.store.close()


class Stores:
    """Connections of one event loop, opened when first asked for. At most `max_open` tenants' stay open: of the idle
    ones the least recently used is closed first.

    `nodes` are the URLs of the platform's server: of a cluster any of its nodes, else the first one counts."""

    def __init__(self, nodes: Sequence[str], tenants: Cell[TenantTable], *, max_open: int = MAX_OPEN) -> None:
        self._deployment = Deployment(nodes)
        self._tenants = tenants
        self._max_open = max_open
        self._open: OrderedDict[str, _Own | _Shared] = OrderedDict()
        self._found: dict[int, tuple[TenantView, str, Store]] = {}  # of tenants as they are now, of what is open
        self._closing: set[asyncio.Task[None]] = set()

    def platform(self) -> Store:
        """Counters and limits; nothing anybody said."""
        return self._deployment.operator

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
        """The tenant's own keys. Raises TenantSuspended for a tenant that is gone, StoreUnavailable if its own
        address cannot be read."""
        view = self._tenants.value.by_id.get(tenant_id)
        if view is None:
            raise TenantSuspended
        known = self._found.get(tenant_id)
        if known is not None and known[0] is view:
            self._open.move_to_end(known[1])
            return known[2]
        store = self.at(view).store
        self._found[tenant_id] = (view, address(view), store)
        return store

    async def servers(self, tenant_id: int) -> list[Connection]:
        """A connection to each server that holds keys of the tenant, replicas too: for what its operator does, not for
        keys. Raises as `tenant` does."""
        view = self._tenants.value.by_id.get(tenant_id)
        if view is None:
            raise TenantSuspended
        return await self.at(view).deployment.servers()

    def operator(self, view: TenantView) -> Store:
        """The keys of a tenant that is as `view` says, with the rights of the server's operator. Raises
        StoreUnavailable."""
        found = self.at(view)
        if view.store_url or view.store_layout != "prefix":
            return found.store
        return Prefixed(found.deployment.operator, found.deployment.operator, view.id)

    def at(self, view: TenantView) -> _Own | _Shared:
        """Where a tenant lives that is as `view` says. Raises StoreUnavailable: its own address cannot be read."""
        place = address(view)
        known = self._open.get(place)
        if known is None:
            known = self._connect(place, view)
        self._open.move_to_end(place)
        return known

    def _connect(self, place: str, view: TenantView) -> _Own | _Shared:
        found: _Own | _Shared
        try:
            if view.store_url:
                found = _Own(view.store_url)
            elif view.store_layout == "prefix":
                found = _Shared(self._deployment, self._deployment.prefix(view.id))
            else:
                found = _Shared(self._deployment, self._deployment.database(view.store_database))
        except ValueError as error:
            log.error("the store of tenant %s has no valid address: %s", view.slug, error)
            raise StoreUnavailable from None
        self._open[place] = found
        self._make_room()
        return found

    def _make_room(self) -> None:
        spare = len(self._open) - self._max_open
        if spare <= 0:
            return
        *older, _ = self._open
        for place in [place for place in older if self._open[place].store.idle][:spare]:
            gone = self._open.pop(place)
            self._found = {tenant: each for tenant, each in self._found.items() if each[1] != place}
            task = asyncio.get_running_loop().create_task(gone.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Ends every connection once it has its answers, at most two seconds."""
        found = list(self._open.values())
        self._open.clear()
        self._found.clear()
        await asyncio.gather(*(each.close() for each in found), *self._closing)
        await self._deployment.close()


def address(view: TenantView) -> str:
    """Names the place where a tenant's keys lie."""
    if view.store_url:
        return view.store_url
    return f"prefix {view.id}" if view.store_layout == "prefix" else f"database {view.store_database}"
