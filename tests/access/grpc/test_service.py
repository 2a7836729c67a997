"""What is gRPC's own: metadata, deadlines, health, reflection, the stubs."""

from __future__ import annotations

import asyncio
import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from clawdbot_client.rpc import GrpcClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.exceptions import ImproperlyConfigured
from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from access import errors
from access.edges.grpc import beside, writing
from access.edges.grpc.beside import Beside
from access.edges.grpc.calls import address_of
from access.edges.grpc.generated import chat_pb2 as pb
from access.edges.grpc.server import GrpcServer
from access.edges.grpc.service import SERVICE
from clawdbot_site.serving.grpcserver import credentials
from engine.errors import IpNotAllowed, RateLimited
from tests.access.grpc import client
from tests.access.grpc.client import chat, metadata, served, stream_chat, yes
from tests.access.parts import build
from tests.cast import ALICE
from tests.conformance.edges import within
from tests.engine.parts import ScriptedModel

pytestmark = pytest.mark.usefixtures("kind")

ROOT = Path(__file__).parents[3]
HI = pb.ChatRequest(message="Hi")
STATES = health_pb2.HealthCheckResponse


async def test_it_takes_an_api_key_as_such():
    site = build()
    site.keys.cached, plain = lambda headers, peer: known(plain, headers, peer), site.keys.cached

    def known(cached, headers, peer):
        key = dict(headers)[b"x-api-key"]
        return cached([(b"authorization", b"Bearer " + key)], peer)

    async with served(site) as (_, channel):
        said = await chat(channel, HI, metadata=(("x-api-key", ALICE.key),))
    assert said.message.content == "Hello"


async def test_it_judges_the_peer_and_no_proxy(monkeypatch):
    site, seen = build(), []

    def refuse(headers, peer):
        seen.append((dict(headers), peer))
        raise IpNotAllowed

    monkeypatch.setattr(site.keys, "cached", refuse)
    async with served(site) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await chat(channel, HI, metadata=metadata(site.alice, **{"x-forwarded-for": "10.0.0.1"}))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert dict(refused.value.trailing_metadata())["clawdbot-code"] == "ip_not_allowed"
    [(headers, peer)] = seen
    assert peer == "127.0.0.1" and b"x-forwarded-for" not in headers


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:443", "192.0.2.1"),
        ("ipv6:[::1]:443", "::1"),
        ("ipv6:%5B2001:db8::1%5D:50051", "2001:db8::1"),
        ("unix:/run/grpc.sock", None),
        ("unix:", None),
    ],
)
def test_it_reads_the_address_of_a_peer(peer, address):
    assert address_of(peer) == address


async def test_it_hands_metadata_on():
    model = ScriptedModel()
    site = build(model)
    more = {"x-request-id": "mine-1", "accept-language": "zh-TW", "idempotency-key": "k-1", "cache-control": "no-store"}
    async with served(site) as (_, channel):
        call = chat(channel, HI, metadata=metadata(site.alice, **more))
        await call
        assert dict(await call.trailing_metadata())["request-id"] == "mine-1"
    request = model.calls[0].request
    assert (request.request_id, request.language, request.idempotency) == ("mine-1", "zh-TW", "k-1")
    assert (request.cache, request.edge, request.resumable) == ("no-store", "grpc", False)


async def test_fields_count_before_metadata():
    model = ScriptedModel()
    site = build(model)
    asked = pb.ChatRequest(message="Hi", idempotency_key="k-2", cache="no-cache", language="en")
    more = {"accept-language": "zh", "idempotency-key": "k-1", "cache-control": "no-store"}
    async with served(site) as (_, channel):
        await chat(channel, asked, metadata=metadata(site.alice, **more))
    request = model.calls[0].request
    assert (request.language, request.idempotency, request.cache) == ("en", "k-2", "no-cache")


async def test_it_tells_errors_in_the_callers_language():
    site = build()
    site.behind.limiter.refusal = RateLimited(retry_after=6.2)
    async with served(site) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await chat(channel, HI, metadata=metadata(site.alice, **{"accept-language": "zh-CN"}))
    error = refused.value
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "请求过于频繁。")
    told = dict(error.trailing_metadata())
    assert (told["retry-after"], told["retryable"], told["clawdbot-code"]) == ("7", "true", "rate_limited")


@pytest.mark.parametrize("method", [chat, lambda *asked, **more: stream_chat(*asked, **more).read()])
async def test_the_language_a_request_names_comes_before_the_metadatas(method):
    site = build()
    site.behind.limiter.refusal = RateLimited(retry_after=6.2)
    async with served(site) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            asked = pb.ChatRequest(message="Hi", language="zh")
            await method(channel, asked, metadata=metadata(site.alice, **{"accept-language": "en"}))
    assert refused.value.details() == "请求过于频繁。"


def test_every_error_has_a_status_of_grpc():
    names = {status.name for status in grpc.StatusCode} - {"OK"}
    assert {translation.grpc for translation in errors.TABLE.values()} <= names


async def test_it_keeps_the_types_of_what_is_not_typed():
    model = ScriptedModel()
    site = build(model)
    wanted = {"a": 1, "b": 2.5, "c": None, "d": [True, "x", {"e": {}}]}
    asked = pb.ChatRequest(message="Hi", metadata=struct(wanted), tool_choice=value("required"))
    asked.tools.add(name="look")
    asked.logit_bias["50256"] = -100
    asked.response_format.update({"type": "json_schema", "json_schema": {"name": "x", "schema": {"minItems": 2}}})
    async with served(site) as (_, channel):
        await chat(channel, asked, metadata=metadata(site.alice))
    request = model.calls[0].request
    assert request.metadata == wanted
    assert type(request.metadata["a"]) is int
    assert request.params == {
        "tool_choice": "required",
        "logit_bias": {"50256": -100.0},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"minItems": 2}}},
    }


def struct(body):
    made = struct_pb2.Struct()
    made.update(body)
    return made


def value(word):
    return struct_pb2.Value(string_value=word)


# Deadlines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [chat, stream_chat])
async def test_a_deadline_ends_the_turn_and_its_call_upstream(ask):
    model = ScriptedModel(["Hel", asyncio.Event(), "lo"])
    site = build(model)
    async with served(site) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as late:
            call = ask(channel, HI, metadata=metadata(site.alice), timeout=0.3)
            if ask is chat:
                await call
            else:
                _ = [event async for event in call]
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await within(0.5, lambda: model.closed == 1)
        await within(0.5, lambda: site.behind.journal.states == ["cancelled"])
    assert len(site.parts.running) == 0 and site.behind.limiter.open == 0


async def test_another_caller_can_cancel_a_turn():
    model = ScriptedModel(["Hel", asyncio.Event()])
    site = build(model)
    async with served(site) as (_, channel):
        call = stream_chat(channel, HI, metadata=metadata(site.alice))
        turn_id = (await call.read()).start.id
        await call.read()
        answer = await site.alice.post(f"/api/turns/{turn_id}/cancel")
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await call.read()
    assert answer.status == 202
    assert ended.value.code() is grpc.StatusCode.CANCELLED
    told = dict(ended.value.trailing_metadata())
    assert (told["clawdbot-code"], told["x-clawdbot-decision"]) == ("cancelled", turn_id)


# Metrics, health, reflection, stubs -----------------------------------------------------------------------------------


async def test_it_counts_calls():
    site = build(words=["bad"])
    async with served(site) as (_, channel):
        await chat(channel, HI, metadata=metadata(site.alice))
        with pytest.raises(grpc.aio.AioRpcError):
            await chat(channel, pb.ChatRequest(message="bad"), metadata=metadata(site.alice))
    text = site.parts.metrics.text().decode()
    counted = 'http_requests_total{method="POST",path="/clawdbot.v1.ChatService/Chat",status='
    assert f'{counted}"200"}} 1.0' in text and f'{counted}"400"}} 1.0' in text


async def test_health_follows_readiness():
    ready = True

    async def asked():
        return ready

    async with served(build(), asked) as (server, channel):
        health = health_pb2_grpc.HealthStub(channel)

        async def state(service):
            return (await health.Check(health_pb2.HealthCheckRequest(service=service))).status

        assert await state("") == await state(SERVICE) == STATES.SERVING
        ready = False
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == STATES.SERVING
        assert (await asyncio.wait_for(watch.read(), 30)).status == STATES.NOT_SERVING
        watch.cancel()
        ready = True
        await server.drain()
        assert await state(SERVICE) == STATES.NOT_SERVING


async def test_strangers_who_watch_its_health_leave_room_for_calls_and_probes(monkeypatch):
    monkeypatch.setattr("access.edges.grpc.server.Beside", lambda: Beside(2))
    site = build()
    async with served(site) as (_, channel):
        health = health_pb2_grpc.HealthStub(channel)
        watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
        for watch in watches:
            await watch.read()
        assert await health.Watch(health_pb2.HealthCheckRequest()).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        reflected = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        assert await reflected(iter([])).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == STATES.SERVING
        await chat(channel, HI, metadata=metadata(site.alice))
        watches[0].cancel()
        async with asyncio.timeout(30):
            while await (again := health.Watch(health_pb2.HealthCheckRequest())).read() is grpc.aio.EOF:
                await asyncio.sleep(0.01)
            again.cancel()


@pytest.mark.parametrize("method", ["Check", "Watch"])
async def test_a_stranger_who_sends_no_message_is_not_waited_for(monkeypatch, method):
    monkeypatch.setattr(beside, "SENT_WITHIN", 0.2)
    async with served(build()) as (_, channel):
        for sends_on in (True, False):
            call = channel.stream_stream(f"/grpc.health.v1.Health/{method}")(timeout=10)
            await (call.wait_for_connection() if sends_on else call.done_writing())
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_who_watches_its_health_is_not_waited_for():
    async with served(build()) as (server, channel):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        await asyncio.wait_for(server.stop(60), 30)


async def test_calls_under_way_are_waited_for():
    release = asyncio.Event()
    site = build(ScriptedModel(["Hel", release, "lo"]))
    async with served(site) as (server, channel):
        call = stream_chat(channel, HI, metadata=metadata(site.alice))
        events = aiter(call)
        await anext(events)
        stopping = asyncio.ensure_future(server.stop(60))
        await asyncio.sleep(0.05)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await chat(channel, HI, metadata=metadata(site.alice))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        release.set()
        assert [event async for event in events][-1].done.message.content == "Hello"
        await asyncio.wait_for(stopping, 30)


async def test_it_describes_itself():
    async with served(build()) as (_, channel):

        def described():
            with grpc.insecure_channel(channel.target) as plain:  # the reflection client knows no other
                database = ProtoReflectionDescriptorDatabase(plain)
                found = database.FindFileContainingSymbol(SERVICE)
                return set(database.get_services()), found.service[0]

        services, described_service = await asyncio.to_thread(described)
    assert {SERVICE, "grpc.health.v1.Health"} <= services
    assert [method.name for method in described_service.method] == ["Chat", "StreamChat", "Converse"]


async def test_what_is_no_method_is_unimplemented():
    async with served(build()) as (_, channel):
        method = channel.unary_unary(f"/{SERVICE}/Guess", pb.ChatRequest.SerializeToString, pb.ChatResponse.FromString)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(HI)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_stubs_are_those_of_the_proto(tmp_path):
    spec = importlib.util.spec_from_file_location("proto", ROOT / "tools/proto.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.generate(tmp_path)
    for target in tool.TARGETS:
        for name in tool.MADE:
            assert (ROOT / target / name).read_text() == (tmp_path / target / name).read_text(), "run `make proto`"


def test_an_answer_says_no_more_than_it_knows():
    said = pb.ServerFrame(delta=writing.delta({"content": ""})).delta
    assert MessageToDict(said) == {"content": ""}


async def test_a_stream_that_is_not_read_is_cancelled(monkeypatch):
    monkeypatch.setattr("access.edges.grpc.calls.STALLED", 0.2)
    model = ScriptedModel([*["x" * 4096] * 4000, "end"])
    site = build(model)
    # Else a client that nobody reads takes the more the slower the machine is, and in the end all of it.
    async with served(site, options=(("grpc.http2.bdp_probe", 0),)) as (_, channel):
        call = stream_chat(channel, HI, metadata=metadata(site.alice))
        await call.read()
        await within(10, lambda: site.behind.journal.states == ["cancelled"])
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            while await asyncio.wait_for(call.read(), 30) is not grpc.aio.EOF:
                pass
        assert dict(ended.value.trailing_metadata())["clawdbot-code"] == "rate_limited"


# TLS ------------------------------------------------------------------------------------------------------------------


def certificate():
    """A key and a certificate of `localhost` that signs itself, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return pem.decode(), made.public_bytes(serialization.Encoding.PEM).decode()


async def test_it_speaks_tls(settings):
    settings.GRPC_KEY, settings.GRPC_CERT = certificate()
    server = GrpcServer(build().parts, yes, kind=client.KIND)
    port = server.listen("127.0.0.1:0", credentials())
    await server.start()
    try:
        async with GrpcClient(f"localhost:{port}", ALICE.key, roots=settings.GRPC_CERT.encode()) as caller:
            assert (await caller.chat("Hi")).text == "Hello"
    finally:
        await server.drain()
        await server.stop(0)


def test_tls_needs_both(settings):
    settings.GRPC_KEY, settings.GRPC_CERT = "", "a certificate"
    with pytest.raises(ImproperlyConfigured, match="GRPC_CERT and GRPC_KEY"):
        credentials()
