"""What idle and misbehaving WebSockets do to everybody else: `python -m benchmarks.idle_sockets [--sockets N]`.

One worker with everything on has the first core; load, clients, mock and Valkey share the last. A measurement is turns
a second of `/api/chat` (32 at a time), the worker's CPU for one of them, the median of one `/api/chat` at a time, and
of turns on one busy socket. It is taken without the others, with them, and without them again; the ratio is that of
the second to the mean of the first and the third, so that what else the machine does weighs on all. `wait` is the time
the worker was ready to run while another program had its core; where that is above a third, rates and times are of
that program, and the CPU alone is judged. Exit 1: something slowed by more than half, or 1,000 idle sockets took 64 MiB
or more. 2: this machine allows too few open files."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import IO, Final

import uvloop
from websockets.asyncio.client import connect

from benchmarks import workload
from benchmarks.environment import ROOT, Environment
from benchmarks.load import Target, run
from benchmarks.processes import LOAD_CORE, pin, resident, times
from benchmarks.workload import GivenSessions

CONNECTIONS: Final = 32
TURNS: Final = 12.0  # a second on the busy socket
MOST_MEMORY: Final = 64.0  # MiB for 1,000 idle sockets
SLOWER: Final = 1.5
MOST_WAIT: Final = 1 / 3
SPARE: Final = 500  # files of a process that are no sockets of the herd
BAD: Final = ("flood", "fragments", "junk", "large", "knock", "slow")


@dataclass
class Figures:
    """Turns a second; microseconds of CPU for one of them; milliseconds; a share of the time."""

    rate: float
    cpu: float
    chat: float
    socket: float
    wait: float

    def slower(self, before: Figures, after: Figures) -> dict[str, float]:
        """How many times worse than the mean of the two."""
        mine, one, other = asdict(self), asdict(before), asdict(after)
        ratios = {name: 2 * mine[name] / (one[name] + other[name]) for name in mine if name != "wait"}
        return {**ratios, "rate": 1 / ratios["rate"]}

    @property
    def fair(self) -> bool:
        return self.wait < MOST_WAIT


class Herd:
    """Clients in a process of their own, on the load's core."""

    def __init__(self, environment: Environment, kind: str, count: int) -> None:
        key = environment.keys["full" if kind == "idle" else "plain"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.socket_clients", kind, str(environment.port), key, str(count)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        pin(self.process.pid, LOAD_CORE)

    def wait(self) -> None:
        if self._line() != "open":
            raise RuntimeError("the clients could not connect; the reason is above")

    def end(self) -> str:
        """How often one of them opened again."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._line()
        self.process.wait(60)
        return self.said

    def _line(self) -> str:
        output: IO[str] | None = self.process.stdout
        assert output is not None
        word, _, self.said = output.readline().strip().partition(" ")
        return word


async def on_a_socket(port: int, key: str, seconds: float) -> float:
    """The median of turns on one socket, in seconds; at a pace that no limit minds."""
    body, found = workload.rest("auto"), []
    async with connect(f"ws://127.0.0.1:{port}/ws/chat", subprotocols=["bearer", key], proxy=None) as socket:  # type: ignore[list-item]
        for number in range(int(seconds * TURNS)):
            began = time.perf_counter()
            await socket.send(json.dumps({**json.loads(body(number)), "type": "chat", "ref": number}))
            while (kind := json.loads(await socket.recv())["type"]) != "done":
                if kind == "error":
                    raise RuntimeError("a measured turn failed")
            found.append(time.perf_counter() - began)
            await asyncio.sleep(max(0.0, 1 / TURNS - found[-1]))
    return statistics.median(found)


async def measure(environment: Environment, seconds: float) -> Figures:
    key = environment.keys["full"]
    headers = {"Authorization": f"Bearer {key}"}
    target = Target(environment.port, "/api/chat", headers, workload.rest("auto"), talk=GivenSessions)
    alone = await run(target, connections=1, seconds=seconds)
    socket = await on_a_socket(environment.port, key, seconds)
    marks = []
    many = await run(
        target,
        connections=CONNECTIONS,
        seconds=seconds,
        warm=lambda: marks.append(times(environment.worker)),
    )
    used = times(environment.worker) - marks[0]
    if alone.failures or many.failures or not many.latencies:
        raise RuntimeError(f"turns failed: {dict(alone.statuses)} {dict(many.statuses)}")
    cpu, wait = used.ran / len(many.latencies) * 1e6, used.waited / many.seconds
    return Figures(many.rate, cpu, alone.quantile(0.5) * 1e3, socket * 1e3, wait)


async def with_herd(environment: Environment, kind: str, count: int, seconds: float, before: Figures) -> Figures:
    """Prints what it does; returns the figures after it. Raises AssertionError where it does too much."""
    empty = resident(environment.worker)
    began = time.perf_counter()
    herd = Herd(environment, kind, count)
    try:
        await asyncio.to_thread(herd.wait)
        opened = time.perf_counter() - began
        memory = resident(environment.worker) - empty
        start = times(environment.worker)
        await asyncio.sleep(seconds)
        resting = (times(environment.worker) - start).ran / seconds
        during = await measure(environment, seconds)
    finally:
        again = herd.end()
    await asyncio.sleep(2.0)
    after = await measure(environment, seconds)
    ratios = during.slower(before, after)
    print(f"{count:6} {kind:10} {_row(during)}  opened again {again} times; opening took {opened:.0f} s")
    print(f"{'':17} {' '.join(f'{name} {ratio:.2f}' for name, ratio in ratios.items())} times as much or as slow")
    print(f"{'':17} {resting:.1%} of a core with nothing else to do; {memory:.0f} MiB more", end="")
    print(f", {memory * 1000 / count:.1f} for 1,000" if kind == "idle" else "", flush=True)
    print(f"{'':6} {'none':10} {_row(after)}", flush=True)
    fair = before.fair and during.fair and after.fair
    too_slow = {name: ratio for name, ratio in ratios.items() if ratio > SLOWER and (fair or name == "cpu")}
    assert not too_slow, f"{kind}: slower by more than half: {too_slow}"
    assert kind != "idle" or memory * 1000 / count < MOST_MEMORY, f"{memory:.0f} MiB for {count} idle sockets"
    return after


def _row(figures: Figures) -> str:
    return (
        f"{figures.rate:7.0f} turns/s {figures.cpu:7.0f} µs CPU {figures.chat:7.2f} ms /api/chat"
        f" {figures.socket:7.2f} ms on a socket {figures.wait:4.0%} wait"
    )


async def work(sockets: int, bad: int, seconds: float, kinds: list[str]) -> int:
    failed = 0
    with Environment() as environment:
        await measure(environment, 1.0)  # what is made once
        figures = await measure(environment, seconds)
        print(f"{'':6} {'none':10} {_row(figures)}", flush=True)
        for kind in kinds:
            try:
                figures = await with_herd(environment, kind, sockets if kind == "idle" else bad, seconds, figures)
            except AssertionError as reason:
                print(reason, file=sys.stderr)
                failed = 1
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--bad", type=int, default=1, help="misbehaving connections of one client at a time")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each part of a measurement")
    parser.add_argument("--kinds", nargs="*", default=["idle", *BAD])
    asked = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if asked.sockets + SPARE > hard != resource.RLIM_INFINITY:
        print(
            f"A process may open {hard} files here (ulimit -Hn): not enough for {asked.sockets} sockets.",
            file=sys.stderr,
        )
        return 2
    pin(os.getpid(), LOAD_CORE)
    return uvloop.run(work(asked.sockets, asked.bad, asked.seconds, asked.kinds))


if __name__ == "__main__":
    sys.exit(main())
