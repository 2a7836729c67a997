"""`POST /api/chat`: Clawdbot's own chat contract in DRF, as one JSON answer or as server-sent events."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import orjson
from rest_framework.request import Request

from access import errors, events, schemas
from access.asgi import Send, turn_headers
from access.authentication import with_user
from access.disconnects import Watcher
from access.lean import LeanRequest, Reply
from access.parts import Parts
from access.views import LeanView
from engine.errors import EngineError
from engine.types import ChatRequest, Delta, Done, Event, Principal, Source, Start

NO_STORE = (b"cache-control", b"no-store")


class ChatView(LeanView):
    """Answers a turn. Errors before the first event have their HTTP status; after it they are an `error` event."""

    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> Reply:
        body = self.body()
        chat = schemas.chat_request(
            body,
            edge="sse" if body.get("stream") is True else "rest",
            request_id=self.lean_request.request_id,
            headers=self.raw_headers,
        )
        principal = with_user(self.principal, chat.user)
        if chat.stream:
            return EventStream(self.parts, principal, chat, self.lean_request)
        start, done = await self._answer(principal, chat)
        return self.json(events.answer(done, start.source), headers=[NO_STORE, *turn_headers(start)])

    async def _answer(self, principal: Principal, chat: ChatRequest) -> tuple[Start, Done]:
        with self.parts.running.running(principal) as running:
            async with aclosing(self.parts.engine.stream(principal, chat)) as turn:
                start = await anext(turn)
                assert type(start) is Start
                running.started(start.id)
                async for event in turn:
                    if type(event) is Done:
                        return start, event
        raise AssertionError("a turn ends with Done or raises")


class EventStream:
    """A turn as server-sent events `start`, `delta`, `done`, `error` (WHATWG HTML, 9.2). Every event's id is
    `generation.sequence`: the turn's id and a count from 0."""

    def __init__(self, parts: Parts, principal: Principal, chat: ChatRequest, request: LeanRequest) -> None:
        self._parts = parts
        self._principal = principal
        self._chat = chat
        self._request = request
        self._generation = b""
        self._source: Source = "model"
        self._sequence = 0

    async def deliver(self, request_id: str, send: Send, watcher: Watcher) -> None:
        try:
            with self._parts.running.running(self._principal) as running:
                async with aclosing(self._parts.engine.stream(self._principal, self._chat)) as turn:
                    async for event in turn:
                        if type(event) is Start:
                            running.started(event.id)
                            await self._open(event, send)
                        last = type(event) is Done
                        if last:
                            watcher.close()
                        await send({"type": "http.response.body", "body": self._frame(event), "more_body": not last})
        except Exception as error:
            shown = errors.public(error)
            if not self._generation:
                raise shown from error
            watcher.close()
            await send({"type": "http.response.body", "body": self._failure(shown)})

    async def _open(self, start: Start, send: Send) -> None:
        self._generation = start.id.encode("ascii")
        self._source = start.source
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"x-accel-buffering", b"no"),
            NO_STORE,
            *turn_headers(start),
            (b"x-request-id", self._chat.request_id.encode("ascii")),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    def _frame(self, event: Event) -> bytes:
        if type(event) is Delta:
            return self._encode(b"delta", orjson.dumps(events.delta(event)))
        if type(event) is Done:
            return self._encode(b"done", orjson.dumps(events.done(event, self._source)))
        assert type(event) is Start
        return self._encode(b"start", orjson.dumps(events.start(event)))

    def _failure(self, error: EngineError) -> bytes:
        return self._encode(b"error", orjson.dumps(errors.event(error, self._chat.request_id, self._request.language)))

    def _encode(self, name: bytes, data: bytes) -> bytes:
        frame = b"id: %b.%d\nevent: %b\ndata: %b\n\n" % (self._generation, self._sequence, name, data)
        self._sequence += 1
        return frame
