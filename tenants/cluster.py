"""A store on a cluster: one auto-pipelining connection a node, commands sent to the node that holds their key's slot.

A numbered database of a cluster (Valkey 9, `cluster-databases`) is selected on each of them; that is what the usual
clients refuse to do. A standalone server looks like a cluster of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from engine.errors import StoreUnavailable
from tenants.addresses import Address
from tenants.resp import Again, Reply, Script, Sent, Word, Words, fail, pack
from tenants.topology import ANY, Node, Standing, Topology, slot
from tenants.valkey import MAX_WAITING, Connection, Login

PATIENCE: Final = 2.0  # seconds in which a command that no node has carried out yet is sent again
PAUSE: Final = 0.025  # before it is sent again to a node that is not ready for it
HOPS: Final = 5  # redirections without a pause
NOT_READY: Final = ("TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY")

Grant = Callable[[Node], Awaitable[Login]]


class Cluster:
    """A handle, see `tenants.handles.Store`. `login` is another user than the operator's, `grant` sees to it that a
    node knows it.

    What was under way when a node's connection broke fails with StoreUnavailable, though it may have been carried out;
    what a node said it did not carry out (MOVED, ASK, TRYAGAIN, …) is sent again for at most two seconds. While slots
    move, commands nobody waited for between may change places."""

    def __init__(
        self,
        topology: Topology,
        *,
        database: int = 0,
        grant: Grant | None = None,
    ) -> None:
        self._topology = topology
        self._database = database
        self._grant = grant
        self._nodes: dict[Node, tuple[_NodeConnection, Standing | None]] = {}
        self._parked: list[tuple[asyncio.Future[Reply], Sent]] = []  # until it is known who holds what
        self._eras: dict[Node, str] = {}  # of nodes whose connection was given up, until the next one tells
        self._paused = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        topology.listen(self._topology_changed)

    @property
    def idle(self) -> bool:
        return not self._parked and not self._paused and all(node.idle for node, _ in self._nodes.values())

    def send(self, *words: Word) -> asyncio.Future[Reply]:
        """`words[1]` is the key; a command without one goes to any node."""
        loop = self._own_loop()
        future = loop.create_future()
        sent = Sent(pack(words), None, slot(words[1]) if len(words) > 1 else ANY, loop.time() + PATIENCE)
        self._route(future, sent)
        return future

    async def call(self, *words: Word) -> Reply:
        return await self.send(*words)

    def run(self, script: Script, keys: Sequence[Word], *arguments: Word) -> asyncio.Future[Reply]:
        loop = self._own_loop()
        future = loop.create_future()
        rest = (len(keys), *keys, *arguments)
        whole: Words = ("EVAL", script.source, *rest)
        place = slot(keys[0]) if keys else ANY
        self._route(future, Sent(pack(("EVALSHA", script.digest, *rest)), whole, place, loop.time() + PATIENCE))
        return future

    def era(self, key: str) -> str:
        owners = self._topology.owners
        if owners is None:
            return ""
        node = owners[slot(key)]
        known = self._nodes.get(node)
        return (known[0].era(key) if known is not None else "") or self._eras.get(node, "")

    async def scan(self, count: int = 1_000, match: str = "*") -> AsyncIterator[list[str]]:
        """Over all nodes. While slots move it looks twice: a key that moved behind its back the first time is where it
        went the second time."""
        self._own_loop()
        for again in (False, True):
            await self._topology.load()
            before, moving = self._topology.version, self._topology.moving
            for node in self._topology.primaries:
                async for names in self._node(node).scan(count, match):
                    yield names
            await self._topology.load()
            if again or not (moving or self._topology.moving or self._topology.version != before):
                return

    async def values(self, keys: Sequence[str]) -> list[bytes | None]:
        return list(await asyncio.gather(*(self.send("GET", key) for key in keys)))

    async def unlink(self, keys: Sequence[str]) -> int:
        return sum(await asyncio.gather(*(self.send("UNLINK", key) for key in keys)))

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _route(self, future: asyncio.Future[Reply], sent: Sent) -> None:
        owners = self._topology.owners
        if self._closed:
            fail(future, StoreUnavailable())
        elif owners is not None:
            self._node(owners[sent.slot] if sent.slot != ANY else self._anyone()).enqueue(sent.payload, future, sent)
        elif len(self._parked) < MAX_WAITING:
            self._parked.append((future, sent))
            self._topology.refresh()
        else:
            fail(future, StoreUnavailable())

    def _anyone(self) -> Node:
        """A node that can be reached, if one is known."""
        owners, primaries = self._topology.owners, self._topology.primaries
        connected = (node for node in primaries if node in self._nodes and self._nodes[node][0].connected)
        return next(connected, None) or (primaries[0] if primaries else owners[0])  # type: ignore[index]

    def _node(self, node: Node) -> _NodeConnection:
        known = self._nodes.get(node)
        if known is not None:
            return known[0]
        connection = _NodeConnection(self, node)
        self._nodes[node] = (connection, self._topology.standings.get(node))
        return connection

    def address_of(self, node: Node) -> Address:
        return self._topology.address(node, self._database)

    async def prepare(self, node: Node) -> Login | None:
        return await self._grant(node) if self._grant is not None else None

    def node_lost(self) -> None:
        self._topology.refresh()

    def _topology_changed(self) -> None:
        """Sends on what waited for it. A connection to a node that was promoted, demoted or left is given up: the next
        one reads the node's era anew, before anything is sent."""
        standings = self._topology.standings
        for node, (connection, standing) in list(self._nodes.items()):
            now = standings.get(node)
            if not _same(standing, now):
                del self._nodes[node]
                self._eras[node] = connection.era("")
                self._retire(connection)
        parked, self._parked = self._parked, []
        for future, sent in parked:
            if self._topology.owners is None:
                fail(future, StoreUnavailable())
            else:
                self._route(future, sent)

    def _retire(self, connection: _NodeConnection) -> None:
        task = asyncio.get_running_loop().create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def again(self, node: Node, future: asyncio.Future[Reply], sent: Sent, reply: str) -> bool:
        """Sends a command again that a node has not carried out. False: it is not to be."""
        kind, _, rest = reply.partition(" ")
        if kind == "NOSCRIPT" and sent.fallback is not None:
            sent.payload, sent.fallback = pack(sent.fallback), None
            self._route(future, sent)
            return True
        if not self._topology.clustered or self._own_loop().time() >= sent.until:
            return False
        sent.hops += 1
        if kind in ("MOVED", "ASK"):
            number, _, place = rest.partition(" ")
            host, _, port = place.partition(" ")[0].rpartition(":")
            to = Node(host or node.host, int(port))
            if kind == "MOVED":
                self._topology.moved(int(number), to)
                self._pause(future, sent) if sent.hops > HOPS else self._route(future, sent)
            else:
                target = self._node(self._topology.reached(to))
                target.enqueue(pack(("ASKING",)), self._own_loop().create_future(), None)
                target.enqueue(sent.payload, future, sent)
            return True
        if kind in NOT_READY:
            if kind != "TRYAGAIN":
                self._topology.refresh()
            self._pause(future, sent)
            return True
        return False

    def _pause(self, future: asyncio.Future[Reply], sent: Sent) -> None:
        if self._paused >= MAX_WAITING:
            fail(future, StoreUnavailable())
            return
        self._paused += 1
        self._own_loop().call_later(PAUSE, self._resume, future, sent)

    def _resume(self, future: asyncio.Future[Reply], sent: Sent) -> None:
        self._paused -= 1
        if not future.done():
            self._route(future, sent)

    async def close(self) -> None:
        """Waits (at most 2 s) for what was sent, then closes; from then on every command fails."""
        self._closed = True
        self._topology.leave(self._topology_changed)
        parked, self._parked = self._parked, []
        for future, _ in parked:
            fail(future, StoreUnavailable())
        await asyncio.gather(*(node.close() for node, _ in self._nodes.values()), *self._closing)


class _NodeConnection(Connection):
    def __init__(self, cluster: Cluster, node: Node) -> None:
        super().__init__(cluster.address_of(node), prepare=lambda: cluster.prepare(node))
        self._cluster = cluster
        self._node = node

    def again(self, future: asyncio.Future[Reply], again: Again, reply: str) -> bool:
        if isinstance(again, Sent):
            return self._cluster.again(self._node, future, again, reply)
        return super().again(future, again, reply)

    def unreachable(self) -> None:
        self._cluster.node_lost()


def _same(before: Standing | None, now: Standing | None) -> bool:
    """Whether a node is what it was, as to what it may have lost."""
    if before is None or now is None:
        return before is now
    return (before.id, before.primary, before.epoch) == (now.id, now.primary, now.epoch)
