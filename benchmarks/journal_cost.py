"""What the strict journal costs a request: `python -m benchmarks.journal_cost [--journal-url URL] [--rounds 9]`.

The whole application in one process (as `benchmarks.inprocess`), everything on, with its journal and with one that
keeps nothing, in turn, round after round, so that who else uses the machine bears on both alike. Throughput: as fast
as it goes, 32 requests at a time. Latency: the median, one after the other with a pause between, on one connection and
on four. On four, turns that waited for the same commit go on together, and with one core one behind the other: that is
in the figure. The bounds are 15 % and 3 ms."""

from __future__ import annotations

import argparse
import asyncio
import operator
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

if "--journal-url" in sys.argv:  # before the settings are read
    os.environ["JOURNAL_URL"] = sys.argv[sys.argv.index("--journal-url") + 1]

import uvloop

from benchmarks import workload  # isort: skip
from benchmarks.inprocess import TOGETHER, Caller, prepared, started  # isort: skip
from clawdbot_site.wiring import Application
from engine.entries import Claim, Completion, Intent, Partial
from engine.ports import Journal

BATCH = 640
PAUSE = 0.01
CONNECTIONS = (1, 4)
Work = Callable[[int], Awaitable[object]]


class NullJournal:
    """Keeps nothing; everything is durable at once."""

    healthy = True

    def intent(self, intent: Intent, claim: Claim | None = None) -> asyncio.Future[None]:
        return self._done()

    def completion(self, completion: Completion) -> asyncio.Future[None]:
        return self._done()

    def partial(self, partial: Partial) -> None: ...

    @staticmethod
    def _done() -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


def use(application: Application, journal: Journal) -> None:
    engine = application.engine
    engine.journal = journal
    for part in (engine.caller, engine.endings, engine.checkpoints):
        part._journal = journal


async def throughput(works: list[Work]) -> float:
    """Requests a second."""
    numbers = iter(range(BATCH))

    async def worker(work: Work) -> None:
        for number in numbers:
            await work(number)

    began = time.perf_counter()
    await asyncio.gather(*map(worker, works))
    return BATCH / (time.perf_counter() - began)


async def latency(works: list[Work]) -> float:
    """Milliseconds, the median."""
    waits: list[float] = []

    async def worker(work: Work) -> None:
        for number in range(40):
            began = time.perf_counter()
            await work(number)
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE)

    await asyncio.gather(*map(worker, works))
    return statistics.median(waits) * 1e3


async def measure(application: Application, key: str, rounds: int, stream: bool) -> None:
    talk = workload.openai(stream=True) if stream else workload.openai()
    works = [Caller(application.app, "/v1/chat/completions", key, workload.Talk(talk)).ask for _ in range(TOGETHER)]
    kinds: dict[str, Journal] = {"strict": application.journal, "off": NullJournal()}
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    waits: dict[tuple[str, int], list[float]] = {(name, count): [] for name in kinds for count in CONNECTIONS}
    for number in range(rounds + 1):
        for name, journal in kinds.items():
            use(application, journal)
            rate = await throughput(works)
            found = [(count, await latency(works[:count])) for count in CONNECTIONS]
            if number:  # the first one warms up
                rates[name].append(rate)
                for count, wait in found:
                    waits[name, count].append(wait)
    use(application, application.journal)
    loss = statistics.median(1 - strict / off for strict, off in zip(rates["strict"], rates["off"], strict=True))
    for name in kinds:
        medians = ", ".join(f"{statistics.median(waits[name, count]):.2f} ms on {count}" for count in CONNECTIONS)
        rate = f"{statistics.median(rates[name]):8.0f} requests/s (best {max(rates[name]):.0f})"
        print(f"{name:7} {rate}   p50 {medians}")
    more = ", ".join(
        f"{statistics.median(map(operator.sub, waits['strict', count], waits['off', count])):+.2f} ms on {count}"
        for count in CONNECTIONS
    )
    best = 1 - max(rates["strict"]) / max(rates["off"])
    print(
        f"{'stream' if stream else 'plain'}: throughput {loss:+.1%} lost (of the best rounds {best:+.1%}), p50 {more}",
        flush=True,
    )


async def run(application: Application, key: str, rounds: int) -> None:
    async with started(application):
        for stream in (False, True):
            await measure(application, key, rounds, stream)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--journal-url", help="another database than SQLite in a temporary folder; it is migrated")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    with prepared() as (application, keys):
        uvloop.run(run(application, keys["full"], asked.rounds))


if __name__ == "__main__":
    main()
