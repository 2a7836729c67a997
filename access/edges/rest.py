"""`POST /api/chat`: Clawdbot's own chat contract in DRF, as one JSON answer or as server-sent events."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from rest_framework.request import Request

from access import events, schemas
from access.answering import answer_whole
from access.asgi import Event, RawHeaders, Send, turn_headers
from access.authentication import with_user
from access.disconnects import Watcher
from access.lean import LeanRequest, Reply
from access.parts import Parts
from access.views import LeanView
from engine.types import ChatRequest, Principal

NO_STORE = (b"cache-control", b"no-store")


class ChatView(LeanView):
    """Answers a turn. Errors before the first event have their HTTP status; after it they are an `error` event."""

    needs = ("chat", "visit")
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
        start, done = await answer_whole(self.parts, principal, chat)
        return self.json(events.answer(done, start.source), headers=[NO_STORE, *turn_headers(start)])


class EventStream:
    """A turn as server-sent events `start`, `delta`, `done`, `error` (see `access.frames`). It is a generation: it goes
    on for a while without this reader."""

    def __init__(self, parts: Parts, principal: Principal, chat: ChatRequest, request: LeanRequest) -> None:
        self._parts = parts
        self._principal = principal
        self._chat = chat
        self._request = request

    async def deliver(self, request_id: str, send: Send, watcher: Watcher) -> None:
        generation = self._parts.generations.begin(self._principal, self._chat, self._request.language)
        with generation.reading(watcher.leave) as reader:
            start = await generation.opened()
            await send(_head(request_id, turn_headers(start)))

            async def push(frame: bytes) -> None:
                await send({"type": "http.response.body", "body": frame, "more_body": True})

            while frames := await reader.next(push):
                last = reader.over
                if last:
                    watcher.close()
                body = frames[0] if len(frames) == 1 else b"".join(frames)
                await send({"type": "http.response.body", "body": body, "more_body": not last})


class ResumedStream:
    """The events of a turn that are still missing. 204, which browsers take for the end: there are none and will be
    none."""

    def __init__(self, parts: Parts, principal: Principal, turn_id: str, first: int, request: LeanRequest) -> None:
        self._parts = parts
        self._principal = principal
        self._turn_id = turn_id
        self._first = first
        self._language = request.language

    async def deliver(self, request_id: str, send: Send, watcher: Watcher) -> None:
        following = self._parts.resuming.follow(
            self._principal, self._turn_id, self._first, self._language, watcher.leave
        )
        async with aclosing(following):
            frames = await anext(following, None)
            if frames is None:
                watcher.close()
                number = (b"x-request-id", request_id.encode("ascii"))
                await send({"type": "http.response.start", "status": 204, "headers": [number, NO_STORE]})
                await send({"type": "http.response.body", "body": b""})
                return
            await send(_head(request_id, [(b"x-clawdbot-decision", self._turn_id.encode("ascii"))]))
            while frames is not None:
                if frames:
                    await send({"type": "http.response.body", "body": b"".join(frames), "more_body": True})
                frames = await anext(following, None)
            watcher.close()
            await send({"type": "http.response.body", "body": b""})


def _head(request_id: str, about: RawHeaders) -> Event:
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"x-accel-buffering", b"no"),
        NO_STORE,
        *about,
        (b"x-request-id", request_id.encode("ascii")),
    ]
    return {"type": "http.response.start", "status": 200, "headers": headers}
