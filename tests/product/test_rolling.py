"""Two gateways behind a balancer are restarted under load: nobody notices. Large: `make soak NAME=rolling`."""

from __future__ import annotations

from benchmarks.rolling import placed, roll
from benchmarks.rolling_clients import Load
from clawdbot_site.selftest.ports import free_port
from tests.adapters.upstream import Upstream, by_stream, events, streamed, whole
from tests.product.running import Product

PIECES = [f"piece {number}, " for number in range(50)]


async def test_nobody_notices_rolling_restarts(gateway: Product, upstream: Upstream, tmp_path):
    """Requests, streams of six seconds, sockets that break off and resume elsewhere, and gRPC calls."""
    upstream.answers(whole("All at once."), streamed(events(*PIECES), 0.12), choose=by_stream)
    gateways = [f"web:{free_port()}", f"web:{free_port()}", f"grpc:{free_port()}"]
    environment = {**gateway.environment, "DRAIN_DELAY": "1", "METRICS_PORT": "0"}
    more = [int(gateway.access["grpc_target"].rpartition(":")[2])]
    async with placed(environment, gateways, tmp_path / "fleet.log", more_grpc=more) as place:
        load = Load(place.web.port, place.grpc.port, gateway.key, "All at once.", "".join(PIECES))
        await roll(place, load, gateways, 2, requests=2, streams=3, sockets=4, calls=3)
        assert load.failures == [], place.fleet.said()[-2_000:]
        assert all(place.web.given.values()) and all(place.grpc.given.values())
    assert load.done["stream"] >= 6 and load.done["socket"] >= 4 and load.done["call"] >= 3
    assert load.done["resumed"] and load.done["1012"] + load.done["1012 in a turn"]
    assert gateway.manage("audit", "balance").returncode == 0
