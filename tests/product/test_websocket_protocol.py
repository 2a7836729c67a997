"""The WebSocket protocol of the running product: two workers, the real server, the `websockets` library as client."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.adapters.upstream import HANG as HANGS
from tests.adapters.upstream import Upstream, by_stream, events, streamed, whole
from tests.conformance.websocket import HANG, Closed, LiveWebSocketSuite, Refused, code_of, until
from tests.product.running import Product
from tests.product.running import until as wait_until

WAIT = 60.0


class Line:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.protocol = socket.subprotocol
        self.extensions = socket.protocol.extensions

    async def send(self, frame: Any) -> None:
        try:
            await self.socket.send(json.dumps(frame) if isinstance(frame, dict) else frame)
        except ConnectionClosed:
            return  # a flood may be cut off before its end

    async def frame(self) -> dict[str, Any]:
        try:
            return json.loads(await asyncio.wait_for(self.socket.recv(), WAIT))
        except ConnectionClosed as closed:
            raise Closed(closed.rcvd.code if closed.rcvd is not None else 1006) from None


class Stuck(Line):
    def __init__(self, socket: ClientConnection, product: Product) -> None:
        super().__init__(socket)
        self.product = product
        self.before = closed(product, "slow")

    async def dropped(self) -> None:
        count = lambda: closed(self.product, "slow") > self.before  # noqa: E731
        await asyncio.to_thread(wait_until, count, "the slow reader is dropped")

    async def rest(self) -> tuple[list[dict[str, Any]], int]:
        had: list[dict[str, Any]] = []
        try:
            while True:
                had.append(await self.frame())
        except Closed as end:
            return had, end.code


class Live:
    def __init__(self, product: Product, row: int, key: str) -> None:
        self.product, self.row, self.key = product, row, key

    @asynccontextmanager
    async def open(
        self,
        path: str = "/ws/chat",
        headers: dict[str, str] | None = None,
        protocols: Sequence[str] = (),
        **options: Any,
    ) -> AsyncIterator[Line]:
        url = f"ws{self.product.url[4:]}{path}"
        try:
            async with connect(
                url,
                additional_headers=headers,
                subprotocols=list(protocols) or None,
                proxy=None,
                max_size=None,
                **options,
            ) as socket:
                yield Line(socket)
        except InvalidStatus as refused:
            raise Refused(refused.response.status_code, json.loads(refused.response.body)["error"]) from None

    @asynccontextmanager
    async def stuck(self, frame: dict[str, Any]) -> AsyncIterator[Stuck]:
        options: dict[str, Any] = {"max_queue": 1, "ping_interval": None}  # then the library reads no more
        async with self.open(protocols=["bearer", self.key], **options) as line:
            await line.send(frame)
            yield Stuck(line.socket, self.product)

    async def ticket(self) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            with self.product.http(self.key) as client:
                return client.post("/api/ws-ticket").json()

        return await asyncio.to_thread(ask)

    async def revoke(self) -> None:
        code = f"services.revoke_api_key(key=ApiKey.objects.everywhere().get(pk={self.row}))"
        await asyncio.to_thread(self.product.operate, code)


def counted(product: Product, metric: str) -> int:
    """What all workers count together, up to a second ago: `websockets `, or the rest of the name and its labels."""
    name = re.escape(f"clawdbot_{metric}" if metric.startswith("websockets") else f"clawdbot_websockets_{metric}")
    with product.http("") as client:
        said = client.get("/metrics").text
    return sum(int(float(number)) for number in re.findall(rf"^{name}(\S+)$", said, re.MULTILINE))


def closed(product: Product, reason: str) -> int:
    return counted(product, f'closed_total{{reason="{reason}"}} ')


def made_key(product: Product) -> tuple[int, str]:
    made = (
        "row, key = services.create_api_key(tenant=Tenant.objects.get(slug='demo'), name='ws')\nvalue = [row.pk, key]"
    )
    row, key = product.operate(made)
    return row, key


class TestWebSocket(LiveWebSocketSuite):
    @pytest.fixture(autouse=True)
    def _product(self, gateway: Product, upstream: Upstream):
        self.gateway, self.upstream = gateway, upstream

    @asynccontextmanager
    async def place(self, *said: Any) -> AsyncIterator[Live]:
        script = streamed(events(*(each for each in said if each is not HANG)))
        if HANG in said:
            script = [*script[:-4], HANGS]
        self.upstream.answers(whole("whole"), script, choose=by_stream)
        row, key = await asyncio.to_thread(made_key, self.gateway)
        yield Live(self.gateway, row, key)


def test_it_logs_no_credential(gateway: Product):
    """Runs after the suite, whose handshakes had keys wherever one can be put."""

    async def knock() -> None:
        place = Live(gateway, *await asyncio.to_thread(made_key, gateway))
        for path, headers, protocols in [
            (f"/ws/chat?token={place.key}", {}, []),
            ("/ws/chat", {}, ["bearer", place.key + "x"]),
            ("/ws/chat", {"X-API-Key": place.key + "x"}, []),
        ]:
            with pytest.raises(Refused):
                async with place.open(path, headers, protocols):
                    pass
        keys.append(place.key)

    keys: list[str] = []
    asyncio.run(knock())
    logs = [gateway.said(), *(file.read_text(errors="replace") for file in gateway.folder.rglob("*.log"))]
    assert not [key for key in keys for log in logs if key in log]
    others = [log.replace(gateway.key, "") for log in logs]  # which the first start shows its operator
    assert not any("cb_" in log or "ticket=" in log or "eyJ" in log for log in others)


async def test_a_worker_that_is_replaced_says_so_after_its_turns(gateway: Product, upstream: Upstream):
    """Both are, one after the other; a turn that runs is finished first."""
    upstream.answers(whole("whole"), streamed(events("a", "b", "c", "d"), 0.5), choose=by_stream)
    place = Live(gateway, *await asyncio.to_thread(made_key, gateway))
    async with place.open(protocols=["bearer", place.key]) as idle, place.open(protocols=["bearer", place.key]) as busy:
        await busy.send({"type": "chat", "ref": 1, "message": "Hi"})
        await until(busy, "delta")
        os.kill(gateway.child("web server"), signal.SIGHUP)
        done = (await until(busy, "done", "error"))[-1]
        assert done["type"] == "done" and done["message"]["content"] == "abcd"
        assert [await code_of(busy), await code_of(idle)] == [1012, 1012]
    async with place.open(protocols=["bearer", place.key]) as line:
        await line.send({"type": "resume", "ref": 1, "turn_id": done["id"]})
        assert (await until(line, "done", "error"))[-1] == done
