"""A cluster's node dies, and the replica that takes over is behind: no acknowledged turn is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import msgspec
import pytest

from engine.errors import StoreUnavailable, Unavailable
from tenants.isolation import Stores
from tests.cast import ALICE
from tests.engine.journal import MemoryJournal
from tests.services.cluster import ValkeyCluster
from tests.sessions_app.conversing import turn
from tests.sessions_app.parts import MemoryPast, sessions

USERS = 12


@pytest.fixture
def cluster(tmp_path):
    cluster = ValkeyCluster(tmp_path, replicas=1)
    yield cluster
    cluster.stop()


async def there(work, seconds=30.0):
    """What `work()` gives once the store is there."""
    until = time.monotonic() + seconds
    while True:
        try:
            return await work()
        except StoreUnavailable:
            assert time.monotonic() < until, "the cluster does not come back"
            await asyncio.sleep(0.05)


async def test_turns_outlive_a_primary_whose_replica_was_behind(cluster, tenants, caplog):
    stores, journal = Stores(cluster.urls, tenants), MemoryJournal()
    store = sessions(stores, tenants, journal, MemoryPast(journal))
    people = [msgspec.structs.replace(ALICE.principal, user=f"user-{number}") for number in range(USERS)]
    answered: dict[str, list[str]] = {person.user: [] for person in people}
    texts = iter(range(10_000))

    async def ask(person):
        text = str(next(texts))
        await turn(store, person, "a", text)
        answered[person.user].append(text)

    async def held(person):
        read = await store.read(person, "a")
        return [message["content"] for message in read["context_stack"] if message["role"] == "user"]

    for _ in range(3):
        await asyncio.gather(*(ask(person) for person in people))
    for replica in cluster.replicas:
        os.kill(replica.pid, signal.SIGSTOP)
    for primary in cluster.primaries:
        primary.ask("CLIENT", "KILL", "TYPE", "REPLICA")  # from here on they hear nothing
    try:
        for _ in range(3):
            await asyncio.gather(*(ask(person) for person in people))
        victim = cluster.primaries[0]
        os.kill(victim.pid, signal.SIGKILL)
    finally:
        for replica in cluster.replicas:
            os.kill(replica.pid, signal.SIGCONT)
    fates = await asyncio.gather(*(ask(person) for person in people), return_exceptions=True)
    assert all(fate is None or isinstance(fate, Unavailable) for fate in fates), fates
    for person in people:
        found = await there(lambda person=person: held(person))
        assert [text for text in found if text in answered[person.user]] == answered[person.user], person.user
        assert len(found) == len(set(found))
    assert "had lost 3 changes" in caplog.text, "the replica was not behind: the test says nothing"
    await there(lambda: asyncio.gather(*(ask(person) for person in people)))
    assert all(len(answered[person.user]) >= 7 for person in people)
    for person in people:
        found = await there(lambda person=person: held(person))
        assert [text for text in found if text in answered[person.user]] == answered[person.user], person.user
    await stores.close()
