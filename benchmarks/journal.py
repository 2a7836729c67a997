"""What the journal costs: `python -m benchmarks.journal [seconds] [postgresql]` prints CPU a turn (two durable entries)
and latency, on SQLite or on a PostgreSQL server of its own, whose CPU is not counted.

CPU is the whole process (uvloop, writer thread), so it includes the tasks that play the turns; the line `bare` is
the same loop over futures that are resolved at once, to be subtracted."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("VAR_DIR", tempfile.mkdtemp(prefix="clawdbot-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

from clawdbot_site.selftest.postgres import PostgresServer  # noqa: E402

SERVER = PostgresServer(Path(os.environ["VAR_DIR"]) / "postgres")
if "postgresql" in sys.argv[1:]:
    SERVER.start()
    os.environ["JOURNAL_URL"] = SERVER.database("journal")

import django  # noqa: E402
import uvloop  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from compliance.journal.opening import open_journal  # noqa: E402
from compliance.sealing.sealer import Sealer  # noqa: E402
from engine.entries import Claim, Completion, Intent  # noqa: E402
from engine.snapshots import Cell  # noqa: E402
from engine.turn import new_turn_id  # noqa: E402
from engine.types import Choice, Message, Usage  # noqa: E402
from tenants.keyring import TenantKeys  # noqa: E402

QUESTION = [Message(role="user", content="x" * 330)]
ANSWER = [Choice(message=Message(role="assistant", content="y" * 600), finish_reason="stop")]


class Bare:
    def intent(self, intent: Intent, claim: Claim | None = None) -> asyncio.Future[None]:
        return self.completion(intent)

    def completion(self, entry: object) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        return future


def entries(session: bool) -> tuple[Intent, Completion]:
    now = time.time()
    turn, named = new_turn_id(now), "s-" + os.urandom(8).hex() if session else None
    intent = Intent(
        turn_id=turn, tenant_id=1, at=now, edge="openai", request_id="req-" + turn, subject="key:1", user="key:1",
        key_id=1, session_id=named, instance="mock", rules=["small"], messages=QUESTION,
        decision={"candidates": [{"instance": "mock", "weight": 60, "score": 1.0}], "features": {"max_tokens": 100}},
    )  # fmt: skip
    completion = Completion(
        turn_id=turn, tenant_id=1, at=now, state="completed", session_id=named, model="mock", instance="mock",
        choices=ANSWER, usage=Usage(prompt_tokens=80, completion_tokens=150), ttft=0.01, duration=0.02,
    )  # fmt: skip
    return intent, completion


async def run(journal: object, clients: int, seconds: float, session: bool) -> tuple[int, list[float], float]:
    turns, waits = 0, []
    samples = [entries(session) for _ in range(30_000)]
    until = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal turns
        while time.perf_counter() < until and turns < len(samples):
            intent, completion = samples[turns]
            turns += 1
            began = time.perf_counter()
            await journal.intent(intent)  # type: ignore[attr-defined]
            waits.append(time.perf_counter() - began)
            await journal.completion(completion)  # type: ignore[attr-defined]

    before = time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    return turns, waits, (time.process_time() - before) / turns * 1e6


async def run_at(journal: object, rate: int, seconds: float) -> tuple[int, list[float], float]:
    """Turns that begin evenly spread, each with 20 ms of model between its entries: batches as a gateway has them."""
    samples = [entries(False) for _ in range(int(rate * seconds))]
    waits: list[float] = []

    async def turn(intent: Intent, completion: Completion) -> None:
        began = time.perf_counter()
        await journal.intent(intent)  # type: ignore[attr-defined]
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
        await journal.completion(completion)  # type: ignore[attr-defined]

    before, start, tasks = time.process_time(), time.perf_counter(), []
    for number, (intent, completion) in enumerate(samples):
        if (ahead := start + number / rate - time.perf_counter()) > 0.0005:
            await asyncio.sleep(ahead)
        tasks.append(asyncio.create_task(turn(intent, completion)))
    await asyncio.gather(*tasks)
    return len(samples), waits, (time.process_time() - before) / len(samples) * 1e6


async def measure(seconds: float) -> None:
    journal = JOURNAL
    await journal.start()
    for clients in (1, 16, 64, 256):
        for session in (False, True):
            _, _, bare = await run(Bare(), clients, seconds, session)
            turns, waits, cost = await run(journal, clients, seconds, session)
            show(f"clients {clients:4} session {session!s:5}", turns, waits, cost, bare)
    for rate in (100, 500, 1000, 2000):
        _, _, bare = await run_at(Bare(), rate, seconds)
        turns, waits, cost = await run_at(journal, rate, seconds)
        show(f"turns a second {rate:4}", turns, waits, cost, bare)
    await journal.stop()


def show(what: str, turns: int, waits: list[float], cost: float, bare: float) -> None:
    waits.sort()
    print(
        f"{what:27} turns {turns:7} CPU us/turn {cost:6.1f} (bare {bare:5.1f}) "
        f"intent ms p50 {statistics.median(waits) * 1e3:.2f} p99 {waits[int(len(waits) * 0.99)] * 1e3:.2f}"
    )


if __name__ == "__main__":
    call_command("migrate", database="journal", verbosity=0, skip_checks=True)
    JOURNAL = open_journal(Sealer(Cell({1: TenantKeys.fresh()})))
    numbers = [float(word) for word in sys.argv[1:] if word != "postgresql"]
    try:
        uvloop.run(measure(numbers[0] if numbers else 3.0))
    finally:
        SERVER.kill()
    print("file", sum(p.stat().st_size for p in Path(os.environ["VAR_DIR"]).rglob("journal*")) >> 20, "MiB")
