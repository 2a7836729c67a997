"""What metrics cost: counting a turn, a process' word to the others once a second, a page. CPU time, the least of
several runs.

    python -m benchmarks.metrics                                       # 200 tenants, 20 models, 4 workers
    python -m benchmarks.metrics --tenants 20 --models 2 --workers 2   # small

Every worker has counted for every pair of tenant and model. `prometheus_client` renders the same sums beside it. How
long the event loop was held up by a page is the longest of many naps that should have been one millisecond."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from access.metrics import Metrics
from access.metrics.families import FAMILIES
from access.metrics.machine import Machine
from access.metrics.snapshot import Snapshot, Totals, decode, encode, total
from access.metrics.text import render
from engine.types import Usage

NAP = 0.001  # seconds
INSTANCES = 20


def cpu(work: Callable[[], object], times: int, runs: int = 7) -> float:
    """Seconds of one."""
    best = float("inf")
    for _ in range(runs):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return best


def count(metrics: Metrics, tenant: str, model: str, instance: str) -> None:
    """A turn over HTTP with one call."""
    metrics.cache(tenant=tenant, outcome="miss")
    metrics.first_token(instance=instance, model=model, seconds=0.2)
    metrics.call(instance=instance, model=model, error="", seconds=0.9)
    metrics.turn(
        tenant=tenant, model=model, edge="rest", state="completed", ttft=0.2, duration=0.9, usage=Usage(400, 200)
    )
    metrics.spent(tenant=tenant, model=model, cost=1234)
    metrics.guard(edge="rest", verdicts=[], held=(3, 0.001))
    metrics.request("/api/chat", "POST", 200, 0.9)


def filled(tenants: int, models: int) -> Metrics:
    metrics = Metrics(tenants=tenants, names=max(models, INSTANCES))
    for tenant in range(tenants):
        for model in range(models):
            count(metrics, f"tenant-{tenant}", f"model-{model}", f"instance-{model % INSTANCES}")
    return metrics


def told(machine: Machine, metrics: Metrics) -> bytes:
    book = metrics.book
    counts, spreads = book.counted(), book.spreads()
    return encode(Snapshot(id=machine.id, worker=machine.worker, at=time.time(), counts=counts, spreads=spreads))


class Same(Collector):
    """The sums as `prometheus_client` has them."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES.values():
            about = (family.name, family.about)
            if family.kind == "histogram":
                histogram = HistogramMetricFamily(*about, labels=family.labels)
                for key, spread in self._totals.spreads.get(family.name, {}).items():
                    counts, so_far = [], 0.0
                    for bound, number in zip([*map(str, family.bounds), "+Inf"], spread, strict=False):
                        so_far += number
                        counts.append((bound, so_far))
                    histogram.add_metric(key, counts, spread[-1])
                yield histogram
                continue
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            values = kind(*about, labels=family.labels)
            for key, value in self._totals.counts.get(family.name, {}).items():
                values.add_metric(key, value)
            yield values


async def longest_nap(metrics: Metrics, pages: int) -> tuple[float, float]:
    """Seconds: without a page, and while pages are asked for."""
    quiet = await _naps(asyncio.sleep(0.3))

    async def asked() -> None:
        for _ in range(pages):
            await metrics.page("")

    return quiet, await _naps(asked())


async def _naps(work: Coroutine[object, object, None]) -> float:
    task, longest = asyncio.get_running_loop().create_task(work), 0.0
    while not task.done():
        began = time.perf_counter()
        await asyncio.sleep(NAP)
        longest = max(longest, time.perf_counter() - began - NAP)
    await task
    return longest


async def held_up(folder: Path, tenants: int, models: int) -> None:
    metrics = filled(tenants, models)
    metrics.start(folder, "web", "benchmark")
    await metrics.page("")
    quiet, asked = await longest_nap(metrics, 5)
    await metrics.stop()
    print(f"{'event loop held up, no page / pages':40} {quiet * 1e3:9.2f} / {asked * 1e3:.2f} ms")


def measure(tenants: int, models: int, workers: int) -> None:
    metrics = filled(tenants, models)
    pair = iter(range(1 << 60))
    print(f"{tenants} tenants, {models} models, {workers} workers")

    def turn() -> None:
        number = next(pair)
        count(metrics, f"tenant-{number % tenants}", f"model-{number % models}", "instance-0")

    print(f"{'counting a turn':40} {cpu(turn, 20_000) * 1e6:9.2f} µs")
    with tempfile.TemporaryDirectory() as name:
        machines = [Machine(Path(name), "web") for _ in range(workers)]
        for machine in machines:
            machine.join()
            machine.tell(told(machine, metrics))
        said = told(machines[0], metrics)
        print(f"{'a word to the others, once a second':40} {cpu(lambda: told(machines[0], metrics), 20) * 1e3:9.2f} ms")
        print(f"{'':40} {len(said) / 1024:9.0f} KiB")

        def summed() -> Totals:
            machines[0]._read.clear()
            return total([decode(said) or Snapshot(), *machines[0].others()], time.time())

        totals = summed()
        page, _ = render(totals)
        registry = CollectorRegistry()
        registry.register(Same(totals))
        print(f"{'a page: reading and adding':40} {cpu(summed, 2) * 1e3:9.2f} ms")
        print(f"{'a page: as text':40} {cpu(lambda: render(totals), 2) * 1e3:9.2f} ms")
        print(f"{'the same by prometheus_client':40} {cpu(lambda: generate_latest(registry), 2) * 1e3:9.2f} ms")
        print(f"{'':40} {page.count(10):9,} lines, {len(page) / 1024:.0f} KiB")
        asyncio.run(held_up(Path(name), tenants, models))
        for machine in machines:
            machine.leave()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tenants", type=int, default=200)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args()
    measure(arguments.tenants, arguments.models, arguments.workers)


if __name__ == "__main__":
    main()
