"""Rolling restarts under load: `python -m benchmarks.rolling [--restarts 20] [--stream 60] [--delay 5]`.

Two web gateways and two gRPC servers behind balancers that send connections where Kubernetes would, restarted one after
the other while requests, streams of `--stream` seconds, sockets and gRPC calls run. Every caller checks every byte.
Exit 1: one of them had a reason to complain, or the journal does not balance."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
from aiohttp import web
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.balancer import Balancer, Check
from benchmarks.fleet import Fleet, until
from benchmarks.rolling_clients import QUICK_RECONNECT, Load
from clawdbot_site.selftest.instance import Instance
from clawdbot_site.selftest.model import _event
from clawdbot_site.selftest.ports import free_port

WHOLE = "All at once."
PACE = 0.25  # seconds between two pieces of a stream


@dataclass
class Place:
    """A fleet, and the balancers before its two kinds."""

    fleet: Fleet
    web: Balancer
    grpc: Balancer

    async def restart(self, gateway: str) -> None:
        kind, _, port = gateway.partition(":")
        balancer = self.web if kind == "web" else self.grpc
        await self.fleet.restart(gateway, lambda: balancer.ready[int(port)])


@contextlib.asynccontextmanager
async def placed(
    environment: Mapping[str, str], gateways: Sequence[str], log: Path, *, more_grpc: Sequence[int] = ()
) -> AsyncIterator[Place]:
    """A fleet that is ready; `more_grpc` are ports of gRPC servers that are there already."""
    ports = {
        kind: [int(each.partition(":")[2]) for each in gateways if each.startswith(kind)] for kind in ("web", "grpc")
    }
    with Fleet({**environment, "WORKERS": "1"}, *gateways, log=log) as fleet:
        async with checks() as (web_ready, grpc_ready):
            async with (
                Balancer(ports["web"], web_ready) as web,
                Balancer([*ports["grpc"], *more_grpc], grpc_ready) as rpc,
            ):
                await until(
                    lambda: all(web.ready.values()) and all(rpc.ready.values()), f"all are ready\n{fleet.said()}"
                )
                yield Place(fleet, web, rpc)


@contextlib.asynccontextmanager
async def checks() -> AsyncIterator[tuple[Check, Check]]:
    """What Kubernetes asks: `/readyz` on a connection of its own, and the gRPC health service."""
    channels: dict[int, grpc.aio.Channel] = {}

    async def web_ready(port: int) -> bool:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status == 200

    async def grpc_ready(port: int) -> bool:
        if port not in channels:
            channels[port] = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=QUICK_RECONNECT)
        said = await health_pb2_grpc.HealthStub(channels[port]).Check(health_pb2.HealthCheckRequest())
        return bool(said.status == health_pb2.HealthCheckResponse.SERVING)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        try:
            yield web_ready, grpc_ready
        finally:
            for channel in channels.values():
                await channel.close()


class SlowModel:
    """Its streams take so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.pieces = [f"piece {number}, " for number in range(max(1, round(seconds / PACE)))]
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not (await request.json()).get("stream"):
            message = {"role": "assistant", "content": WHOLE}
            return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with contextlib.suppress(ConnectionResetError):
            await response.prepare(request)
            for piece in self.pieces:
                await response.write(_event({"index": 0, "delta": {"content": piece}, "finish_reason": None}))
                await asyncio.sleep(PACE)
            await response.write(_event({"index": 0, "delta": {}, "finish_reason": "stop"}) + b"data: [DONE]\n\n")
        return response


async def roll(place: Place, load: Load, gateways: Sequence[str], restarts: int, **clients: int) -> None:
    """`restarts` of each kind, one after the other, while the load runs; meanwhile another web gateway replaces its
    workers."""
    running = asyncio.create_task(load.run(**clients))
    for kind in ("request", "stream begun", "socket begun", "call begun"):
        await until(lambda kind=kind: load.done[kind], f"the first {kind}")
    try:
        for number in range(restarts):
            pair = {kind: [each for each in gateways if each.startswith(kind)] for kind in ("web", "grpc")}
            await asyncio.gather(
                *(place.restart(each[number % len(each)]) for each in pair.values() if each),
                place.fleet.renew(pair["web"][(number + 1) % len(pair["web"])]),
            )
            print(f"{number + 1} of {restarts}: {dict(load.done)}, failures {len(load.failures)}", flush=True)
    finally:
        load.over = True
        await running


async def measure(folder: Path, arguments: argparse.Namespace) -> bool:
    model = SlowModel(arguments.stream)
    async with model as url:
        settings = {"MODEL_ENDPOINT": url, "MODEL_NAME": "m", "API_KEY": "k", "GRPC_PORT": "0", "LOCAL_MODEL": "off"}
        instance = Instance(folder / "var", **settings)
        await asyncio.to_thread(instance.start)
        try:
            gateways = [f"web:{free_port()}", f"web:{free_port()}", f"grpc:{free_port()}", f"grpc:{free_port()}"]
            environment = {**instance.environment, "DRAIN_DELAY": str(arguments.delay)}
            async with placed(environment, gateways, folder / "fleet.log") as place:
                load = Load(place.web.port, place.grpc.port, instance.key, WHOLE, "".join(model.pieces))
                count = arguments.clients
                await roll(
                    place, load, gateways, arguments.restarts, requests=count, streams=count, sockets=count, calls=count
                )
            balance = await asyncio.to_thread(instance.manage, "audit", "balance")
        finally:
            await asyncio.to_thread(instance.stop)
    print(*load.failures[:20], sep="\n")
    print(balance.stdout.strip(), f"failures: {len(load.failures)}", sep="\n")
    return not load.failures and balance.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--stream", type=float, default=60.0)
    parser.add_argument("--delay", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=8, help="of each kind")
    folder = Path(tempfile.mkdtemp(prefix="clawdbot-rolling-"))
    try:
        return 0 if asyncio.run(measure(folder, parser.parse_args())) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
