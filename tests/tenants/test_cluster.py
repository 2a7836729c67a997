"""The handle on a cluster whose slots move and whose primaries come and go, while it is in use."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
import redis

from engine.errors import StoreUnavailable
from tenants import topology
from tenants.cluster import Cluster
from tenants.isolation import Deployment
from tenants.resp import CommandRefused, Script
from tenants.topology import Node, slot, standings
from tests.services.cluster import SLOTS, ValkeyCluster
from tests.tenants.test_valkey import ECHO, ask_and_cancel

DATABASE = 20
COUNT = Script("redis.call('RPUSH', KEYS[2], ARGV[1]) return redis.call('INCR', KEYS[1])")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    cluster = ValkeyCluster(tmp_path_factory.mktemp("shards"))
    yield cluster
    cluster.stop()


@pytest.fixture
def replicated(tmp_path):
    cluster = ValkeyCluster(tmp_path, replicas=1)
    yield cluster
    cluster.stop()


class Counters:
    """Many tasks that count, each with keys of its own; what was acknowledged is known."""

    def __init__(self, store: Cluster, tasks: int = 40) -> None:
        self.store = store
        self.acknowledged = [0] * tasks
        self.failed = 0
        self.eras: list[set[str]] = [set() for _ in range(tasks)]
        self._stop = False
        self._tasks = [asyncio.create_task(self._count(number)) for number in range(tasks)]

    async def _count(self, number: int) -> None:
        keys = [f"count:{{{number}}}", f"list:{{{number}}}"]
        unsure = 0
        while not self._stop:
            before = self.acknowledged[number]
            try:
                count = await self.store.run(COUNT, keys, before + 1)
                assert before + 1 <= count <= before + 1 + unsure, "no answer is lost, none is somebody else's"
                self.acknowledged[number], unsure = count, 0
                assert await self.store.call("GET", keys[0]) == str(count).encode()
                self.eras[number].add(self.store.era(keys[0]))
            except StoreUnavailable:
                self.failed += 1
                unsure += 1
            await asyncio.sleep(0.002)

    async def go_on(self) -> None:
        """Waits until something failed and all are answered again."""
        deadline = time.monotonic() + 20
        while True:
            before = list(self.acknowledged)
            await asyncio.sleep(0.5)
            if self.failed and all(now > then for now, then in zip(self.acknowledged, before, strict=True)):
                return
            assert time.monotonic() < deadline, "it does not come back"

    async def stop(self) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def kept(self) -> list[int]:
        found = []
        for number in range(len(self.acknowledged)):
            count = int(await self.store.call("GET", f"count:{{{number}}}") or 0)
            assert count == await self.store.call("LLEN", f"list:{{{number}}}")
            found.append(count)
        return found


@pytest.fixture
async def use():
    deployments = []

    def use(cluster: ValkeyCluster, database: int = DATABASE) -> Cluster:
        deployment = Deployment(cluster.urls[:1])
        store = deployment.database(database)
        deployments.append((store, deployment))
        return store

    yield use
    for store, deployment in deployments:
        await store.close()
        await deployment.close()


async def test_of_ten_thousand_cancelled_calls_none_reaches_another_caller(shards, use):
    store = use(shards)

    def disturb(batch: int) -> None:
        links = [node._link for node, _ in store._nodes.values() if node._link is not None]
        if links and batch % 8 == 4:
            links[batch % len(links)].abort()
        elif links and batch % 8 == 6:
            links[batch % len(links)].pause_writing()
            store._loop.call_later(0.002, links[batch % len(links)].resume_writing)

    await store.call("PING")
    cancelled, away = await ask_and_cancel(store, batches=40, size=400, disturb=disturb)
    assert cancelled >= 10_000 and away
    while True:
        try:
            assert await store.run(ECHO, ["k"], "in step") == [b"in step"]
            break
        except StoreUnavailable:
            await asyncio.sleep(0.01)


def test_it_finds_the_slot_of_a_key_as_the_server_does(shards):
    for key in ("a", "session:{1:alice}:x", "{}", "{}x", "a{}b{c}", "a{b}{c}", "x{y", "ü", "{ü}", "", "a}b{c}"):
        assert slot(key) == slot(key.encode()) == shards.primaries[0].ask("CLUSTER", "KEYSLOT", key)


def test_it_reads_what_nodes_say_of_each_other():
    text = (
        "07c3 127.0.0.1:30004@31004,hostname4 slave e7d1 0 1426238317239 4 connected\n"
        "67ed :30002@31002,hostname2 myself,master - 0 0 2 connected 5461-10922 11000 [93->-292f]\n"
        "292f 127.0.0.1:30003@31003 master,fail - 0 1426238318243 3 disconnected 10923-10999\n"
        "6ec2 :0@0 master,noaddr - 0 0 0 disconnected\n"
    )
    me, replica, lost = standings(text, Node("10.0.0.9", 30002))
    assert (me.node, me.primary, me.slots, me.moving) == (
        ("10.0.0.9", 30002),
        True,
        ((5461, 10922), (11000, 11000)),
        True,
    )
    assert (replica.primary, replica.primary_id, replica.node) == (False, "e7d1", ("127.0.0.1", 30004))
    assert (lost.failed, lost.epoch) == (True, 3)
    _, named, nameless = standings(text, Node("10.0.0.9", 30002), by_name=True)
    assert (named.node, named.told) == (("hostname4", 30004), ("127.0.0.1", 30004))
    assert nameless.node == ("127.0.0.1", 30003)


def test_of_two_that_claim_a_slot_the_later_one_has_it():
    old, new = Node("h", 1), Node("h", 2)
    views = {
        old: standings("aa h:1@2 myself,master - 0 0 3 connected 0-16383\nbb h:2@3 slave aa 0 0 3 connected\n", old),
        new: standings(
            "bb h:2@3 myself,master - 0 0 7 connected 0-16383\naa h:1@2 master,fail - 0 0 3 connected\n", new
        ),
    }
    assert set(topology._owners(topology._agreed(views))) == {new}


async def test_it_reaches_a_node_by_the_name_it_was_given(shards):
    """Also where the cluster calls it by another, and both are asked."""
    named = [url.replace("127.0.0.1", "localhost") for url in shards.urls]
    deployment = Deployment([named[0], shards.urls[0]])
    store = deployment.database(DATABASE)
    await asyncio.gather(*(store.send("SET", f"k{number}", number) for number in range(100)))
    changes = deployment.topology.version
    for _ in range(5):
        await deployment.topology.load()
    assert deployment.topology.version == changes, "its names do not take turns"
    assert await store.unlink([f"k{number}" for number in range(100)]) == 100
    await store.close()
    await deployment.close()


async def test_it_refuses_keys_of_several_slots_in_one_script(use, shards):
    with pytest.raises(CommandRefused, match="store"):
        await use(shards).run(COUNT, ["count:{a}", "count:{b}"], 1)


async def test_it_follows_slots_that_move_at_once_and_key_by_key(use, shards):
    """To a node that was added, and back before it is removed; two ways of moving."""
    store = use(shards)
    counters = Counters(store)
    await asyncio.sleep(0.3)
    added = await asyncio.to_thread(shards.add)
    first = shards.primaries[0]
    await asyncio.to_thread(move_at_once, first, added, 0, 2000)
    await asyncio.to_thread(move_by_key, shards, first, added, [slot(f"{{{number}}}") for number in range(40)])
    scanned = {name async for names in store.scan(20) for name in names}
    assert scanned == {f"{what}:{{{number}}}" for what in ("count", "list") for number in range(40)}
    await asyncio.sleep(0.3)
    held = of_database(added, "DBSIZE")
    await asyncio.to_thread(give_all_back, shards, added, first)
    await asyncio.sleep(0.2)
    await asyncio.to_thread(shards.remove, added)
    await asyncio.sleep(0.5)
    await counters.stop()
    assert counters.failed == 0
    assert await counters.kept() == counters.acknowledged
    assert min(counters.acknowledged) > 50 and held >= 4
    assert await store.call("GET", "count:{1}")


async def test_it_follows_a_failover_somebody_asked_for(use, replicated):
    store = use(replicated)
    counters = Counters(store)
    await asyncio.sleep(0.5)
    before = [set(eras) for eras in counters.eras]
    await asyncio.to_thread(replicated.replicas[0].ask, "CLUSTER", "FAILOVER")
    await until_primary(replicated.replicas[0])
    await asyncio.sleep(2)
    await counters.stop()
    assert counters.failed == 0
    kept = await counters.kept()
    assert all(count >= known for count, known in zip(kept, counters.acknowledged, strict=True))
    moved = [number for number in range(40) if counters.eras[number] != before[number]]
    assert len(moved) >= 5, "keys of the shard that failed over are in another era"
    assert all(len(counters.eras[number]) == 2 for number in moved)


async def test_a_primary_that_is_killed_costs_seconds_and_no_wrong_answer(use, replicated):
    store = use(replicated)
    counters = Counters(store)
    await asyncio.sleep(0.5)
    victim = replicated.primaries[1]
    await asyncio.to_thread(victim.kill)
    await counters.go_on()
    await counters.stop()
    assert counters.failed > 0
    kept = await counters.kept()
    behind = [known - count for count, known in zip(kept, counters.acknowledged, strict=True)]
    assert all(count <= 0 for count in behind) or max(behind) < 50, "only what replication had not carried yet"
    moved = [number for number in range(40) if len(counters.eras[number] - {""}) == 2]
    assert len(moved) >= 5


async def test_it_tells_another_era_when_a_primary_is_promoted_again(use, replicated):
    """There and back: the node was primary before, and what was written meanwhile may be missing on it."""
    store = use(replicated)
    first, second = replicated.primaries[0], replicated.replicas[0]
    key = next(f"k{number}" for number in range(1000) if slot(f"k{number}") < SLOTS // 3)
    eras = []
    for node in (None, second, first):
        if node is not None:
            await asyncio.to_thread(node.ask, "CLUSTER", "FAILOVER")
            await until_primary(node)
        with suppress(StoreUnavailable):
            await store.call("SET", key, 1)
        await asyncio.sleep(1.5)
        await store.call("GET", key)
        eras.append(store.era(key))
    assert len(set(eras)) == 3 and "" not in eras


async def test_it_fails_at_once_while_no_node_answers(tmp_path, monkeypatch):
    monkeypatch.setattr("tenants.cluster.PATIENCE", 60.0)  # which a command has that a node would not carry out yet
    deployment = Deployment(["redis://127.0.0.1:1", "redis://127.0.0.1:2"])
    store = deployment.database(3)
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.call("GET", "a")
        assert time.monotonic() - began < 30
        assert store.era("a") == ""
    await store.close()
    await deployment.close()


async def until_primary(node) -> None:
    for _ in range(200):
        if (await asyncio.to_thread(node.info, "replication"))["role"] == "master":
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it is not promoted")


def move_at_once(source, target, first, last) -> None:
    source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", first, last, "NODE", target.id)
    for _ in range(500):
        if _owns(target, first):
            return
        time.sleep(0.02)
    raise AssertionError("the slots did not move")


def _owns(node, number) -> bool:
    mine = next(line for line in node.ask("CLUSTER", "NODES").decode().splitlines() if "myself" in line)
    ranges = [part.partition("-") for part in mine.split()[8:] if not part.startswith("[")]
    return any(int(low) <= number <= int(high or low) for low, _, high in ranges)


def move_by_key(cluster, source, target, slots) -> None:
    for number in slots:
        if not _owns(source, number):
            continue
        target.ask("CLUSTER", "SETSLOT", number, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", number, "MIGRATING", target.id)
        time.sleep(0.05)
        while keys := of_database(source, "CLUSTER", "GETKEYSINSLOT", number, 1):
            of_database(source, "MIGRATE", "127.0.0.1", target.port, keys[0], DATABASE, 1000)
            time.sleep(0.02)
        for node in (target, source, *cluster.nodes):
            node.ask("CLUSTER", "SETSLOT", number, "NODE", target.id)


def of_database(node, *words):
    with redis.Redis(unix_socket_path=str(node.socket), single_connection_client=True) as client:
        client.execute_command("SELECT", DATABASE)
        return client.execute_command(*words)


def give_all_back(cluster, source, target) -> None:
    mine = next(line for line in source.ask("CLUSTER", "NODES").decode().splitlines() if "myself" in line)
    for part in mine.split()[8:]:
        low, _, high = part.partition("-")
        move_at_once(source, target, int(low), int(high or low))
