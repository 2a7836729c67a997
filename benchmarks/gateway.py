"""What the gateway does on one core with everything on: `python -m benchmarks.gateway [--seconds N] [--peers]`.

The gateway's one worker has the first core; load, mock upstream and Valkey share the last. Bodies are of 330 bytes and
all differ; the mock must have been asked exactly as often as answers came. CPU is the worker's, all threads, as the
kernel counts it: on a machine that others use too it says more than the rate, which a `wait` above a few percent (time
the worker was ready to run and another program had its core) shows to be too low. `added` is against the mock itself,
asked the same way."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from benchmarks import peers, workload
from benchmarks.claims import unit
from benchmarks.environment import Environment, Mock
from benchmarks.load import Result, Target, connect, run, run_at_rate
from benchmarks.processes import LOAD_CORE, Times, pin, resident, times
from benchmarks.workload import GivenSessions, NamedSessions, Talk

COMPLETIONS = "/v1/chat/completions"
CONNECTIONS = 64
STREAMS = 32
CHUNKS = 32
PACED_STREAMS = 192
PACE = 0.005
OPEN_STREAMS = 500
OPEN_PACE = 0.1


@dataclass
class Row:
    """One line of the table; milliseconds, microseconds of CPU."""

    name: str
    rate: float
    unit: str
    cpu: float
    core: float
    wait: float
    p50: float
    p99: float

    def __str__(self) -> str:
        return (
            f"{self.name:54} {self.rate:9,.0f} {self.unit:10} {self.cpu:8.1f} {self.core:6.0%} {self.wait:6.0%} "
            f"{self.p50:8.2f} {self.p99:8.2f}"
        )


HEAD = f"{'':54} {'a second':>9} {'':10} {'CPU µs':>8} {'core':>6} {'wait':>6} {'p50 ms':>8} {'p99 ms':>8}"


class WrongAnswers(Exception):
    """The run does not count: its text says why."""


class Server:
    """Something that answers like the mock: whose CPU counts, and how it is asked."""

    def __init__(self, name: str, pid: int, port: int, mock: Mock, headers: dict[str, str], model: str) -> None:
        self.name = name
        self.pid = pid
        self.port = port
        self.mock = mock
        self.headers = headers
        self.model = model

    def target(
        self, path: str = COMPLETIONS, *, stream: bool = False, talk: type[Talk] = Talk, rest: bool = False
    ) -> Target:
        body = (workload.rest if rest else workload.openai)(self.model, stream=stream)
        return Target(self.port, path, self.headers, body, talk=talk)

    async def checked(self, load: Callable[[], Awaitable[Result]]) -> Result:
        """Raises WrongAnswers if any answer was not 200 or the mock was asked more or less often."""
        before = self.mock.count()
        result = await load()
        asked = self.mock.count() - before
        if result.failures or asked != result.answers or not result.latencies:
            raise WrongAnswers(f"{self.name}: {dict(result.statuses)}; {result.answers} answers, upstream {asked}")
        return result

    async def saturated(
        self, name: str, target: Target, connections: int, seconds: float, unit: str = "requests"
    ) -> Row:
        marks: list[Times] = []
        result = await self.checked(
            lambda: run(target, connections=connections, seconds=seconds, warm=lambda: marks.append(times(self.pid)))
        )
        used = times(self.pid) - marks[0]
        count = len(result.latencies) * (CHUNKS if unit == "chunks" else 1)
        return Row(
            name,
            count / result.seconds,
            unit,
            used.ran / count * 1e6,
            used.ran / result.seconds,
            used.waited / result.seconds,
            result.quantile(0.5) * 1e3,
            result.quantile(0.99) * 1e3,
        )


async def latency(server: Server, seconds: float, rate: float) -> dict[str, float]:
    """Milliseconds that the server adds: at concurrency 1, at half of `rate`, to the first byte of a stream. At half
    load also what was measured through it and beside it: the load generator has its core in common with the mock and
    the store, and stalls there are in both."""
    mock = Server("mock", server.mock.process.pid or 0, server.mock.port, server.mock, {}, "mock")
    figures: dict[str, float] = {}

    async def added(
        name: str, load: Callable[[Target], Awaitable[Result]], *, stream: bool = False, sides: bool = False
    ) -> None:
        found = [await each.checked(lambda each=each: load(each.target(stream=stream))) for each in (server, mock)]  # type: ignore[misc]
        for quantile in (0.5, 0.99):
            through, direct = (
                side.quantile(quantile, side.first_bytes if stream else side.latencies) * 1e3 for side in found
            )
            figures[f"{name}, p{quantile * 100:.0f}"] = through - direct
            if sides:
                figures[f"{name}, p{quantile * 100:.0f}, through the gateway"] = through
                figures[f"{name}, p{quantile * 100:.0f}, the mock alone"] = direct

    await added("added at concurrency 1", lambda target: run(target, connections=1, seconds=seconds, warmup=0.5))
    await added(
        "added at half load",
        lambda target: run_at_rate(target, rate=rate / 2, seconds=seconds),
        sides=True,
    )
    figures["half load, requests a second"] = rate / 2
    await added(
        "added time to first token at concurrency 1",
        lambda target: run(target, connections=1, seconds=seconds, warmup=0.5),
        stream=True,
    )
    return figures


async def memory(server: Server) -> dict[str, float]:
    """MiB of the worker, and KiB more for each of many open streams; before any load, which leaves room behind."""
    result = Result()
    opened = [await connect(server.target(stream=True), result) for _ in range(OPEN_STREAMS)]
    await opened[0].exchange(0)  # what is made once
    idle = resident(server.pid)
    server.mock.answer(pace=OPEN_PACE)
    asked = [asyncio.create_task(connection.exchange(number)) for number, connection in enumerate(opened)]
    await asyncio.sleep(OPEN_PACE * CHUNKS * 0.75)
    streaming = resident(server.pid)
    await asyncio.gather(*asked)
    server.mock.answer()
    for connection in opened:
        connection.transport.close()
    return {
        "MiB idle": idle,
        f"KiB more an open stream ({OPEN_STREAMS} of them)": (streaming - idle) * 1024 / OPEN_STREAMS,
    }


async def ours(environment: Environment, seconds: float) -> tuple[list[Row], dict[str, float]]:
    worker = environment.worker

    def as_tenant(tenant: str) -> Server:
        headers = {"Authorization": f"Bearer {environment.keys[tenant]}"}
        return Server("clawdbot", worker, environment.port, environment.mock, headers, "auto")

    full, plain = as_tenant("full"), as_tenant("plain")
    figures = await memory(full)
    rows = [
        await full.saturated("/v1, everything on", full.target(), CONNECTIONS, seconds),
        await full.saturated("/v1, with a session", full.target(talk=NamedSessions), CONNECTIONS, seconds),
        await full.saturated(
            "/api/chat (always with a session)",
            full.target("/api/chat", talk=GivenSessions, rest=True),
            CONNECTIONS,
            seconds,
        ),
        await plain.saturated("/v1, only key check, journal, metrics", plain.target(), CONNECTIONS, seconds),
        await full.saturated("/v1, streams at once, by stream", full.target(stream=True), STREAMS, seconds),
    ]
    rows.append(_by_chunk(rows[-1], "/v1, streams at once"))
    environment.mock.answer(pace=PACE)
    name = f"/v1, {PACED_STREAMS} streams, a chunk each {PACE * 1e3:.0f} ms"
    rows.append(await full.saturated(name, full.target(stream=True), PACED_STREAMS, seconds, "chunks"))
    environment.mock.answer()
    figures["MiB after load"] = resident(worker)
    figures.update(await latency(full, seconds, rows[0].rate))
    return rows, figures


def _by_chunk(row: Row, name: str) -> Row:
    return Row(name, row.rate * CHUNKS, "chunks", row.cpu / CHUNKS, row.core, row.wait, row.p50, row.p99)


async def peer(found: peers.Peer, mock: Mock, seconds: float) -> tuple[list[Row], dict[str, float]]:
    server = Server(found.name, found.pid, found.port, mock, found.headers, found.model)
    rows = [
        await server.saturated(f"{found.name}, /v1", server.target(), CONNECTIONS, seconds),
        await server.saturated(
            f"{found.name}, streams at once, by stream", server.target(stream=True), STREAMS, seconds
        ),
    ]
    rows.append(_by_chunk(rows[-1], f"{found.name}, streams at once"))
    figures = await latency(server, seconds, rows[0].rate)
    return rows, {f"{found.name}: {name}": value for name, value in figures.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--peers", action="store_true", help="also LiteLLM's proxy, Portkey and smg, where installed")
    parser.add_argument("--json", type=Path, help="writes the figures there too")
    asked = parser.parse_args()
    pin(os.getpid(), LOAD_CORE)
    print(f"{HEAD}")
    table: list[Row] = []
    figures: dict[str, float] = {}

    def add(measured: tuple[list[Row], dict[str, float]]) -> None:
        for row in measured[0]:
            print(row, flush=True)
        table.extend(measured[0])
        figures.update(measured[1])

    try:
        with Environment() as environment:
            add(uvloop.run(ours(environment, asked.seconds)))
            if asked.peers:
                alone = len(table)
                for found in peers.running(environment.mock.port):
                    add(uvloop.run(peer(found, environment.mock, asked.seconds)))
                if len(table) == alone:
                    raise WrongAnswers("There is nobody to compare with: make bench-peers installs them.")
    except WrongAnswers as reason:
        print(f"The figures do not count. {reason}", file=sys.stderr)
        return 1
    for name, value in figures.items():
        print(f"{value:9.2f}  {unit(name):2} {name}")
    if asked.json:
        asked.json.write_text(json.dumps({"rows": [asdict(row) for row in table], "figures": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
