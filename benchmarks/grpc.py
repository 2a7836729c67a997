"""Unary and streamed calls over gRPC with everything on: `python -m benchmarks.grpc [--seconds N] [--rounds N]`.

As `benchmarks.gateway`: the server has the first core; load, mock upstream and Valkey share the last, every request
differs, and the mock must have been asked exactly as often as answers came. CPU is the server's, all threads. A load
generator in Python costs about as much a call as the server does, so the rate may be the load's; CPU says what a core
would do. `POST /api/chat` of a web worker is measured in turn with it, since on a machine that others use the ratio of
two figures says more than each."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import grpc
import orjson
import uvloop

from access.edges.grpc.generated import chat_pb2 as pb
from benchmarks import workload
from benchmarks.environment import READY_TIME, Environment, _end
from benchmarks.gateway import CHUNKS, HEAD, Row, Server
from benchmarks.processes import GATEWAY_CORE, LOAD_CORE, Times, free_port, pin, times
from clawdbot_site.serving.processes import Child

CALLERS = 48
CONNECTIONS = 4
GOAL = 700  # calls a second and core


class GrpcEnvironment(Environment):
    """The gRPC server beside the web server, on its core."""

    def _start_web(self, environment: dict[str, str]) -> None:
        super()._start_web(environment)
        self.web_worker = self.worker
        self.web_port, self.port = self.port, free_port()
        reader, writer = os.pipe()
        command = [sys.executable, "manage.py", "grpcserver", "--port", str(self.port), "--ready-fd", str(writer)]
        self.web = Child("gRPC server", command, environment=environment, pass_fds=(writer,))
        self._children.callback(_end, self.web)
        self.web.start()
        os.close(writer)
        assert self.web.pid is not None
        pin(self.web.pid, GATEWAY_CORE)
        os.set_blocking(reader, False)
        deadline = time.monotonic() + READY_TIME
        while not _said(reader):
            if self.web.exit_code is not None or time.monotonic() > deadline:
                raise RuntimeError("the gRPC server did not start; the reason is above")
            time.sleep(0.1)
        os.close(reader)
        pin(self.web.pid, GATEWAY_CORE)

    @property
    def worker(self) -> int:
        assert self.web.pid is not None
        return self.web.pid


def _said(reader: int) -> bool:
    try:
        return os.read(reader, 1) == b"r"
    except BlockingIOError:
        return False


@dataclass
class Load:
    """Closed loop: every caller asks again when its answer is whole."""

    environment: GrpcEnvironment
    seconds: float
    latencies: list[float] = field(default_factory=list)
    answers: int = 0

    async def run(self, stream: bool) -> tuple[Times, float]:
        """What the server used, and in how many seconds."""
        metadata = (("authorization", f"Bearer {self.environment.keys['full']}"),)
        target = f"127.0.0.1:{self.environment.port}"
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [grpc.aio.insecure_channel(target, options) for _ in range(CONNECTIONS)]
        numbers = itertools.count()
        counted = time.perf_counter() + 1.0
        ends = counted + self.seconds
        marks: list[Times] = []
        asyncio.get_running_loop().call_later(1.0, lambda: marks.append(times(self.environment.worker)))

        async def caller(ask: Callable[[bytes], Awaitable[None]]) -> None:
            while (now := time.perf_counter()) < ends:
                await ask(request(next(numbers)))
                self.answers += 1
                if (ended := time.perf_counter()) >= counted:
                    self.latencies.append(ended - now)

        def asking(channel: grpc.aio.Channel) -> Callable[[bytes], Awaitable[None]]:
            unary = channel.unary_unary("/clawdbot.v1.ChatService/Chat")
            streamed = channel.unary_stream("/clawdbot.v1.ChatService/StreamChat")

            async def one(body: bytes) -> None:
                await unary(body, metadata=metadata)

            async def many(body: bytes) -> None:
                events = 0
                async for _ in streamed(body, metadata=metadata):
                    events += 1
                assert events >= CHUNKS, events

            return many if stream else one

        asks = [asking(channels[number % CONNECTIONS]) for number in range(CALLERS)]
        await asyncio.gather(*map(caller, asks))
        used = times(self.environment.worker) - marks[0]
        seconds = time.perf_counter() - counted
        for channel in channels:
            await channel.close()
        return used, seconds


def request(number: int) -> bytes:
    """The text of the other measurements' bodies in ours."""
    said = orjson.loads(workload.rest()(number))
    asked = pb.ChatRequest(message=said["message"], max_tokens=said["max_tokens"], temperature=said["temperature"])
    return asked.SerializeToString()


async def measured(environment: GrpcEnvironment, name: str, seconds: float, *, stream: bool) -> Row:
    load = Load(environment, seconds)
    before = environment.mock.count()
    used, took = await load.run(stream)
    asked = environment.mock.count() - before
    if asked != load.answers:
        raise SystemExit(f"The figures do not count: {load.answers} answers, upstream {asked}")
    found = sorted(load.latencies)
    count = len(found)
    quantiles = [found[int(q * count)] * 1e3 for q in (0.5, 0.99)]
    return Row(name, count / took, "calls", used.ran / count * 1e6, used.ran / took, used.waited / took, *quantiles)


async def all_rounds(environment: GrpcEnvironment, seconds: float, rounds: int) -> list[float]:
    """CPU µs of a unary call, round by round."""
    key = {"Authorization": f"Bearer {environment.keys['full']}"}
    web = Server("web", environment.web_worker, environment.web_port, environment.mock, key, "auto")
    found = []
    for _ in range(rounds):
        unary = await measured(environment, "Chat (always a new session)", seconds, stream=False)
        print(unary, flush=True)
        target = web.target("/api/chat", rest=True)
        beside = await web.saturated("POST /api/chat (always a new session)", target, CALLERS, seconds)
        print(beside, flush=True)
        print(f"yardstick {yardstick():.0f} µs; gRPC takes {unary.cpu / beside.cpu:.2f} of HTTP's CPU", flush=True)
        found.append(unary.cpu)
    print(await measured(environment, f"StreamChat, {CHUNKS} chunks at once", seconds, stream=True), flush=True)
    return found


def yardstick() -> float:
    """Microseconds of a loop of 1,000 additions, by which runs on a machine that others use can be compared."""
    taken = []
    for _ in range(300):
        began, total = time.thread_time(), 0
        for number in range(1000):
            total += number
        taken.append((time.thread_time() - began) * 1e6)
    return sorted(taken)[len(taken) // 2]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    pin(os.getpid(), LOAD_CORE)
    print(HEAD)
    try:
        with GrpcEnvironment() as environment:
            found = uvloop.run(all_rounds(environment, asked.seconds, asked.rounds))
    except subprocess.CalledProcessError as error:
        print(error, file=sys.stderr)
        return 1
    a_core = 1e6 / statistics.median(found)
    print(f"{a_core:,.0f} unary calls a second and core by CPU (goal {GOAL})")
    return 0 if a_core >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
