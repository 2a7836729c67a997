"""The WebSocket protocol in this process: the application without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from tests.access import asgi_client
from tests.access.parts import Site, build
from tests.cast import ALICE
from tests.conformance.websocket import HANG, Closed, Refused, WebSocketSuite, nowhere, unheld
from tests.engine.parts import ScriptedModel


def test_every_sentence_is_held():
    assert unheld() == []
    assert nowhere() == []


class Line:
    def __init__(self, socket: asgi_client.Socket, protocol: str | None) -> None:
        self.socket, self.protocol = socket, protocol

    async def send(self, frame: Any) -> None:
        self.socket.send(frame)

    async def frame(self) -> dict[str, Any]:
        try:
            return await self.socket.frame()
        except asgi_client.Closed as closed:
            raise Closed(closed.code) from None


class InProcess:
    key = ALICE.key

    def __init__(self, site: Site) -> None:
        self.site = site

    @asynccontextmanager
    async def open(
        self, path: str = "/ws/chat", headers: dict[str, str] | None = None, protocols: Sequence[str] = ()
    ) -> AsyncIterator[Line]:
        async with self.site.stranger.socket(path, headers, subprotocols=list(protocols)) as socket:
            try:
                protocol = await socket.connect()
            except asgi_client.Refused as refused:
                raise Refused(refused.status, orjson.loads(refused.body)["error"]) from None
            yield Line(socket, protocol)

    async def ticket(self) -> dict[str, Any]:
        return (await self.site.alice.post("/api/ws-ticket")).json

    async def revoke(self) -> None:
        self.site.keys.revoked.add(self.key)


class TestWebSocket(WebSocketSuite):
    @asynccontextmanager
    async def place(self, *said: Any) -> AsyncIterator[InProcess]:
        site = build(ScriptedModel([asyncio.Event() if each is HANG else each for each in said]))
        yield InProcess(site)
        await site.parts.generations.stop()
