"""What is degraded is told, and keeps nobody from sending work."""

import asyncio
import json

from access.health import Health, Held


async def ask(health, path):
    sent = []

    async def send(event):
        sent.append(event)

    await health({"type": "http", "path": path, "method": "GET"}, None, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def holds():
    return True


async def fails():
    return False


async def test_it_tells_what_is_degraded_and_stays_ready():
    waits = [True]
    health = Health(ready={"a": holds}, started={"b": holds}, degraded={"journal_spool": lambda: waits[0]})
    assert await ask(health, "/readyz") == (200, {"status": "ok", "degraded": ["journal_spool"]})
    assert await ask(health, "/startupz") == (200, {"status": "ok"})
    waits[0] = False
    assert await ask(health, "/readyz") == (200, {"status": "ok"})


async def test_it_names_what_failed_beside_what_is_degraded():
    health = Health(ready={"journal": fails, "store": holds}, started={}, degraded={"journal_spool": lambda: True})
    told = {"status": "unavailable", "failed": ["journal"], "degraded": ["journal_spool"]}
    assert await ask(health, "/readyz") == (503, told)


async def test_a_held_probe_is_asked_once_however_many_ask():
    now, asked = [0.0], []

    async def probe():
        asked.append(1)
        await asyncio.sleep(0)
        return len(asked) != 2

    held = Held(probe, 0.5, monotonic=lambda: now[0])
    assert await asyncio.gather(*(held() for _ in range(100))) == [True] * 100
    assert await held()
    assert len(asked) == 1
    now[0] = 0.5
    assert not await held()
    now[0] = 0.9
    assert not await held()
    now[0] = 1.0
    assert await held()
    assert len(asked) == 3


async def test_a_probe_that_hangs_is_asked_once_and_keeps_nobody():
    hangs, asked = asyncio.Event(), []

    async def probe():
        asked.append(1)
        await hangs.wait()
        return True

    health = Health(ready={"store": Held(probe, 60.0)}, started={}, timeout=0.01)
    for _ in range(3):
        assert await ask(health, "/readyz") == (503, {"status": "unavailable", "failed": ["store"]})
    assert (await ask(health, "/livez"))[0] == 200
    hangs.set()
    await asyncio.sleep(0.02)
    assert await ask(health, "/readyz") == (200, {"status": "ok"})
    assert len(asked) == 1


async def test_a_held_probe_that_fails_says_no():
    async def probe():
        raise OSError("gone")

    assert not await Held(probe)()
