"""Callers of a platform that is being restarted: requests, streams, sockets, gRPC calls, each for ever, each exact.

Whatever a caller could complain about goes to `failures`; the other figures count what went well."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import grpc
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from access.edges.grpc.generated import chat_pb2 as pb

ASK = json.dumps({"type": "chat", "ref": 1, "message": "Hello"})
SERVICE = "clawdbot.v1.ChatService"
QUICK_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
)


def as_frame(event: str) -> str:
    """The frame of a socket that a server-sent event stands for."""
    number, name, data = (line.partition(": ")[2] for line in event.split("\n"))
    rest = "}" if data == "{}" else f",{data[1:]}"
    return f'{{"type":"{name}","ref":1,"event_id":"{number}"{rest}'


@dataclass
class Load:
    """`web` and `grpc` are the ports to call; `whole` and `streamed` what the model says either way."""

    web: int
    grpc: int
    key: str
    whole: str
    streamed: str
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    over: bool = False

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def run(self, *, requests: int, streams: int, sockets: int, calls: int) -> None:
        """Until `over`; what runs then is finished."""
        await asyncio.gather(
            *(self._again("request", self._requests) for _ in range(requests)),
            *(self._again("stream", self._stream) for _ in range(streams)),
            *(self._again("socket", lambda seed=seed: self._socket(random.Random(seed))) for seed in range(sockets)),
            *(self._again("call", self._calls) for _ in range(calls)),
        )

    async def _again(self, kind: str, work: Callable[[], Awaitable[None]]) -> None:
        while not self.over:
            try:
                async with asyncio.timeout(180):
                    await work()
            except (
                AssertionError,
                OSError,
                aiohttp.ClientError,
                grpc.RpcError,
                TimeoutError,
                ConnectionClosed,
            ) as error:
                self.failures.append(f"{kind}: {error!r}")
                await asyncio.sleep(0.1)

    # One request after the other on a connection that is kept ---------------------------------------------------------

    async def _requests(self) -> None:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.web}", headers=self.headers) as session:
            while not self.over:
                async with session.post("/api/chat", json={"message": "Hello"}) as answer:
                    told = await answer.json()
                    assert answer.status == 200 and told["message"]["content"] == self.whole, (answer.status, told)
                self.done["request"] += 1
                await asyncio.sleep(0.02)

    async def _stream(self) -> None:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.web}", headers=self.headers) as session:
            body = {"message": "Hello", "stream": True}
            async with session.post("/api/chat", json=body) as answer:
                assert answer.status == 200, await answer.text()
                self.done["stream begun"] += 1
                said = (await answer.read()).decode()
        events = [dict(line.split(": ", 1) for line in event.split("\n")) for event in said.strip().split("\n\n")]
        text = "".join(json.loads(event["data"]).get("content", "") for event in events if event["event"] == "delta")
        assert text == self.streamed and events[-1]["event"] == "done", f"a stream was cut: {said[-300:]}"
        self.done["stream"] += 1

    # A socket: now and then its network breaks in the middle of a turn; told to go elsewhere, it goes -----------------

    async def _socket(self, chance: random.Random) -> None:
        connection = await self._connect()
        while not self.over:
            try:
                connection = await self._turn(connection, chance)
            except ConnectionClosed as closed:
                assert closed.rcvd is not None and closed.rcvd.code == 1012, f"a socket was closed: {closed!r}"
                self.done["1012"] += 1
                connection = await self._connect()
        await connection.close()

    async def _connect(self) -> ClientConnection:
        return await connect(f"ws://127.0.0.1:{self.web}/ws/chat", subprotocols=["bearer", self.key], proxy=None)

    async def _turn(self, connection: ClientConnection, chance: random.Random) -> ClientConnection:
        """One, and the connection it ended on. Raises ConnectionClosed before its first event."""
        had: list[str] = []
        await connection.send(ASK)
        breaks_after = chance.choice([3, 10, 1_000_000])
        while not had or json.loads(had[-1])["type"] != "done":
            try:
                event = await connection.recv()
                if json.loads(event).get("code") == "overloaded":  # it was about to be told to go
                    connection = await (self._resume(had) if had else self._ask())
                    continue
                had.append(event)
                assert json.loads(event)["type"] != "error", event
                if len(had) == 1:
                    self.done["socket begun"] += 1
            except ConnectionClosed as closed:
                if not had:
                    raise
                assert closed.rcvd is not None and closed.rcvd.code == 1012, f"a turn's socket was closed: {closed!r}"
                connection = await self._resume(had)
                self.done["1012 in a turn"] += 1
            if len(had) == breaks_after:
                connection.transport.abort()
                connection = await self._resume(had)
                self.done["resumed"] += 1
        await self._compare(had)
        return connection

    async def _ask(self) -> ClientConnection:
        connection = await self._connect()
        await connection.send(ASK)
        return connection

    async def _resume(self, had: Sequence[str]) -> ClientConnection:
        connection = await self._connect()
        last = json.loads(had[-1])["event_id"]
        asked = {"type": "resume", "ref": 1, "turn_id": json.loads(had[0])["id"], "last_event_id": last}
        await connection.send(json.dumps(asked))
        return connection

    async def _compare(self, had: Sequence[str]) -> None:
        """What arrived is what a client gets that nothing happened to, to the byte."""
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.web}", headers=self.headers) as session:
            async with session.get(f"/api/turns/{json.loads(had[0])['id']}/events") as answer:
                whole = await answer.read()
        events = whole.decode().split("\n\n")[:-1]
        assert list(had) == [as_frame(event) for event in events], "a resumed turn has other bytes"
        text = "".join(json.loads(each).get("content", "") for each in had if json.loads(each)["type"] == "delta")
        assert text == self.streamed, text
        self.done["socket"] += 1

    # gRPC: one call after the other on a channel of its own -----------------------------------------------------------

    async def _calls(self) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.grpc}", options=QUICK_RECONNECT) as channel:
            method = channel.unary_stream(
                f"/{SERVICE}/StreamChat", pb.ChatRequest.SerializeToString, pb.ChatEvent.FromString
            )
            while not self.over:
                call = method(pb.ChatRequest(message="Hello"), metadata=(("authorization", f"Bearer {self.key}"),))
                events = []
                async for event in call:
                    if not events:
                        self.done["call begun"] += 1
                    events.append(event)
                text = "".join(event.delta.content for event in events)
                assert text == self.streamed and events[-1].WhichOneof("kind") == "done", f"a call was cut: {text}"
                self.done["call"] += 1
