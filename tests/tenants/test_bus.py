"""Words between workers."""

from __future__ import annotations

import asyncio

import pytest

from tenants.bus import Bus
from tests.tenants.test_valkey import Connection


@pytest.fixture
async def buses(valkey_url):
    connection = Connection(f"{valkey_url}?db=0")
    pair = [Bus(connection, valkey_url), Bus(connection, valkey_url)]
    yield pair
    for bus in pair:
        await bus.stop()
    await connection.close()


async def listening(*buses):
    heard = []
    for bus in buses:
        queue = asyncio.Queue()
        bus.on("wake", queue.put_nowait)
        bus.start()
        await asyncio.wait_for(bus.ready.wait(), 30)
        heard.append(queue)
    return heard


async def test_it_tells_every_worker(buses):
    first, second = await listening(*buses)
    buses[0].tell("wake", "turn 1")
    assert await asyncio.wait_for(first.get(), 30) == await asyncio.wait_for(second.get(), 30) == "turn 1"


async def test_it_tells_one_worker(buses):
    first, second = await listening(*buses)
    buses[0].tell("wake", "yours", buses[1].worker)
    buses[0].tell("wake", "mine", buses[0].worker)
    buses[0].tell("unknown", "nobody's")
    buses[0].tell("wake", "all")
    assert [await asyncio.wait_for(second.get(), 30) for _ in range(2)] == ["yours", "all"]
    assert [await asyncio.wait_for(first.get(), 30) for _ in range(2)] == ["mine", "all"]


async def test_it_listens_at_another_node_where_one_is_away(valkey_url, monkeypatch):
    monkeypatch.setattr("tenants.bus.PAUSE", 0.01)
    connection = Connection(f"{valkey_url}?db=0")
    bus, heard = Bus(connection, "redis://127.0.0.1:1", valkey_url), []
    bus.on("word", heard.append)
    bus.start()
    async with asyncio.timeout(30):
        await bus.ready.wait()
        bus.tell("word", "hello")
        while not heard:
            await asyncio.sleep(0.01)
    assert heard == ["hello"]
    await bus.stop()
    await connection.close()
