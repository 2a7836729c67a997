"""What putting idle sessions away costs the turns: `python -m benchmarks.reclaim [--sessions N] [--rate N] [--s3]`.

Starts the product in a temporary folder, fills a tenant's store with idle sessions of ten messages, and asks at a fixed
rate in rounds: while nothing is put away, then while it is, until all are gone. Then touches some of them, each once.
With `--s3` the archive is a bucket of a SeaweedFS on this machine. Prints the 99th percentiles, their ratio and the
touches."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(tempfile.mkdtemp(prefix="clawdbot-reclaim-")) / "var"
os.environ["VAR_DIR"] = str(FOLDER)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # a few queries, while nobody else uses the loop

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402

from benchmarks.load import Result, Target, run_at_rate  # noqa: E402
from benchmarks.processes import wait_for_port  # noqa: E402
from clawdbot_site.selftest.instance import Instance  # noqa: E402
from clawdbot_site.selftest.ports import free_port  # noqa: E402
from engine.snapshots import Cell  # noqa: E402
from engine.types import Message  # noqa: E402
from sessions_app.layout import Home, idle_member  # noqa: E402
from sessions_app.records import Record  # noqa: E402
from sessions_app.writing import SessionFiles  # noqa: E402
from tenants import keys  # noqa: E402
from tenants.directory import compile_tenants  # noqa: E402
from tenants.isolation import Stores  # noqa: E402
from tenants.models import ApiKey  # noqa: E402

MESSAGES = 10
LOCK = "archiving"
PUT_AWAY = """
import django, sys
django.setup()
from access import archiving
print("ready", flush=True)
sys.stdin.readline()
print(archiving.archive(seconds={seconds}).archived)
"""
TOUCHES = 100


def record() -> Record:
    turn = [Message("user", "x" * 330), Message("assistant", "y" * 600)]
    return Record(version=MESSAGES // 2, last_active=int(time.time()) - 86_400, model="gpt", turns=[turn] * 5)


async def fill(tenant_id: int, user: str, count: int) -> None:
    """Idle sessions of one user in a hundred names, so that they lie in every part of the index."""
    stores = Stores(settings.VALKEY_NODES, Cell(compile_tenants()))
    store, files, content = stores.tenant(tenant_id), SessionFiles(stores), record()
    await store.call("PING")

    async def one(number: int) -> None:
        home, session_id = Home(tenant_id, user if number % 2 else f"{user}:u{number % 99}"), f"idle{number}"
        era = store.era(home.session(session_id))
        await files.put(home, session_id, content, ["t"], era=era, score=content.last_active + number / 1e6)
        await store.call("ZADD", home.idle, content.last_active, idle_member(home.user, session_id))

    for start in range(0, count, 200):
        await asyncio.gather(*(one(number) for number in range(start, min(count, start + 200))))
    await stores.close()


async def hold(held: bool) -> None:
    """Keeps the product's own schedule from putting anything away."""
    stores = Stores(settings.VALKEY_NODES, Cell(compile_tenants()))
    platform = stores.platform()
    await (platform.call("SET", LOCK, "bench", "PX", 3_600_000) if held else platform.call("DEL", LOCK))
    await stores.close()


async def left(tenant_id: int) -> int:
    stores = Stores(settings.VALKEY_NODES, Cell(compile_tenants()))
    store = stores.tenant(tenant_id)
    sizes = [await store.call("ZCARD", f"idle:{{{tenant_id}:{number:02}}}") for number in range(16)]
    await stores.close()
    return sum(sizes)


def target(instance: Instance) -> Target:
    headers = {"Authorization": f"Bearer {instance.key}"}

    def body(number: int) -> bytes:
        return b'{"message":"%d %s","user":"load"}' % (number, b"x" * 320)

    return Target(instance.port, "/api/chat", headers, body)


async def asked(instance: Instance, rate: float, seconds: float) -> Result:
    result = await run_at_rate(target(instance), rate=rate, seconds=seconds)
    if result.failures:
        raise SystemExit(f"not all were answered: {dict(result.statuses)}")
    return result


async def touches(instance: Instance, count: int, first: int) -> list[float]:
    """Seconds of each of so many reads of sessions that are in the archive, one at a time, as the key's own user."""
    import httpx2

    took = []
    async with httpx2.AsyncClient(
        base_url=instance.url, headers={"Authorization": f"Bearer {instance.key}"}, trust_env=False
    ) as client:
        for number in range(first, first + 2 * count, 2):
            began = time.perf_counter()
            answer = await client.get(f"/api/sessions/idle{number}")
            took.append(time.perf_counter() - began)
            if answer.status_code != 200:
                raise SystemExit(f"idle{number}: {answer.status_code} {answer.text}")
    return took


def line(name: str, result: Result, gone: int = 0) -> str:
    p50, p99 = (1000 * result.quantile(q) for q in (0.5, 0.99))
    return f"{name:12} {result.rate:6.0f} turns/s  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  {gone:7} put away"


async def measure(instance: Instance, options: argparse.Namespace) -> None:
    key = ApiKey.objects.everywhere().get(digest=keys.digest(instance.key))
    tenant_id, key_id = key.tenant_id, key.pk
    began = time.perf_counter()
    await hold(True)
    await fill(tenant_id, f"key:{key_id}", options.sessions)
    print(f"{options.sessions} idle sessions made in {time.perf_counter() - began:.0f} s", flush=True)
    await asked(instance, options.rate, 5)
    without: list[Result] = []
    during: list[Result] = []
    total, working = 0, 0.0
    while True:
        without.append(await asked(instance, options.rate, options.seconds))
        print(line("nothing", without[-1]), flush=True)
        await hold(False)
        command = [sys.executable, "-c", PUT_AWAY.format(seconds=options.seconds)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        worker = subprocess.Popen(command, env=instance.environment, text=True, **pipes)
        await asyncio.to_thread(worker.stdout.readline)
        started = time.perf_counter()
        working_for = asyncio.create_task(asyncio.to_thread(worker.communicate, "go\n"))
        during.append(await asked(instance, options.rate, options.seconds))
        gone = int((await working_for)[0])
        await hold(True)
        working += min(options.seconds, time.perf_counter() - started)
        total += gone
        print(line("putting away", during[-1], gone), flush=True)
        if gone < 50:
            break
    ratios = [b.quantile(0.99) / a.quantile(0.99) for a, b in zip(without, during, strict=True)][:-1] or [0.0]
    print(
        f"{total} put away at {total / working:.0f} a second; p99 while that went on, in parts of the p99 without: "
        f"median {statistics.median(ratios):.2f} of {len(ratios)} pairs of rounds"
    )
    took = sorted(await touches(instance, TOUCHES, 1))
    p50, p99 = (1000 * took[int(q * len(took))] for q in (0.5, 0.99))
    print(f"brought back by a touch: p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {1000 * took[-1]:.0f} ms")


@contextlib.contextmanager
def bucket(wanted: bool) -> Iterator[dict[str, str]]:
    if not wanted:
        yield {}
        return
    from tests.services.objects import ObjectServer

    server = ObjectServer(FOLDER.parent / "objects")
    server.start()
    try:
        yield server.environment()
    finally:
        server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=50, help="turns a second")
    parser.add_argument("--seconds", type=float, default=25, help="of a round")
    parser.add_argument("--s3", action="store_true")
    options = parser.parse_args()
    port = free_port()
    model = subprocess.Popen([sys.executable, "-m", "benchmarks.mock_upstream", str(port)])
    wait_for_port(port)
    with bucket(options.s3) as objects:
        endpoint = f"http://127.0.0.1:{port}/v1"
        instance = Instance(FOLDER, MODEL_ENDPOINT=endpoint, MODEL_NAME="gpt", LOCAL_MODEL="off", **objects)
        try:
            instance.start()
            asyncio.run(measure(instance, options))
        finally:
            instance.stop()
            model.terminate()
            model.wait(10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
