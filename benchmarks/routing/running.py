"""One policy under one fault, for real: eleven upstreams, the gateway with four workers, an open-loop load."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.request import urlopen

from benchmarks import workload
from benchmarks.environment import ROOT, Environment, _end
from benchmarks.load import Connection, Result, Target
from benchmarks.processes import CORES, LOAD_CORE, pin, wait_for_port
from benchmarks.routing.shares import Shares
from benchmarks.routing.upstreams import MEDIAN
from benchmarks.routing.usage import Meter, Usage, complaints, disturbance
from clawdbot_site.selftest.ports import free_port
from clawdbot_site.serving.processes import Child

UPSTREAMS: Final = 11
WORKERS: Final = 4
CUT: Final = 1.0  # seconds within which an answer is good
WARM: Final = 5.0  # seconds of load before a run
# How many misbehave.
FAULTS: Final = {"slow": 1, "failing": 1, "hanging": 1, "busy": 1, "dying": 1, "garbage": 1, "erring": UPSTREAMS}


class Gateway(Environment):
    """The product with WORKERS processes before the eleven upstreams."""

    program = ("-m", "benchmarks.routing.gateway")

    def __init__(self, policy: str) -> None:
        super().__init__(WORKERS=str(WORKERS), MODEL_TIMEOUT="5", ROUTING_POLICY=policy, LOG_LEVEL="ERROR")
        self.ports = [free_port() for _ in range(UPSTREAMS)]
        self.key = ""

    def _start(self) -> None:
        environment = self._environment()
        self._start_valkey()
        ports = [str(port) for port in self.ports]
        command = [sys.executable, "-m", "benchmarks.routing.rows", *ports]
        filled = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
        self.key = filled.stdout.decode().strip()
        upstreams = Child("upstreams", [sys.executable, "-m", "benchmarks.routing.upstreams", *ports])
        self._children.callback(_end, upstreams)
        upstreams.start()
        assert upstreams.pid is not None
        pin(upstreams.pid, LOAD_CORE)
        wait_for_port(self.ports[-1])
        self._start_web(environment)
        assert self.web.pid is not None
        pin(self.web.pid, set(CORES))
        self.meter = Meter(self.web.pid, upstreams.pid)

    def order(self, path: str) -> list[list[float]]:
        with urlopen(f"http://127.0.0.1:{self.ports[-1]}{path}", timeout=10) as response:  # noqa: S310
            return list(json.loads(response.read()))


@dataclass
class Outcome:
    """`good` percent whole and within the cut, `failed` percent, milliseconds, calls a request; seconds until the first
    upstream is left alone and until it has its part again after its repair (None: never, or no matter); its share (1:
    an equal part) by half seconds. The fault was there from `begin` to `end` seconds. A run with
    `complaints` counts for nothing; if it was `saturated`, a lower rate may do."""

    policy: str
    fault: str
    rate: float
    good: float
    failed: float
    p50: float
    p99: float
    calls: float
    left: float | None
    back: float | None
    begin: float
    end: float
    late: float
    usage: Usage
    saturated: bool
    complaints: Sequence[str]
    shares: list[float] = field(default_factory=list)

    @property
    def after(self) -> float:
        """Seconds that were left after the repair."""
        return len(self.shares) / 2 - self.end


class Stream(Connection):
    """Calls an answer whole that ends as the protocol says."""

    ended = False

    def on_body(self, body: bytes) -> None:
        self.ended = self.ended or b"data: [DONE]" in body
        super().on_body(body)

    async def ask(self, number: int, due: float) -> float | None:
        """Seconds from when it was due; None: no whole answer."""
        self.ended = False
        await self.exchange(number, due)
        return time.perf_counter() - due if self.ended else None


@dataclass
class Load:
    """What became of the requests: (seconds from the beginning it was due at, seconds it took or None), and how late
    each was sent."""

    answers: list[tuple[float, float | None]] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def before(self, when: float) -> list[float]:
        """Median and 99th percentile of the answers to what was due before, in seconds."""
        whole = [answer for due, answer in self.answers if due < when and answer is not None]
        return [quantile(whole, q) for q in (0.5, 0.99)]


def quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else float("inf")


async def load(target: Target, rate: float, seconds: float) -> Load:
    """As many connections as are needed: requests are due at fixed times, whatever became of the others."""
    loop = asyncio.get_running_loop()
    idle: list[Stream] = []
    found = Load()
    running: set[asyncio.Task[None]] = set()

    async def connection() -> Stream:
        while idle:
            if not (stream := idle.pop()).transport.is_closing():
                return stream
        return (await loop.create_connection(lambda: Stream(Result(), target), target.host, target.port))[1]

    async def one(number: int, due: float) -> None:
        answer = None
        try:
            stream = await connection()
            found.late.append(time.perf_counter() - due)
            answer = await stream.ask(number, due)
            idle.append(stream)
        except OSError:
            pass  # the gateway hung up, or did not pick up: no answer
        found.answers.append((due - began, answer))

    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = loop.create_task(one(number, due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    for stream in idle:
        stream.transport.close()
    return found


async def measure(gateway: Gateway, policy: str, fault: str, *, rate: float, seconds: float) -> Outcome:
    """The fault, if it is one, is there for half of `seconds`, beginning with their second sixth."""
    body: Callable[[int], bytes] = workload.openai("pool", stream=True)
    target = Target(gateway.port, "/v1/chat/completions", {"Authorization": f"Bearer {gateway.key}"}, body)
    gateway.order("/fault/0/none")
    await load(target, rate, WARM)
    gateway.order("/asked")
    loop, began = asyncio.get_running_loop(), time.monotonic()
    begin, end = seconds / 6, seconds * 2 / 3

    def order(path: str) -> None:
        loop.run_in_executor(None, gateway.order, path)

    count = FAULTS.get(fault, 0)
    loop.call_later(begin, order, f"/fault/{count}/{fault}")
    loop.call_later(end, order, "/fault/0/none")
    gateway.meter.start()
    found = await load(target, rate, seconds)
    usage = gateway.meter.read()
    calls = [(when - began, int(number)) for when, number in gateway.order("/asked")]
    whole = [answer for _, answer in found.answers if answer is not None]
    shares = Shares(calls, UPSTREAMS)
    late = quantile(found.late, 0.99)
    saturation = complaints(usage, late, found.before(begin if count else seconds), MEDIAN)
    return Outcome(
        policy,
        fault,
        rate,
        good=100 * sum(answer <= CUT for answer in whole) / len(found.answers),
        failed=100 * (len(found.answers) - len(whole)) / len(found.answers),
        p50=quantile(whole, 0.5) * 1e3,
        p99=quantile(whole, 0.99) * 1e3,
        calls=len(calls) / len(found.answers),
        left=shares.left_within(0, begin, end) if count == 1 else None,
        back=shares.back_within(0, end, seconds) if count == 1 else None,
        begin=begin,
        end=end,
        late=late * 1e3,
        usage=usage,
        saturated=bool(saturation),
        complaints=[*saturation, *disturbance(usage)],
        shares=shares.curve(0, seconds),
    )
