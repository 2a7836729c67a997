"""What a collector is sent of turns on every edge, and that it is sent nothing where none is set."""

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager
from types import SimpleNamespace

import grpc
import pytest
from django.core.exceptions import ImproperlyConfigured

from access.edges.grpc.generated import chat_pb2 as pb
from clawdbot_site.telemetry.exporting import Collector as Settings
from clawdbot_site.telemetry.exporting import Telemetry
from clawdbot_site.telemetry.figures import EACH, FIRST, NAMES, SECONDS, TOKENS
from clawdbot_site.telemetry.opening import NoTelemetry, open_telemetry
from clawdbot_site.telemetry.propagation import TracedClient
from engine.context import CONTEXT
from engine.errors import UpstreamError, UpstreamTimeout
from engine.types import End, Instance, Usage
from tests.access.grpc.client import chat, metadata, served
from tests.access.parts import build
from tests.conformance.edges import HI
from tests.engine.parts import ALICE, ScriptedModel, ask
from tests.services.collector import Collector, attributes

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = PARENT.split("-")[1]
PROMPT, ANSWER = "canary-prompt", "canary-answer"


def telemetry_of(collector: Collector, **changes) -> Telemetry:
    settings = {
        "traces": f"{collector.url}/v1/traces",
        "metrics": f"{collector.url}/v1/metrics",
        "headers": {"x-collector-key": "k"},
        "service": "gateway",
        "version": "1",
        "attributes": {"deployment.environment": "test"},
        "sampler": "parentbased_always_on",
        "ratio": 1.0,
        "metric_interval": 60_000,
        "span_delay": 50,
        "queue": 2048,
        "upstream": False,
        **changes,
    }
    return Telemetry(Settings(**settings))


@asynccontextmanager
async def followed(*models: ScriptedModel, given=None, **options):
    """A site whose telemetry goes to a collector; both are complete once the block is left."""
    with Collector() as collector:
        telemetry = telemetry_of(collector, **(given or {}))
        site = build(*models, tracer=telemetry.tracer, observer=telemetry.observer, **options)
        try:
            yield site, collector
            await site.parts.engine.drain()
        finally:
            await telemetry.close()


def named(collector: Collector, name: str):
    return [span for span in collector.spans if span.name == name]


def one(collector: Collector, name: str):
    (span,) = named(collector, name)
    return span


async def test_it_follows_a_turn_from_the_request_to_the_model():
    async with followed(ScriptedModel([ANSWER])) as (site, collector):
        answer = await site.alice.post("/api/chat", {"message": PROMPT}, {"X-Request-Id": "req-1"})
        assert answer.status == 200
    request, turn, call = (one(collector, name) for name in ("POST /api/chat", "turn rest", "chat scripted"))
    assert (request.kind, turn.kind, call.kind) == (2, 1, 3)
    assert (turn.parent, call.parent) == (request.id, turn.id) and request.parent == b""
    assert request.attributes == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/api/chat",
        "http.response.status_code": 200,
        "clawdbot.request.id": "req-1",
        "clawdbot.tenant": "acme",
    }
    assert turn.attributes["clawdbot.state"] == "completed" and turn.attributes["clawdbot.tenant"] == "acme"
    assert turn.attributes["clawdbot.turn.id"] == answer.json["id"]
    assert call.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "scripted",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "clawdbot.instance": "scripted",
    }
    steps = [span.name for span in collector.children(turn) if span is not call]
    assert steps == ["admit", "session.open", "guard.input", "plugins.pre", "route", "journal.completion"]
    assert [name for name, _ in turn.events] == ["first_token"]
    assert request.resource["service.name"] == "gateway" and request.resource["deployment.environment"] == "test"
    assert all(headers["x-collector-key"] == "k" for headers in collector.headers)


async def test_it_names_the_session_and_what_the_guard_found():
    async with followed(ScriptedModel([ANSWER]), words=["listed"]) as (site, collector):
        await site.alice.post("/api/chat", {"message": "a listed word"})
        await site.alice.post("/v1/chat/completions", {"messages": HI}, {"X-Session-Id": "s1"})
    blocked, remembered = (one(collector, f"turn {edge}") for edge in ("rest", "openai"))
    assert blocked.failed and blocked.attributes["error.type"] == "content_blocked"
    (hit,) = [about for name, about in blocked.events if name == "guard.hit"]
    assert hit["clawdbot.guard.action"] == "block" and set(hit) == {
        f"clawdbot.guard.{name}" for name in ("list", "action", "where")
    }
    assert remembered.attributes["gen_ai.conversation.id"] == "s1"
    assert "session.open" in [span.name for span in collector.children(remembered)]


async def test_it_follows_every_try_of_a_turn():
    models = (ScriptedModel([UpstreamTimeout()]), ScriptedModel([UpstreamError(f"{PROMPT} {ANSWER}")]), ScriptedModel())
    async with followed(*models) as (site, collector):
        assert (await site.alice.post("/api/chat", {"message": PROMPT})).status == 200
    first, second, third = named(collector, "chat scripted")
    assert [call.attributes.get("error.type") for call in (first, second, third)] == [
        "upstream_timeout",
        "upstream_error",
        None,
    ]
    assert [call.failed for call in (first, second, third)] == [True, True, False]
    assert {call.parent for call in (first, second, third)} == {one(collector, "turn rest").id}
    assert not one(collector, "turn rest").failed


async def test_it_says_why_a_turn_failed_and_nothing_that_was_said():
    broken = [ScriptedModel([UpstreamError(f"{PROMPT} {ANSWER}")]) for _ in range(2)]
    async with followed(*broken) as (site, collector):
        assert (await site.alice.post("/api/chat", {"message": PROMPT})).status == 502
        assert (await site.stranger.post("/api/chat", {"message": PROMPT})).status == 401
    turn = one(collector, "turn rest")
    assert turn.failed and turn.attributes["error.type"] == "upstream_error"
    failed, refused = sorted(named(collector, "POST /api/chat"), key=lambda span: not span.failed)
    assert failed.attributes["error.type"] == "502" and not refused.failed
    assert not any(word.encode() in body for body in collector.raw for word in (PROMPT, ANSWER))


async def test_it_names_no_model_that_there_is_not():
    """What callers ask for is any text until there is such a model."""
    async with followed(ScriptedModel()) as (site, collector):
        assert (await site.alice.post("/api/chat", {"message": "Hi", "model": "missing"})).status == 404
    assert one(collector, "turn rest").attributes["error.type"] == "model_not_found"
    assert not any(b"missing" in body for body in collector.raw)


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_it_follows_streams_in_the_trace_of_the_caller(path):
    async with followed(ScriptedModel([PROMPT, ANSWER])) as (site, collector):
        body = {"message": PROMPT} if path == "/api/chat" else {"messages": HI}
        await site.alice.post(path, {**body, "stream": True}, {"traceparent": PARENT})
    request = one(collector, f"POST {path}")
    assert request.parent.hex() == PARENT.split("-")[2] and {span.trace for span in collector.spans} == {TRACE}
    call = one(collector, "chat scripted")
    (turn,) = [span for span in collector.spans if span.id == call.parent]
    assert turn.parent == request.id
    assert not any(word.encode() in body for body in collector.raw for word in (PROMPT, ANSWER))


async def test_it_follows_grpc_calls():
    async with followed(ScriptedModel([ANSWER])) as (site, collector), served(site) as (_, channel):
        given = metadata(site.alice, traceparent=PARENT)
        await chat(channel, pb.ChatRequest(message=PROMPT), metadata=given)
        with pytest.raises(grpc.aio.AioRpcError):
            await chat(channel, pb.ChatRequest(message=PROMPT), metadata=())
        await asyncio.sleep(0.05)
    call, refused = sorted(named(collector, "clawdbot.v1.ChatService/Chat"), key=lambda span: span.trace != TRACE)
    assert call.attributes["rpc.method"] == "Chat" and call.attributes["clawdbot.tenant"] == "acme"
    assert one(collector, "turn grpc").parent == call.id and refused.trace != TRACE


async def test_it_follows_each_turn_of_a_socket_by_itself():
    async with followed(ScriptedModel([ANSWER])) as (site, collector):
        async with site.alice.socket(headers={"traceparent": PARENT}) as socket:
            await socket.connect()
            for ref in ("a", "b"):
                socket.send({"type": "chat", "ref": ref, "message": PROMPT})
                await socket.until("done")
    turns = named(collector, "turn websocket")
    assert len(turns) == 2 and {(turn.kind, turn.trace) for turn in turns} == {(2, TRACE)}
    assert len(named(collector, "chat scripted")) == 2


async def test_it_ends_the_spans_of_who_leaves():
    async with followed(ScriptedModel(["x", asyncio.Event()])) as (site, collector):
        exchange = site.alice.begin("POST", "/v1/chat/completions", {"messages": HI, "stream": True})
        await exchange.piece()
        exchange.leave()
        await exchange.task
    turn, call = one(collector, "turn openai"), one(collector, "chat scripted")
    assert turn.attributes["clawdbot.state"] == "cancelled" and not turn.failed
    assert call.attributes["error.type"] in ("CancelledError", "GeneratorExit")


async def test_it_sends_the_figures_of_the_conventions_with_their_boundaries():
    async with followed(ScriptedModel(["a", 0.01, "b"])) as (site, collector):
        await site.alice.post("/api/chat", {"message": "Hi"})
    expected = {
        "gen_ai.client.token.usage": TOKENS,
        "gen_ai.client.operation.duration": SECONDS,
        "gen_ai.server.request.duration": SECONDS,
        "gen_ai.server.time_to_first_token": FIRST,
        "gen_ai.server.time_per_output_token": EACH,
    }
    assert {name for name, _ in collector.metrics} == set(expected)
    for name, bounds in expected.items():
        for point in collector.points(name):
            assert tuple(point.explicit_bounds) == bounds and point.count == 1
    sums = {point.sum for point in collector.points("gen_ai.client.token.usage")}
    assert sums == {3.0, 5.0}


async def test_neither_callers_nor_services_make_series_without_end():
    """Behind a wildcard any name may be asked for, and a service may call its model whatever it likes."""
    wildcard = Instance(id=1, name="any/*", adapter="scripted")
    with Collector() as collector:
        telemetry = telemetry_of(collector)
        for number in range(40):
            route = SimpleNamespace(instance=wildcard, upstream_model=f"any/{number}", model="any/*", adapter=None)
            turn = telemetry.tracer.turn(ALICE, ask("Hi"), "t")
            answer = End({0: "stop"}, Usage(3, 5), model=f"said-{number}")
            assert [event async for event in turn.call(route, _one(answer))] == [answer]
            turn.end(state="completed", session_id=None, route=route, source="model", usage=Usage(3, 5), ttft=0.1,
                     verdicts=(), skipped=())  # fmt: skip
        await telemetry.close()
    points = [attributes(point.attributes) for point in collector.points("gen_ai.client.operation.duration")]
    assert {point["gen_ai.request.model"] for point in points} == {"any/*"}
    assert len(points) == NAMES + 1 and "other" in {point["gen_ai.response.model"] for point in points}
    assert len(collector.points("gen_ai.server.request.duration")) == 1
    assert one(collector, "chat any/39").attributes["gen_ai.response.model"] == "said-39"


async def _one(event):
    yield event


async def test_it_samples_as_the_caller_did_or_by_the_ratio():
    unsampled = PARENT[:-2] + "00"
    ratio = {"sampler": "parentbased_traceidratio", "ratio": 0.0}
    async with followed(ScriptedModel(), given=ratio) as (site, collector):
        await site.alice.post("/api/chat", {"message": "Hi"})
        await site.alice.post("/api/chat", {"message": "Hi"}, {"traceparent": PARENT})
        await site.alice.post("/api/chat", {"message": "Hi"}, {"traceparent": unsampled})
    assert {span.trace for span in collector.spans} == {TRACE} and len(named(collector, "turn rest")) == 1
    assert sum(point.count for point in collector.points("gen_ai.server.request.duration")) == 3


async def test_a_dead_collector_costs_no_turn_and_little_memory():
    with Collector() as collector:
        collector.status = 503
        telemetry = telemetry_of(collector, queue=16, span_delay=10)
        site = build(ScriptedModel(), tracer=telemetry.tracer, observer=telemetry.observer)
        for _ in range(40):
            assert (await site.alice.post("/api/chat", {"message": "Hi"})).status == 200
        await telemetry.close()  # returns, though nothing was taken


class Recording:
    def __init__(self):
        self.headers = []

    async def post(self, url, *, headers, body, timeouts):
        self.headers.append(dict(headers))


async def test_it_tells_services_the_trace_only_where_the_setting_says_so():
    class Calling(ScriptedModel):
        async def stream(self, call):
            await client.post("http://x", headers={"a": "b"}, body=b"", timeouts=None)
            async for event in super().stream(call):
                yield event

    inner = Recording()
    client = TracedClient(inner)
    async with followed(Calling(), given={"upstream": True}) as (site, collector):
        await site.alice.post("/api/chat", {"message": "Hi"})
    call = one(collector, "chat scripted")
    (headers,) = inner.headers
    assert headers["a"] == "b" and headers["traceparent"].startswith(f"00-{call.trace}-{call.id.hex()}-")
    inner.headers.clear()
    async with followed(Calling()) as (site, _):
        await site.alice.post("/api/chat", {"message": "Hi"})
    assert inner.headers == [{"a": "b"}]


async def test_without_a_collector_a_turn_is_followed_by_nobody(settings):
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = ""
    assert isinstance(open_telemetry(), NoTelemetry)
    settings.OTEL_EXPORTER_OTLP_ENDPOINT, settings.OTEL_SDK_DISABLED = "http://127.0.0.1:9", True
    assert isinstance(open_telemetry(), NoTelemetry)


def test_it_refuses_settings_that_make_no_sense(settings):
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:9"
    settings.OTEL_TRACES_SAMPLER_ARG = "2"
    with pytest.raises(ImproperlyConfigured, match="OTEL_TRACES_SAMPLER_ARG"):
        open_telemetry()
    settings.OTEL_TRACES_SAMPLER_ARG, settings.OTEL_EXPORTER_OTLP_HEADERS = "", ["secret-without-a-name"]
    with pytest.raises(ImproperlyConfigured) as refused:
        open_telemetry()
    assert "secret-without-a-name" not in str(refused.value)


WORKER = """
import sys, clawdbot_site.asgi, clawdbot_site.urls, clawdbot_site.celery, access.edges.grpc.server
from clawdbot_site.telemetry.opening import open_telemetry
clawdbot_site.asgi.create()
open_telemetry()
ours = ("opentelemetry.exporter", "opentelemetry.sdk.trace", "clawdbot_site.telemetry.spans")
print([name for name in sys.modules if name.startswith(ours)])  # redis imports the SDK's metrics by itself
"""


def test_a_worker_without_a_collector_imports_nothing_for_it():
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip().splitlines()[-1]) == (0, "[]"), done.stderr


async def test_a_turn_names_itself_to_what_logs():
    site = build(ScriptedModel())
    seen = []

    async for _ in site.parts.engine.stream(ALICE, ask()):
        seen.append(CONTEXT.get())
    assert {(each.tenant, bool(each.turn)) for each in seen} == {("acme", True)}
