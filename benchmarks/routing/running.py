"""One policy under one fault, for real: eleven upstreams, the gateway with four workers, an open-loop load."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.request import urlopen

from benchmarks import workload
from benchmarks.environment import ROOT, Environment, _end
from benchmarks.load import Connection, Result, Target
from benchmarks.processes import CORES, LOAD_CORE, free_port, pin, wait_for_port
from clawdbot_site.serving.processes import Child

UPSTREAMS = 11
WORKERS = 4
CUT = 1.0  # seconds within which an answer is good
FAULTS = {"slow": 1, "failing": 1, "hanging": 1, "busy": 1, "dying": 1, "erring": UPSTREAMS}  # how many misbehave


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

    def order(self, path: str) -> list[list[float]]:
        with urlopen(f"http://127.0.0.1:{self.ports[-1]}{path}", timeout=10) as response:  # noqa: S310
            return list(json.loads(response.read()))


@dataclass
class Outcome:
    """`good` percent whole and within the cut, `failed` percent, milliseconds, calls a request, and the share of the
    first upstream (1: an equal part) by half seconds."""

    policy: str
    fault: str
    good: float
    failed: float
    p50: float
    p99: float
    calls: float
    begin: float
    end: float
    shares: list[float] = field(default_factory=list)


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


async def load(target: Target, rate: float, seconds: float) -> list[float | None]:
    """As many connections as are needed: requests are due at fixed times, whatever became of the others."""
    loop = asyncio.get_running_loop()
    idle: list[Stream] = []
    answers: list[float | None] = []
    running: set[asyncio.Task[None]] = set()

    async def one(number: int, due: float) -> None:
        if idle:
            stream = idle.pop()
        else:
            _, stream = await loop.create_connection(lambda: Stream(Result(), target), target.host, target.port)
        try:
            answers.append(await stream.ask(number, due))
            idle.append(stream)
        except ConnectionError:
            answers.append(None)

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
    return answers


async def measure(
    gateway: Gateway, policy: str, fault: str, *, rate: float, seconds: float, warm: float = 5.0
) -> Outcome:
    """The fault is there in the middle half of `seconds`."""
    body: Callable[[int], bytes] = workload.openai("pool", stream=True)
    target = Target(gateway.port, "/v1/chat/completions", {"Authorization": f"Bearer {gateway.key}"}, body)
    gateway.order("/fault/0/none")
    await load(target, rate, warm)
    gateway.order("/asked")
    loop, began = asyncio.get_running_loop(), time.monotonic()
    begin, end = seconds / 4, seconds * 3 / 4
    loop.call_later(begin, gateway.order, f"/fault/{FAULTS[fault]}/{fault}")
    loop.call_later(end, gateway.order, "/fault/0/none")
    answers = await load(target, rate, seconds)
    asked = gateway.order("/asked")
    whole = sorted(answer for answer in answers if answer is not None)
    buckets: list[list[int]] = [[0, 0] for _ in range(int(seconds * 2))]
    for when, number in asked:
        if 0 <= (place := int((when - began) * 2)) < len(buckets):
            buckets[place][0] += number == 0
            buckets[place][1] += 1
    return Outcome(
        policy,
        fault,
        good=100 * sum(answer <= CUT for answer in whole) / len(answers),
        failed=100 * (len(answers) - len(whole)) / len(answers),
        p50=whole[len(whole) // 2] * 1e3,
        p99=whole[int(0.99 * len(whole))] * 1e3,
        calls=len(asked) / len(answers),
        begin=begin,
        end=end,
        shares=[UPSTREAMS * first / total if total else 0.0 for first, total in buckets],
    )
