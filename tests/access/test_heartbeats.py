"""Workers say that they live; who is gone is not listed."""

from __future__ import annotations

import asyncio
import os

import pytest

from access import heartbeats
from access.heartbeats import Heartbeats
from tenants.valkey import Connection


@pytest.fixture
async def store(valkey_url: str):
    connection = Connection(valkey_url)
    yield connection
    await connection.close()


async def listed(beats: Heartbeats, count: int):
    for _ in range(200):
        found = await beats.listed()
        if len(found) == count:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(found)


async def test_it_lists_the_workers_that_live(store) -> None:
    one = Heartbeats(store, "aa", "1.0", lambda: (3, 2, 1))
    other = Heartbeats(store, "bb", "1.0", lambda: (0, 0, 0))
    one.start()
    other.start()
    first, second = await listed(one, 2)
    assert {first.worker, second.worker} == {"aa", "bb"}
    mine = next(each for each in (first, second) if each.worker == "aa")
    assert (mine.running, mine.waiting, mine.journal_waiting, mine.pid) == (3, 2, 1, os.getpid())
    assert mine.memory > 1_000_000 and mine.version == "1.0"
    await other.stop()
    assert [each.worker for each in await listed(one, 1)] == ["aa"]
    await one.stop()


async def test_who_says_nothing_any_more_is_forgotten(store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "LIFE", 1)
    one = Heartbeats(store, "aa", "1.0", lambda: (0, 0, 0))
    one.start()
    await listed(one, 1)
    assert one._beating is not None
    one._beating.cancel()
    await asyncio.sleep(1.1)
    assert await one.listed() == []
    assert await store.call("SMEMBERS", heartbeats.NAMES) in ([], set())


async def test_a_store_that_is_away_keeps_nobody_from_working() -> None:
    nowhere = Connection("redis://127.0.0.1:1/0")
    beats = Heartbeats(nowhere, "aa", "1.0", lambda: (0, 0, 0))
    beats.start()
    await asyncio.sleep(0.1)
    assert not beats._beating.done()
    await beats.stop()
    await nowhere.close()
