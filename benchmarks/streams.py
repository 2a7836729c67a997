"""Thousands of streams open at once in one worker: `python -m benchmarks.streams [--streams N]`.

Conditions as in `benchmarks.gateway`: everything on, the worker on the first core, load and mock on the last. The mock
sends a chunk each two seconds, so that all streams are open at the same time, which `MAX_TURNS` is raised for; in the
end all chunks must have come. Exit 1: an answer was cut or the worker took 300 MiB or more. 2: this machine allows too
few open files."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import time

import uvloop

from benchmarks.environment import Environment
from benchmarks.gateway import CHUNKS, COMPLETIONS
from benchmarks.load import Connection, Result, Target, connect
from benchmarks.processes import LOAD_CORE, pin, resident, times
from benchmarks.workload import openai

MOST = 300.0  # MiB
PACE = 2.0  # seconds between two chunks: with 5,000 streams 2,500 chunks a second
AT_A_TIME = 100  # that begin together
SPARE = 500  # files of a process that are no streams


async def opened(target: Target, result: Result, count: int) -> list[tuple[Connection, asyncio.Task[None]]]:
    """So many connections, each with a stream that has begun to be asked for."""
    found: list[tuple[Connection, asyncio.Task[None]]] = []
    while len(found) < count:
        for _ in range(min(AT_A_TIME, count - len(found))):
            connection = await connect(target, result)
            found.append((connection, asyncio.create_task(connection.exchange(len(found)))))
        await asyncio.sleep(0.1)
    return found


async def measured(environment: Environment, count: int, pace: float) -> tuple[float, Result]:
    """MiB of the worker at its most, and what came."""
    headers = {"Authorization": f"Bearer {environment.keys['full']}"}
    target, result = Target(environment.port, COMPLETIONS, headers, openai(stream=True)), Result()
    await asyncio.gather(*(task for _, task in await opened(target, result, 20)))  # what is made once
    idle = most = resident(environment.worker)
    environment.mock.answer(pace=pace)
    began = time.perf_counter()
    streams = await opened(target, result, count)
    took = time.perf_counter() - began
    together, used, since = 0, times(environment.worker), time.perf_counter()
    while any(not task.done() for _, task in streams):
        together = max(together, sum(not task.done() for _, task in streams))
        most = max(most, resident(environment.worker))
        await asyncio.sleep(0.25)
    ran, seconds = (times(environment.worker) - used).ran, time.perf_counter() - since
    await asyncio.gather(*(task for _, task in streams))
    environment.mock.answer()
    print(f"{count:,} streams, begun within {took:.1f} s, {together:,} open together, {ran / seconds:.0%} of a core")
    print(f"{idle:.1f} MiB before, {most:.1f} MiB at most, {(most - idle) * 1024 / count:.1f} KiB a stream")
    return most, result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=5_000)
    parser.add_argument("--pace", type=float, default=PACE, help="seconds between two chunks")
    asked = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * asked.streams + SPARE  # the worker has two connections a stream
    if needed > hard != resource.RLIM_INFINITY:
        print(f"A process may open {hard} files here (ulimit -Hn), and {needed} are needed.", file=sys.stderr)
        return 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # what is started from here inherits it
    pin(os.getpid(), LOAD_CORE)
    with Environment(MAX_TURNS=str(asked.streams + SPARE)) as environment:
        most, result = uvloop.run(measured(environment, asked.streams, asked.pace))
    whole = result.failures == 0 and result.events >= asked.streams * CHUNKS
    print(f"{len(result.latencies):,} answers, {result.events:,} events, {dict(result.statuses)}")
    print(f"{most:.0f} MiB with {asked.streams:,} open streams (aimed at: less than {MOST:.0f})")
    return 0 if whole and most < MOST else 1


if __name__ == "__main__":
    sys.exit(main())
