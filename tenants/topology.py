"""Which node of a store's cluster holds which slots, and since when; of a standalone server: all on the one.

Every node is asked (CLUSTER NODES, https://valkey.io/commands/cluster-nodes/) when the store is first used, when a
reply says that something moved, when a node is lost, and once a second. Of two that claim a slot the one with the
higher configuration epoch has it, as among the nodes themselves."""

from __future__ import annotations

import asyncio
import logging
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from engine.errors import StoreUnavailable
from tenants.addresses import Address
from tenants.resp import Word
from tenants.valkey import Connection, info

log = logging.getLogger(__name__)

SLOTS: Final = 16_384
WATCH: Final = 1.0  # seconds between two looks at a cluster in use
SHORTEST: Final = 0.05  # seconds between two looks, whatever happens
SLOWEST: Final = 0.5  # seconds a node may take to be heard while others have answered
ANY: Final = -1  # the slot of a command without a key


class Node(NamedTuple):
    host: str
    port: int


class Standing(msgspec.Struct, frozen=True):
    """What is said of a node. `node` is where it is reached, `told` the address the cluster uses. `epoch` grows
    whenever it is promoted."""

    id: str
    node: Node
    told: Node
    primary: bool
    failed: bool
    primary_id: str
    epoch: int
    slots: tuple[tuple[int, int], ...]
    moving: bool  # slots of it are being moved, key by key


def slot(key: Word) -> int:
    """CRC16 of what stands between the first braces, if anything does (https://valkey.io/topics/cluster-spec/)."""
    raw = key if isinstance(key, bytes) else str(key).encode()
    begin = raw.find(b"{")
    if begin >= 0:
        end = raw.find(b"}", begin + 1)
        if end > begin + 1:
            raw = raw[begin + 1 : end]
    return crc_hqx(raw, 0) & 0x3FFF


class Topology:
    """One store's. `seeds` are addresses with its operator's login; the first that answers is believed as to whether
    this is a cluster. Belongs to the event loop that first uses it."""

    def __init__(self, seeds: Sequence[Address]) -> None:
        self._seed = seeds[0]
        self._seeds = {Node(seed.path or seed.host, seed.port): seed for seed in seeds}
        self._servers: dict[Node, Connection] = {}
        self._listeners: list[Callable[[], None]] = []
        self._looking: asyncio.Task[bool] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._stale = False
        self._closed = False
        self.owners: list[Node] | None = None  # by slot; None: nobody has said yet
        self.standings: dict[Node, Standing] = {}
        self.clustered = False
        self.version = 0
        self._reached: dict[Node, Node] = {}  # by the cluster's address

    @property
    def primaries(self) -> list[Node]:
        """Those that hold slots."""
        if not self.clustered:
            return self.owners[:1] if self.owners else []
        return [node for node, standing in self.standings.items() if standing.primary and standing.slots]

    @property
    def nodes(self) -> list[Node]:
        """All that are not known to be lost."""
        if not self.clustered:
            return self.primaries
        return [node for node, standing in self.standings.items() if not standing.failed]

    @property
    def moving(self) -> bool:
        return any(standing.moving for standing in self.standings.values())

    def address(self, node: Node, database: int = 0) -> Address:
        """Of a database of the node, with the operator's login. A node that a tenant's own cluster names lies in a
        private network only where the server does that the operator named: else whoever runs the cluster could send
        us there."""
        known = self._seeds.get(node)
        if known is None:
            private = self._seed.private and self._inside()
            known = msgspec.structs.replace(self._seed, path="", host=node.host, port=node.port, private=private)
        return msgspec.structs.replace(known, database=database)

    def _inside(self) -> bool:
        return any(self._servers[node].inside for node in self._seeds if node in self._servers)

    def server(self, node: Node) -> Connection:
        """The operator's own connection, for what concerns the server itself."""
        connection = self._servers.get(node)
        if connection is None:
            connection = self._servers[node] = Connection(self.address(node))
        return connection

    def listen(self, listener: Callable[[], None]) -> None:
        """It is called whenever something changed, and when the store could not be asked."""
        self._listeners.append(listener)

    def leave(self, listener: Callable[[], None]) -> None:
        self._listeners.remove(listener)

    def moved(self, slot: int, node: Node) -> None:
        """A reply said so: commands follow at once, the whole picture soon."""
        if self.owners is not None and 0 <= slot < SLOTS:
            self.owners[slot] = self.reached(node)
        self.refresh()

    def reached(self, told: Node) -> Node:
        """Where the node is that a reply calls so: it may be known by its name, as certificates want it."""
        return self._reached.get(told, told)

    def refresh(self) -> None:
        """Has the nodes asked, soon."""
        self._stale = True
        if not self._closed and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look_soon())

    async def load(self) -> None:
        """Has the nodes asked now. Raises StoreUnavailable: none answers."""
        if self._looking is not None and not self._looking.done():
            await asyncio.wait([self._looking])
        self.refresh()
        looking = self._looking
        if looking is None or not await asyncio.shield(looking):
            raise StoreUnavailable

    async def _look_soon(self) -> bool:
        loop = asyncio.get_running_loop()
        answered = False
        while self._stale and not self._closed:
            await asyncio.sleep(max(0.0, self._looked_at + SHORTEST - loop.time()))
            self._stale = False
            self._looked_at = loop.time()
            answered = await self._look()
            if not answered:
                self._tell()
        if self.clustered and self._watching is None and not self._closed:
            self._watching = loop.create_task(self._watch())
        return answered

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH)
            self.refresh()

    async def _look(self) -> bool:
        """Whether anybody answered."""
        nodes = [*(node for node in self.standings if node not in self._seeds), *self._seeds]
        asked = {asyncio.ensure_future(self._ask(node)): node for node in nodes}
        done, late = await asyncio.wait(asked, timeout=SLOWEST)
        if late and not any(task.result() is not None for task in done):
            done, late = await asyncio.wait(asked, return_when=asyncio.ALL_COMPLETED)
        for task in late:
            task.cancel()
        # of two names of a node the setting's comes last, and stays
        views = {node: told for task, node in asked.items() if task in done and (told := task.result()) is not None}
        if views:
            self._adopt(views)
        return bool(views)

    async def _ask(self, node: Node) -> list[Standing] | None:
        """What the node says of all; nothing: it is no cluster's. None: it does not answer."""
        server = self.server(node)
        try:
            if not self.clustered and info(await server.call("INFO", "cluster")).get("cluster_enabled") == "0":
                return []
            return standings((await server.call("CLUSTER", "NODES")).decode(), node, by_name=self._seed.tls)
        except StoreUnavailable:
            return None

    def _adopt(self, views: dict[Node, list[Standing]]) -> None:
        standalone = next((node for node, view in views.items() if not view), None)
        if standalone is not None and not self.clustered:
            if self.owners is None:
                self.owners = [next(iter(self._seeds))] * SLOTS
                self._changed()
            return
        found = _agreed(views)
        owners = _owners(found)
        if found == self.standings and owners == self.owners:
            return
        self.clustered = True
        for gone in [node for node in self._servers if node not in found and node not in self._seeds]:
            self._servers.pop(gone).abort()
        self.standings, self.owners = found, owners
        self._reached = {standing.told: node for node, standing in found.items()}
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        self._tell()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()

    async def close(self) -> None:
        self._closed = True
        for task in (self._looking, self._watching):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])
        await asyncio.gather(*(connection.close() for connection in self._servers.values()))
        self._tell()


def standings(text: str, asked: Node, *, by_name: bool = False) -> list[Standing]:
    """The lines of CLUSTER NODES as `asked` tells them, itself first. `by_name`: others are reached by the host names
    they announce, if they do."""
    found: list[Standing] = []
    for line in text.splitlines():
        number, address, flags, primary, _, _, epoch, _, *held = line.split()
        place, *names = address.split(",")
        host, _, port = place.partition("@")[0].rpartition(":")
        told = Node(host or asked.host, int(port))
        marks = flags.split(",")
        if "noaddr" in marks or "handshake" in marks:
            continue
        standing = Standing(
            id=number,
            node=asked
            if "myself" in marks
            else told._replace(host=names[0])
            if by_name and names and names[0]
            else told,
            told=told,
            primary="master" in marks,
            failed="fail" in marks,
            primary_id=primary,
            epoch=int(epoch),
            slots=tuple(_range(part) for part in held if not part.startswith("[")),
            moving=any(part.startswith("[") for part in held),
        )
        found.insert(0 if "myself" in marks else len(found), standing)
    return found


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _agreed(views: dict[Node, list[Standing]]) -> dict[Node, Standing]:
    """Of a node counts what it says of itself, else what was said latest."""
    best: dict[str, Standing] = {}
    for view in views.values():
        for standing in view[1:]:
            known = best.get(standing.id)
            if known is None or standing.epoch > known.epoch:
                best[standing.id] = standing
    for view in views.values():
        if view:
            best[view[0].id] = view[0]
    return {standing.node: standing for standing in sorted(best.values(), key=lambda each: each.id)}


def _owners(found: dict[Node, Standing]) -> list[Node]:
    """By slot. One that nobody has is asked for at any node, which says CLUSTERDOWN."""
    primaries = sorted((each for each in found.values() if each.primary), key=lambda each: each.epoch)
    owners = [primaries[0].node if primaries else next(iter(found))] * SLOTS
    for standing in primaries:
        for first, last in standing.slots:
            owners[first : last + 1] = [standing.node] * (last - first + 1)
    return owners
