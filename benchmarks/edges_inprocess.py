"""CPU microseconds a turn at every edge, without sockets: `python -m benchmarks.edges_inprocess [--rounds N]`.

As `benchmarks.inprocess`, whose rows of HTTP stand beside them: the real application with everything on, 32 callers
at a time, sessions of six turns. A WebSocket is what a server hands to an application; a gRPC call is the context that
handlers are given. What is left out are the servers and their transports, which `benchmarks.websocket` and
`benchmarks.grpc` measure."""

from __future__ import annotations

from benchmarks import inprocess, workload  # first: they set Django up

# isort: split

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import grpc
import orjson
import uvloop

from access.asgi import App, Event
from access.edges.grpc.generated import chat_pb2 as pb
from access.edges.grpc.service import ChatService
from benchmarks.canned import EVENTS, CannedHttp, CannedResponse
from benchmarks.inprocess import TOGETHER, Figures, Work, started
from clawdbot_site.wiring import Application
from engine.outbound import Timeouts

BATCH = 640
MODELS = ("one chunk", "32 chunks")


class Answering(CannedHttp):
    """Streams of one chunk, or of all."""

    def __init__(self) -> None:
        self.streamed = b"".join(EVENTS)

    def answer(self, model: str) -> None:
        self.streamed = b"".join([EVENTS[0], EVENTS[-1]] if model == MODELS[0] else EVENTS)

    async def post(self, url: str, *, headers: Any, body: bytes, timeouts: Timeouts) -> CannedResponse:
        response = await super().post(url, headers=headers, body=body, timeouts=timeouts)
        if b'"stream":true' in body:
            response.chunks = self._chunks  # type: ignore[method-assign]
        return response

    async def _chunks(self) -> Any:
        yield self.streamed

    def reaching(self, private: bool) -> CannedHttp:
        return self


class Talk:
    """Six turns a session."""

    def __init__(self) -> None:
        self.turn = 0
        self.session = ""

    def next(self, number: int) -> bytes:
        self.turn = self.turn % workload.TURNS + 1
        return workload.rest(session_id=self.session if self.turn > 1 else "")(number)

    def given(self, session: str) -> None:
        if self.turn == 1:
            self.session = session


class Socket:
    """A WebSocket that stays open: one turn at a time."""

    def __init__(self, app: App, key: str) -> None:
        self._talk = Talk()
        self._come: asyncio.Queue[Event] = asyncio.Queue()
        self._come.put_nowait({"type": "websocket.connect"})
        self._told: asyncio.Future[None] | None = None
        scope = inprocess._scope("/ws/chat", [(b"authorization", b"Bearer " + key.encode())])
        scope |= {"type": "websocket", "scheme": "ws", "subprotocols": []}
        self.task = asyncio.ensure_future(app(scope, self._come.get, self._hear))

    async def ask(self, number: int) -> None:
        self._told = asyncio.get_running_loop().create_future()
        text = '{"type":"chat","ref":1,' + self._talk.next(number)[1:].decode()
        self._come.put_nowait({"type": "websocket.receive", "text": text})
        await self._told

    async def _hear(self, event: Event) -> None:
        if event["type"] != "websocket.send":
            assert event["type"] == "websocket.accept", event
            return
        text = event["text"]
        if text.startswith('{"type":"start"'):
            if self._talk.turn == 1:
                self._talk.given(orjson.loads(text)["session_id"])
        elif not text.startswith('{"type":"delta"'):
            assert self._told is not None and text.startswith('{"type":"done"'), text
            self._told.set_result(None)

    async def leave(self) -> None:
        self._come.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.task


class Context:
    """What a handler of gRPC is given."""

    def __init__(self, key: str, message: bytes = b"") -> None:
        self._metadata = (("authorization", f"Bearer {key}"), ("user-agent", "grpc-python-asyncio/1.85"))
        self.come: asyncio.Queue[Any] = asyncio.Queue()
        self.hear: Callable[[bytes], None] = lambda message: None
        if message:
            self.come.put_nowait(message)

    def invocation_metadata(self) -> Any:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"

    def time_remaining(self) -> float | None:
        return None

    async def read(self) -> Any:
        return await self.come.get()

    def write_now(self, message: bytes) -> bool:
        self.hear(message)
        return True

    async def write(self, message: bytes) -> None:
        self.hear(message)

    async def send_initial_metadata(self, metadata: Any) -> None:
        pass

    def set_trailing_metadata(self, metadata: Any) -> None:
        pass

    async def abort(self, code: Any, details: str = "", trailing: Any = ()) -> None:
        raise AssertionError(f"{code}: {details}")


class Caller:
    """gRPC, by method."""

    def __init__(self, service: ChatService, key: str) -> None:
        self._service = service
        self._key = key
        self._talk = Talk()
        self._told: asyncio.Future[None] | None = None
        self._conversation: Context | None = None
        self.task: asyncio.Task[None] | None = None

    def _request(self, number: int) -> pb.ChatRequest:
        return pb.ChatRequest(**orjson.loads(self._talk.next(number)))

    async def chat(self, number: int) -> None:
        context: Any = Context(self._key, self._request(number).SerializeToString())
        raw = await self._service.chat(None, context)
        if self._talk.turn == 1:
            self._talk.given(pb.ChatResponse.FromString(raw).session_id)

    async def stream(self, number: int) -> None:
        context: Any = Context(self._key, self._request(number).SerializeToString())
        said: list[bytes] = []
        context.hear = said.append
        await self._service.stream_chat(None, context)
        if self._talk.turn == 1:
            self._talk.given(pb.ChatEvent.FromString(said[0]).start.session_id)

    async def converse(self, number: int) -> None:
        if self._conversation is None:
            self._conversation = Context(self._key)
            self._conversation.hear = self._hear
            context: Any = self._conversation
            self.task = asyncio.ensure_future(self._service.converse(None, context))
        self._told = asyncio.get_running_loop().create_future()
        frame = pb.ClientFrame(ref="1", chat=self._request(number))
        self._conversation.come.put_nowait(frame.SerializeToString())
        await self._told

    def _hear(self, raw: bytes) -> None:
        if b"\x22" == raw[40:41]:  # a delta: not parsed, which would be the driver's time
            return
        kind = (frame := pb.ServerFrame.FromString(raw)).WhichOneof("kind")
        if kind == "start":
            self._talk.given(frame.start.session_id)
        elif kind != "delta":
            assert kind == "done" and self._told is not None, frame
            self._told.set_result(None)

    async def leave(self) -> None:
        if self._conversation is not None and self.task is not None:
            self._conversation.come.put_nowait(grpc.aio.EOF)  # type: ignore[attr-defined]
            await self.task


async def nothing(number: int) -> None:
    """A driver's own work."""
    Talk().next(number)


Edges = dict[str, tuple[list[Work], list[Callable[[], Coroutine[Any, Any, None]]]]]


def edges(application: Application, key: str) -> Edges:
    """By name: the callers' works, and how they leave."""
    service = ChatService(application.parts)

    def callers(method: Callable[[Caller], Work]) -> tuple[list[Work], list[Any]]:
        made = [Caller(service, key) for _ in range(TOGETHER)]
        return [method(each) for each in made], [each.leave for each in made]

    sockets = [Socket(application.app, key) for _ in range(TOGETHER)]
    return {
        "HTTP /api/chat, whole": (
            [
                inprocess.Caller(application.app, "/api/chat", key, workload.GivenSessions()).ask
                for _ in range(TOGETHER)
            ],
            [],
        ),
        "gRPC Chat": callers(lambda caller: caller.chat),
        "gRPC StreamChat": callers(lambda caller: caller.stream),
        "gRPC Converse": callers(lambda caller: caller.converse),
        "WebSocket": ([socket.ask for socket in sockets], [socket.leave for socket in sockets]),
    }


async def measure(
    application: Application, keys: dict[str, str], rounds: int, only: str, batch: int = BATCH
) -> Figures:
    """Microseconds by name: median and least."""
    found: Figures = {}
    http = application.http
    assert isinstance(http, Answering)
    async with started(application):
        made = edges(application, keys["full"])
        for model in MODELS:
            http.answer(model)
            works = {
                name if name.endswith(("whole", "Chat")) and model == MODELS[0] else f"{name}, {model}": each
                for name, (each, _) in made.items()
                if model == MODELS[0] or name not in ("HTTP /api/chat, whole", "gRPC Chat")
            }
            drivers: dict[str, list[Callable[[int], Awaitable[object]]]] = {name: [nothing] for name in works}
            found |= await inprocess.sampled(works, drivers, rounds, only, batch)
        for _, leaving in made.values():
            await asyncio.gather(*(leave() for leave in leaving))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--only", default="", help="part of a name")
    parser.add_argument("--profile", action="store_true", help="prints where the time goes, by function")
    asked = parser.parse_args()
    with inprocess.prepared() as (application, keys):
        application.http = Answering()  # type: ignore[assignment]
        measuring = measure(application, keys, asked.rounds, asked.only, asked.batch)
        figures = inprocess.profiled(measuring) if asked.profile else uvloop.run(measuring)
    inprocess.show(figures)


if __name__ == "__main__":
    main()
