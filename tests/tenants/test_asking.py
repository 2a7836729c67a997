"""Questions to all workers: each answers for itself, and who does not answer is not waited for long."""

from __future__ import annotations

import asyncio
import time

import pytest

from tenants.asking import Asking
from tenants.bus import Bus
from tenants.valkey import Connection


@pytest.fixture
async def workers(valkey_url: str):
    """Two, which hear each other."""
    connections = [Connection(valkey_url), Connection(valkey_url)]
    buses = [Bus(connection, valkey_url) for connection in connections]
    asking = [Asking(bus) for bus in buses]
    for bus in buses:
        bus.start()
        await asyncio.wait_for(bus.ready.wait(), 30)
    yield asking
    for bus, connection in zip(buses, connections, strict=True):
        await bus.stop()
        await connection.close()


async def test_everybody_answers_of_what_they_know(workers) -> None:
    one, other = workers
    one.answers("sum", lambda text: {"one": int(text)})
    other.answers("sum", lambda text: {"other": 2 * int(text)})
    told = await one.ask("sum", "21", workers=2, patience=10)
    assert sorted(map(str, told.values())) == ["{'one': 21}", "{'other': 42}"]
    assert len(await other.ask("sum", "1", workers=2, patience=10)) == 2


async def test_nobody_waits_for_who_is_gone(workers) -> None:
    one, _other = workers
    one.answers("who", lambda text: "here")
    began = time.monotonic()
    told = await one.ask("who", workers=7, patience=0.3)
    assert "here" in told.values() and 0.2 < time.monotonic() - began < 30
    assert await one.ask("who", workers=1) == {one._bus.worker: "here"}
    assert list((await one.ask("nothing anybody knows")).values()) == [None]


async def test_an_answer_that_is_too_long_is_none(workers) -> None:
    one, other = workers
    one.answers("much", lambda text: 1)
    other.answers("much", lambda text: "x" * 600_000)
    told = await one.ask("much", workers=2, patience=10)
    assert sorted(map(str, told.values())) == ["1", "None"]
