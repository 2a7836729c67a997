"""What a second worker costs: `python -m benchmarks.workers [--rate N] [--seconds N] [--rounds N]`.

Two products with everything on, one with one worker and one with two, each with a store and an upstream of its own.
The same load, a fixed rate, goes to one and then to the other, round after round; CPU is the kernel's count for all
processes of the web server. All workers share the first core, so that two of them have no more cache than one; load,
mocks and stores share the last. What two cost more is what each does by itself (signs of life, metrics, leases of
quotas, commits of the journal of half as many turns each) and what they would wait for each other. Exit 1: more than
5 % of CPU a request."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time

import uvloop

from benchmarks.environment import Environment
from benchmarks.gateway import Server, WrongAnswers
from benchmarks.load import run_at_rate
from benchmarks.processes import LOAD_CORE, children, pin, times
from benchmarks.workload import NamedSessions, Talk

MOST = 1.05  # times the CPU a request of one worker
PAUSE = 1.0  # what was begun meanwhile ends
KINDS: dict[str, type[Talk]] = {"/v1, everything on": Talk, "/v1, with a session": NamedSessions}


def _server(environment: Environment) -> Server:
    assert environment.web.pid is not None
    headers = {"Authorization": f"Bearer {environment.keys['full']}"}
    return Server("clawdbot", environment.web.pid, environment.port, environment.mock, headers, "auto")


async def a_request(server: Server, talk: type[Talk], rate: float, seconds: float) -> tuple[float, list[float]]:
    """CPU microseconds of one, and each worker's share of them."""
    before, began = [times(pid).ran for pid in children(server.pid)], times(server.pid)
    target = server.target(talk=talk)
    result = await server.checked(lambda: run_at_rate(target, rate=rate, seconds=seconds))
    await asyncio.sleep(PAUSE)
    used = times(server.pid) - began
    each = [times(pid).ran - was for pid, was in zip(children(server.pid), before, strict=True)]
    return used.ran / len(result.latencies) * 1e6, [part / sum(each) for part in each]


async def idle(server: Server, seconds: float) -> float:
    """Milliseconds of CPU a second, of all its processes, when nobody asks anything."""
    began, before = time.perf_counter(), times(server.pid)
    await asyncio.sleep(seconds)
    return (times(server.pid) - before).ran * 1e3 / (time.perf_counter() - began)


async def compared(one: Server, two: Server, rate: float, seconds: float, rounds: int) -> dict[str, float]:
    """How many times as much a request takes with two, by kind: the median of the rounds' ratios."""
    for server in (one, two):
        await a_request(server, Talk, rate, min(seconds, 2.0))  # what is made once
    print(f"idle: {await idle(one, seconds):.1f} ms of CPU a second with one worker, ", end="")
    print(f"{await idle(two, seconds):.1f} with two", flush=True)
    ratios: dict[str, list[float]] = {name: [] for name in KINDS}
    for number in range(rounds):
        for name, talk in KINDS.items():
            order = (one, two) if number % 2 == 0 else (two, one)
            found = {server.port: await a_request(server, talk, rate, seconds) for server in order}
            (alone, _), (both, shares) = found[one.port], found[two.port]
            ratios[name].append(both / alone)
            said = " and ".join(f"{share:.0%}" for share in shares)
            print(f"{name:24} {alone:7.0f} µs with one, {both:7.0f} with two ({said}): {both / alone:.3f}", flush=True)
    return {name: statistics.median(found) for name, found in ratios.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=6)
    asked = parser.parse_args()
    pin(os.getpid(), LOAD_CORE)
    try:
        with Environment() as one, Environment(WORKERS="2") as two:
            found = uvloop.run(compared(_server(one), _server(two), asked.rate, asked.seconds, asked.rounds))
    except WrongAnswers as reason:
        print(f"The figures do not count. {reason}", file=sys.stderr)
        return 1
    for name, ratio in found.items():
        print(f"{name}: two workers take {ratio:.3f} times the CPU a request of one (aimed at: at most {MOST:g})")
    return 0 if max(found.values()) <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
