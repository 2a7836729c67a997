"""Every way an address of somebody else's becomes a connection of ours: each is one function of a URL's authority."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from access.people import provider_calls
from adapters.base import AdapterConfig
from adapters.ollama_chat import OllamaChatAdapter
from adapters.openai_compatible import OpenAICompatibleAdapter
from engine.aiohttp_client import AiohttpClient
from engine.http1 import DirectClient
from engine.outbound import Timeouts
from engine.types import ChatRequest, EmbedCall, Message, ModelCall
from plugins.databases.catalogue import Source
from plugins.databases.connecting import engine_of
from plugins.outbox import brokers
from plugins.outbox.events import test_event as made
from tenants import webhooks
from tenants.isolation import Deployment

SHORT = Timeouts(connect=2, read=2)
EVENT = made("test-1", "acme", 0.0)
CALL = ModelCall(model="m", messages=[], request=ChatRequest(messages=[Message(role="user", content="Hello")]))


def loop(work: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[[str], None]:
    """On an event loop of its own, whose clients are closed."""

    async def run(authority: str) -> None:
        async with asyncio.timeout(30):
            await work(authority)

    return lambda authority: asyncio.run(run(authority))


def client(kind: Any) -> Callable[[str], None]:
    async def call(authority: str) -> None:
        http = kind()
        try:
            await http.post(f"http://{authority}/v1", headers={"Authorization": "k"}, body=b"{}", timeouts=SHORT)
        finally:
            await http.close()

    return loop(call)


def adapter(kind: Any, ask: Callable[[Any], Coroutine[Any, Any, Any]]) -> Callable[[str], None]:
    """As the router builds it for an instance without `allow_private`."""

    async def call(authority: str) -> None:
        http = DirectClient()
        try:
            await ask(kind(AdapterConfig(endpoint=f"http://{authority}/v1", api_key="k", timeout=2), http))
        finally:
            await http.close()

    return loop(call)


async def turn(instance: Any) -> None:
    async for _ in instance.stream(CALL):
        pass


def database(dialect: Any) -> Callable[[str], None]:
    def look(authority: str) -> None:
        url = f"{dialect}://reader:secret@{authority}/shop"
        source = Source(
            id=1, tenant_id=1, tenant="acme", name="shop", dialect=dialect, url=url, tables=(), time_limit=1.0
        )
        engine = engine_of(source)
        try:
            engine.raw_connection().close()
        finally:
            engine.dispose()

    return look


def queue(scheme: str, kind: str) -> Callable[[str], None]:
    def publish(authority: str) -> None:
        url = f"{scheme}://:secret@{authority}/0"
        sink: Any
        if kind == "stream":
            brokers.check_broker(url, kind)
            sink = brokers.StreamSink(brokers.parsed(url), "events", 0)
        else:
            brokers.check_broker(url, kind)
            sink = brokers.KombuSink(url, queue="events")
        try:
            sink.send(EVENT)
        finally:
            sink.close()

    return publish


async def store(authority: str) -> None:
    deployment = Deployment.own(f"redis://:secret@{authority}/0")
    try:
        await deployment.database(0).call("PING")
    finally:
        await deployment.close()


ENTRANCES: dict[str, Callable[[str], None]] = {
    "client": client(DirectClient),
    "aiohttp": client(AiohttpClient),
    "instance": adapter(OpenAICompatibleAdapter, turn),
    "ollama": adapter(OllamaChatAdapter, turn),
    "probe": adapter(OpenAICompatibleAdapter, lambda it: it.probe()),
    "embeddings": adapter(OpenAICompatibleAdapter, lambda it: it.embed(EmbedCall(model="m", inputs=["a"]))),
    "webhook": lambda authority: webhooks.post(f"http://{authority}/hook", b"{}", secret="s"),
    "identity provider": lambda authority: (
        provider_calls.session().get(f"http://{authority}/.well-known/openid-configuration").raise_for_status()
    ),
    "postgresql": database("postgresql"),
    "mysql": database("mysql"),
    "amqp": queue("amqp", "queue"),
    "redis": queue("redis", "queue"),
    "stream": queue("redis", "stream"),
    "store": loop(store),
}
