"""How the product takes the loss of its journal's database: `python -m benchmarks.journal_outage`.

An instance of its own on PostgreSQL behind a proxy that goes down, or is 5 s slow; then the same with a spool. Prints
the slowest refusal (bound 2.5 s), the answers in the meantime (0 without a spool, all with it), calls of the model, and
the time until it answers again and nothing waits on the disk (bound 5 s). Exit 1: a bound was missed."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from clawdbot_site.selftest.instance import Instance
from clawdbot_site.selftest.model import Model
from clawdbot_site.selftest.postgres import PostgresServer
from clawdbot_site.selftest.proxy import Proxy

TOGETHER = 32
REFUSED_IN = 2.5
BACK_IN = 5.0


@dataclass
class Took:
    status: int
    seconds: float


async def ask(session: aiohttp.ClientSession, stream: bool) -> Took:
    began = time.perf_counter()
    body = {"model": "auto", "stream": stream, "messages": [{"role": "user", "content": "Hello"}]}
    async with session.post("/v1/chat/completions", json=body) as response:
        await response.read()
        return Took(response.status, time.perf_counter() - began)


async def ready(session: aiohttp.ClientSession) -> str:
    async with session.get("/readyz") as response:
        return await response.text()


async def together(session: aiohttp.ClientSession) -> list[Took]:
    return await asyncio.gather(*(ask(session, bool(number % 2)) for number in range(TOGETHER)))


async def outage(
    what: str, instance: Instance, model: Model, begin: Callable[[], None], end: Callable[[], None], spool: bool
) -> bool:
    headers = {"Authorization": f"Bearer {instance.key}"}
    async with aiohttp.ClientSession(instance.url, headers=headers) as session:
        await together(session)
        begin()
        first = await together(session)  # a call that runs already may be among these
        calls = model.calls
        later = [took for _ in range(3) for took in await together(session)]
        called = model.calls - calls
        end()
        since = time.perf_counter()
        while (await ask(session, False)).status != 200:
            await asyncio.sleep(0.05)
        while "degraded" in await ready(session):
            await asyncio.sleep(0.05)
        back = time.perf_counter() - since
    slowest = max(took.seconds for took in [*first, *later])
    answered = sum(took.status == 200 for took in [*first, *later])
    refused = sum(took.status == 503 for took in [*first, *later])
    print(
        f"{what:24} answered {answered:4} refused {refused:4} slowest {slowest:5.2f} s, "
        f"calls of the model afterwards {called:3}, back after {back:5.2f} s",
        flush=True,
    )
    whole = len(first) + len(later)
    if spool:
        return answered == whole
    return answered == 0 and refused == whole and slowest <= REFUSED_IN and back <= BACK_IN and not called


async def measure(folder: Path, server: PostgresServer, proxy: Proxy, spool: bool) -> bool:
    model = Model()
    await model.start()
    name = "spooled" if spool else "strict"
    address = server.database(name).replace(f":{server.port}/", f":{proxy.port}/")
    more = {"JOURNAL_SPOOL": str(folder / "spool")} if spool else {}
    settings = {"MODEL_ENDPOINT": model.url, "MODEL_NAME": "m", "API_KEY": "none", "LOCAL_MODEL": "off"}
    instance = Instance(folder / name, JOURNAL_URL=address, **settings, **more)
    try:
        await asyncio.to_thread(instance.start)
        kept = [
            await outage(f"{name}, down", instance, model, proxy.cut, proxy.mend, spool),
            await outage(
                f"{name}, 5 s slow", instance, model,
                lambda: setattr(proxy, "delay", 5.0), lambda: setattr(proxy, "delay", 0.0), spool,
            ),
        ]  # fmt: skip
        balance = await asyncio.to_thread(instance.manage, "audit", "balance")
        print(balance.stdout.splitlines()[-1 if not spool else -2])
        return all(kept) and balance.returncode == 0
    finally:
        await asyncio.to_thread(instance.stop)
        await model.stop()


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="clawdbot-bench-"))
    server = PostgresServer(folder / "postgres")
    server.start()
    try:
        with Proxy(server.port) as proxy:
            kept = [asyncio.run(measure(folder, server, proxy, spool)) for spool in (False, True)]
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
