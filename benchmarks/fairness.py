"""What a tenant at fifty times its load does to another: `python -m benchmarks.fairness [--seconds N] [--only NAME]`.

One worker has the first core; loads, mock and Valkey share the last, where the flood has the lowest priority. A quiet
tenant asks with two connections, one request after the other on each; a busy one with a hundred, first not at all, then
all at once, and so on by turns, so that what else the machine does weighs on both. Where

* `instance`: both ask for an instance with 8 places, whose answers take 200 ms;
* `worker`: for one with any number, whose answers take 100 ms: a hundred connections want more than one core can do;
* `streams`: the same with answers of 32 chunks.

The ratio is that of the quiet tenant's times beside the flood to those without. Exit 1: its p99 moved by more than 1.2
times, or it was refused once. 2: other programs had the worker's core for more than a tenth of the time, so that its
times are theirs (`wait`)."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Final

import uvloop

from benchmarks import workload
from benchmarks.environment import ROOT, Environment
from benchmarks.load import Result, Target, connect, run
from benchmarks.processes import LOAD_CORE, pin, times

QUIET: Final = 2  # connections
FIFTY: Final = 50  # times as many are the flood's
SLOWER: Final = 1.2
MOST_WAIT: Final = 0.1
PAUSE: Final = 0.05  # seconds a refused connection of the flood waits before it asks again: it does not listen


@dataclass(frozen=True)
class Scene:
    model: str
    delay: float
    stream: bool = False


SCENES: Final = {
    "instance": Scene("limited", 0.2),
    "worker": Scene("open", 0.1),
    "streams": Scene("open", 0.1, stream=True),
}


@dataclass
class Side:
    """One of both: the quiet tenant's seconds, statuses that are no 200, and the flood's answers a second."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    wait: list[float] = field(default_factory=list)

    def add(self, result: Result, wait: float) -> None:
        self.seconds += result.latencies
        self.refused += result.failures
        self.wait.append(wait)

    def quantile(self, q: float) -> float:
        return Result(latencies=self.seconds).quantile(q)


class TwoTenants(Environment):
    rows = "benchmarks.fairness_rows"


def target(port: int, key: str, scene: Scene) -> Target:
    body = workload.openai(scene.model, stream=scene.stream)
    return Target(port, "/v1/chat/completions", {"Authorization": f"Bearer {key}"}, body)


class Flood:
    """In a process of its own, until it is ended."""

    def __init__(self, environment: Environment, name: str) -> None:
        command = [sys.executable, "-m", "benchmarks.fairness", "--flood", name]
        command += ["--port", str(environment.port), "--key", environment.keys["busy"]]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=_yield
        )
        pin(self.process.pid, LOAD_CORE)

    def end(self) -> str:
        """What came of it."""
        said, _ = self.process.communicate(b"", 60)
        return said.decode().strip()


def _yield() -> None:
    os.nice(10)


async def flood(wanted: Target) -> str:
    """Closed loops until standard input ends; whoever is refused asks again at once."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), over.set)
    result = Result()
    opened = [await connect(wanted, result) for _ in range(QUIET * FIFTY)]

    async def ask(first: int) -> None:
        connection, number = opened[first], first
        while not over.is_set():
            refused = result.failures
            await connection.exchange(number)
            number += len(opened)
            if result.failures > refused:
                await asyncio.sleep(PAUSE)

    began = loop.time()
    await asyncio.gather(*map(ask, range(len(opened))))
    rate = sum(result.statuses.values()) / (loop.time() - began)
    return f"{rate:.0f} answers a second to the flood: {dict(result.statuses)}"


async def measure(environment: Environment, scene: Scene, seconds: float, side: Side) -> None:
    before = times(environment.worker)
    result = await run(
        target(environment.port, environment.keys["quiet"], scene), connections=QUIET, seconds=seconds, warmup=2.0
    )
    used = times(environment.worker) - before
    side.add(result, used.waited / (seconds + 2.0))


async def compare(environment: Environment, name: str, seconds: float, rounds: int) -> tuple[bool, bool]:
    """Whether it holds, and whether that can be said."""
    scene = SCENES[name]
    environment.mock.answer(delay=scene.delay)
    alone, beside, said = Side(), Side(), ""
    for _ in range(rounds):
        await measure(environment, scene, seconds, alone)
        flooding = Flood(environment, name)
        try:
            await asyncio.sleep(2.0)
            await measure(environment, scene, seconds, beside)
        finally:
            said = await asyncio.to_thread(flooding.end)
    ratios = {q: beside.quantile(q) / alone.quantile(q) for q in (0.5, 0.99)}
    wait = statistics.median(beside.wait)
    for label, side in (("alone", alone), ("beside", beside)):
        p50, p99 = side.quantile(0.5) * 1e3, side.quantile(0.99) * 1e3
        print(f"{name:9} {label:7} {len(side.seconds):6} answers  p50 {p50:7.1f} ms  p99 {p99:7.1f} ms", end="")
        print(f"  refused {side.refused}  wait {statistics.median(side.wait):.0%}")
    print(f"{'':9} ratio   p50 {ratios[0.5]:.2f}  p99 {ratios[0.99]:.2f}; {said}", flush=True)
    return ratios[0.99] <= SLOWER and not alone.refused and not beside.refused, wait <= MOST_WAIT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each part")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=SCENES)
    parser.add_argument("--flood", choices=SCENES, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--key", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.flood:
        print(uvloop.run(flood(target(asked.port, asked.key, SCENES[asked.flood]))))
        return 0
    holds = known = True
    with TwoTenants() as environment:
        pin(os.getpid(), LOAD_CORE)
        for name in [asked.only] if asked.only else SCENES:
            held, sure = uvloop.run(compare(environment, name, asked.seconds, asked.rounds))
            holds, known = holds and held, known and sure
    return 0 if holds else 1 if known else 2


if __name__ == "__main__":
    sys.exit(main())
