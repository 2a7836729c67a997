"""What is degraded is told, and keeps nobody from sending work."""

import json

from access.health import Health


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
