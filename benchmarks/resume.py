"""What it costs that streams can be resumed: `python -m benchmarks.resume [--rounds N]`.

CPU microseconds of a streamed turn of `/api/chat` in the real application, without sockets, with everything on: as it
is, and with a stream that is written straight to its client, as it would be if nobody could come back. The two take
turns, round after round, and the ratio is taken of each round, so that what else the machine does weighs on both. The
upstream's 32 chunks come at once, or each in a tick of its own, which is dearer. Then how long it takes from a `cancel`
until the call upstream is closed."""

from __future__ import annotations

from benchmarks import inprocess, workload  # first: they set Django up

# isort: split

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
import uvloop
from django.urls import re_path
from rest_framework.request import Request

from access import events, schemas
from access.asgi import Send, turn_headers
from access.authentication import with_user
from access.body_limits import BodyLimits
from access.disconnects import Watcher
from access.edges.rest import ChatView
from access.frames import frame
from access.gateway import Gateway
from access.health import Health
from access.lean import LeanHandler, Reply
from access.parts import Parts
from benchmarks.canned import EVENTS, CannedHttp, CannedResponse
from clawdbot_site.wiring import Application
from engine.outbound import Timeouts
from engine.types import ChatRequest, Delta, Done, Principal, Source, Start

BATCH = 320
STOPS = 200


class Straight:
    """A turn that is written to its client and to nowhere else, and ends with it."""

    def __init__(self, parts: Parts, principal: Principal, chat: ChatRequest) -> None:
        self._parts = parts
        self._principal = principal
        self._chat = chat
        self._sequence = 0

    async def deliver(self, request_id: str, send: Send, watcher: Watcher) -> None:
        source: Source = "model"
        with self._parts.running.running(self._principal) as running:
            async with aclosing(self._parts.engine.stream(self._principal, self._chat)) as turn:
                async for event in turn:
                    if type(event) is Delta:
                        made = self._frame(b"delta", orjson.dumps(events.delta(event)))
                    elif type(event) is Start:
                        source = event.source
                        running.started(event.id)
                        self._name = event.id.encode()
                        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), *turn_headers(event)]
                        await send({"type": "http.response.start", "status": 200, "headers": headers})
                        made = self._frame(b"start", orjson.dumps(events.start(event)))
                    else:
                        assert type(event) is Done
                        watcher.close()
                        made = self._frame(b"done", orjson.dumps(events.done(event, source)))
                    more = type(event) is not Done
                    await send({"type": "http.response.body", "body": made, "more_body": more})

    def _frame(self, name: bytes, data: bytes) -> bytes:
        self._sequence += 1
        return frame(self._name, self._sequence - 1, name, data)


class StraightChat(ChatView):
    async def post(self, request: Request, *args: Any, **kwargs: Any) -> Reply:
        number = self.lean_request.request_id
        chat = schemas.chat_request(self.body(), edge="straight", request_id=number, headers=self.raw_headers)
        return Straight(self.parts, with_user(self.principal, chat.user), chat)


def straight(application: Application) -> Gateway:
    """The same gateway, with streams that cannot be resumed."""
    gateway = Gateway(
        application.parts,
        django=inprocess.nothing,
        lifespan=inprocess.nothing,
        health=Health(ready={}, started={}),
        metrics_token="",
    )
    pattern = re_path(r"^api/chat/?\Z", StraightChat.as_view(parts=application.parts), name="/api/chat")  # type: ignore[arg-type]
    gateway._lean = LeanHandler([pattern], inprocess.nothing, BodyLimits(application.parts.authenticator))
    return gateway


class Paced(CannedResponse):
    """Every chunk in a tick of the event loop of its own."""

    async def chunks(self) -> AsyncIterator[bytes]:
        for event in EVENTS:
            yield event
            await asyncio.sleep(0)


class PacedHttp(CannedHttp):
    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> CannedResponse:
        return Paced(stream=True)


class Hanging(CannedResponse):
    """Begins an answer and says no more; notes when it was closed."""

    closed = 0.0

    async def chunks(self) -> AsyncIterator[bytes]:
        yield EVENTS[0]
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed = time.perf_counter()


class HangingHttp(CannedHttp):
    def __init__(self) -> None:
        self.last = Hanging(stream=True)

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> CannedResponse:
        self.last = Hanging(stream=True)
        return self.last


class Http(CannedHttp):
    """Another one for each measurement."""

    def __init__(self) -> None:
        self.now: CannedHttp = CannedHttp()

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> CannedResponse:
        return await self.now.post(url, headers=headers, body=body, timeouts=timeouts)


def callers(app: Any, key: str) -> list[inprocess.Work]:
    body = workload.rest(stream=True)
    return [inprocess.Caller(app, "/api/chat", key, workload.Talk(body)).ask for _ in range(inprocess.TOGETHER)]


async def cost(application: Application, http: Http, key: str, rounds: int) -> None:
    ways = {"resumable": callers(application.app, key), "straight": callers(straight(application), key)}
    print(f"{'median':>9} {'least':>9}  CPU µs a streamed turn of 32 chunks")
    for name, upstream in (("at once", CannedHttp()), ("each in its tick", PacedHttp())):
        http.now = upstream
        samples: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds + 1):
            for way in sorted(ways, reverse=number % 2 == 1):  # neither is always the second
                taken = await inprocess.cost(ways[way], BATCH)
                if number:
                    samples[way].append(taken)
        for way, found in samples.items():
            print(f"{statistics.median(found):9.1f} {min(found):9.1f}  {way}, chunks {name}")
        ratios = [one / other for one, other in zip(samples["resumable"], samples["straight"], strict=True)]
        print(f"{statistics.median(ratios):9.3f} {min(ratios):9.3f}  ratio of a round, chunks {name}")


async def stops(application: Application, http: Http, key: str) -> None:
    """Milliseconds from the request to cancel until the upstream call is closed, in the worker that has it."""
    http.now = hanging = HangingHttp()
    principal = await inprocess.authenticator(application).authenticate(
        [(b"authorization", b"Bearer " + key.encode())], inprocess.PEER
    )
    found = []
    for number in range(STOPS):
        body = orjson.loads(workload.rest(stream=True)(number))
        chat = schemas.chat_request(body, edge="sse", request_id=str(number))
        generation = application.parts.generations.begin(principal, chat, "en")
        with generation.reading(lambda: None) as reader:
            await generation.opened()
            while reader.position < 2:
                await reader.next()
            began = time.perf_counter()
            await application.parts.canceller.cancel(principal, generation.id)
            while await reader.next():
                pass
            found.append((hanging.last.closed - began) * 1e3)
    found.sort()
    print(f"{statistics.median(found):9.2f} {found[-1]:9.2f}  ms to close the upstream after a cancel (median, most)")


async def measure(application: Application, http: Http, key: str, rounds: int) -> None:
    async with inprocess.started(application):
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)  # as a web worker does
        await cost(application, http, key, rounds)
        await stops(application, http, key)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    with inprocess.prepared() as (application, keys):
        application.http = http = Http()  # type: ignore[assignment]
        uvloop.run(measure(application, http, keys["full"], asked.rounds))


if __name__ == "__main__":
    main()
