"""gRPC's official Node library: against both servers in front of scripted models, and against the running product."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from access.edges.grpc import server
from clawdbot_site.serving.grpcserver import credentials
from tests.access.grpc import client
from tests.access.grpc.client import served, yes
from tests.access.grpc.conftest import kind  # noqa: F401
from tests.access.grpc.test_service import certificate
from tests.access.parts import Site, build
from tests.adapters.upstream import Upstream
from tests.cast import ALICE
from tests.clients.wires import node
from tests.conformance.edges import within
from tests.engine.parts import ScriptedModel
from tests.product.running import Product
from tests.product.upstreams import ANSWER

MIB = 1 << 20
BESIDE = (health_pb2, reflection_pb2)
both = pytest.mark.usefixtures("kind")


async def played(site: Site, scene: str, *arguments: str) -> Any:
    """What the library made of a scene. Nothing of it is left in the gateway."""
    async with served(site) as (_, channel):
        said = await asyncio.to_thread(node, "grpc.mjs", channel.target, ALICE.key, scene, *arguments)
        await within(5, lambda: not site.parts.running)
    return said


@both
async def test_it_is_answered_whole_and_as_a_stream() -> None:
    said = await played(build(ScriptedModel(["Hel", "lo"])), "answered")
    assert said["whole"] == ["Hello", 8, True]
    assert (said["kinds"], said["text"], said["done"], said["status"]) == (
        ["start", "delta", "done"], "Hello", "Hello", "OK"
    )  # fmt: skip
    assert said["begun"]  # initial metadata came before the first message, and names the same turn


@both
async def test_a_conversation_has_turns_side_by_side_and_one_is_cancelled() -> None:
    model = ScriptedModel(["Hel", 2.0, "lo"])
    said = await played(build(model), "conversation")
    assert (said["a"], said["code"]) == (["start", "delta", "error"], "cancelled")
    assert (said["b"], said["text"], said["status"]) == (["start", "delta", "done"], "Hello", "OK")


@both
async def test_errors_are_statuses_with_what_they_say() -> None:
    said = await played(build(), "refused")
    assert said["stranger"] == ["UNAUTHENTICATED", "unauthenticated", None, "false"]
    assert said["wrong"] == ["INVALID_ARGUMENT", "invalid_request", "temperature", "false"]
    assert said["stream"] == ["UNAUTHENTICATED", "unauthenticated"] and not said["chinese"].isascii()


@both
async def test_a_deadline_ends_the_turn() -> None:
    model = ScriptedModel(["Hel", asyncio.Event()])
    said = await played(build(model), "deadline")
    assert said["codes"] == ["DEADLINE_EXCEEDED"] * 2 and said["said"] == ["start", "delta"]
    assert len(model.calls) == model.closed == 2 and said["seconds"] >= 3.0


@both
async def test_who_cancels_stops_the_turn() -> None:
    model = ScriptedModel(["Hel", asyncio.Event()])
    said = await played(build(model), "cancelled")
    assert said == {"codes": ["CANCELLED"] * 2, "said": ["start", "delta"], "after": "invalid_request"}
    assert len(model.calls) == model.closed == 2


@both
async def test_requests_may_be_compressed() -> None:
    model = ScriptedModel()
    assert await played(build(model), "compressed") == [["Hello", "Hello"]] * 2
    assert {call.messages[-1].content for call in model.calls} == {"Please repeat. " * size for size in (2000, 200)}


async def test_many_pings_are_forgiven() -> None:
    """By ours alone: the library ends a connection with more than two in ten seconds."""
    assert await played(build(ScriptedModel(["Hel", 0.5, "lo"])), "pinged") == {"ends": [0, 0, 0], "state": "READY"}


@both
async def test_a_mebibyte_goes_through_both_windows() -> None:
    model = ScriptedModel(["x" * 20_000] * 10 + ["y" * (MIB - 200_000)])
    said = await played(build(model), "large")
    assert said == {"whole": MIB, "stream": MIB, "done": MIB, "status": "OK"}
    assert [len(call.messages[-1].content) for call in model.calls] == [MIB, MIB]


@both
async def test_a_channel_carries_a_hundred_calls_at_once() -> None:
    model = ScriptedModel(["Hel", 0.2, "lo"])
    assert await played(build(model), "many") == {"Hello": 200}


async def test_more_calls_than_a_connection_may_have_wait() -> None:
    """At the client. The library counts a call a little longer than its client does, and refuses one now and then."""
    assert await played(build(ScriptedModel(["Hel", 0.5, "lo"])), "many", "400") == {"Hello": 800}


@both
async def test_what_is_too_much_is_said_before_all_of_it_has_come(caplog: pytest.LogCaptureFixture) -> None:
    said = await played(site := build(), "tooMuch")
    assert said[0::2] == [
        ["INVALID_ARGUMENT", "payload_too_large"],
        ["RESOURCE_EXHAUSTED", None],
        ["UNAUTHENTICATED", "unauthenticated"],
        ["RESOURCE_EXHAUSTED", None],
    ]
    assert said[1::2] == ["Hello"] * 3
    assert not caplog.records and b'status="500"' not in site.parts.metrics.text()


@both
async def test_no_call_is_lost_when_connections_end_by_their_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BOUNDS", replace(server.BOUNDS, age=0.3, pong_within=0.1))
    options = tuple((name, 300 if name == "grpc.max_connection_age_ms" else value) for name, value in server.OPTIONS)
    monkeypatch.setattr(server, "OPTIONS", options)
    said = await played(build(ScriptedModel(["Hel", 0.05, "lo"])), "moved")
    assert said["errors"] == [] and said["answered"] > 20


@both
async def test_it_is_spoken_to_over_tls(tmp_path: Path, settings: Any) -> None:
    settings.GRPC_KEY, settings.GRPC_CERT = certificate()
    (tmp_path / "authorities.pem").write_text(settings.GRPC_CERT)
    serving = server.GrpcServer(build().parts, yes, kind=client.KIND)
    target = f"localhost:{serving.listen('127.0.0.1:0', credentials())}"
    await serving.start()
    try:
        scene = ("secured", str(tmp_path / "authorities.pem"))
        assert await asyncio.to_thread(node, "grpc.mjs", target, ALICE.key, *scene) == ["Hello", "UNAVAILABLE"]
    finally:
        await serving.drain()
        await serving.stop(0)


@both
async def test_health_and_reflection_answer(tmp_path: Path) -> None:
    described = descriptor_pb2.FileDescriptorSet()
    for module in BESIDE:
        module.DESCRIPTOR.CopyToProto(described.file.add())
    (tmp_path / "beside.bin").write_bytes(described.SerializeToString())
    said = await played(build(), "beside", str(tmp_path / "beside.bin"))
    assert said["checks"] == ["SERVING", "SERVING", "NOT_FOUND"] and said["watched"] == "SERVING"
    assert "clawdbot.v1.ChatService" in said["services"]


@pytest.mark.server
def test_the_running_product_answers(gateway: Product, upstream: Upstream) -> None:
    target = gateway.access["grpc_target"]
    said = node("grpc.mjs", target, gateway.key, "answered")
    assert said["whole"] == [ANSWER, 9, True] and said["kinds"] == ["start", "delta", "done"]
    assert node("grpc.mjs", target, gateway.key, "refused")["wrong"][2] == "temperature"
    assert node("grpc.mjs", target, gateway.key, "many") == {ANSWER: 100, "".join(ANSWER.split(" ", 1)): 100}
