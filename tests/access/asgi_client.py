"""Drives an ASGI application in this process: HTTP requests, whole or as a stream, and WebSocket connections."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

WAIT = 5.0


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Exchange:
    """One HTTP request under way; `leave()` is the client hanging up."""

    app: Any
    scope: dict[str, Any]
    pieces: list[bytes]
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._left = asyncio.Event()
        self._over = asyncio.Event()
        self.task = asyncio.ensure_future(self.app(self.scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self.pieces:
            piece = self.pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}
        waits = [asyncio.ensure_future(event.wait()) for event in (self._left, self._over)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return {"type": "http.disconnect"}

    async def _send(self, event: dict[str, Any]) -> None:
        assert not self._over.is_set(), "something was sent after the end of the answer"
        if event["type"] == "http.response.start":
            self.status = event["status"]
            self.headers = {name.decode("ascii"): value.decode("ascii") for name, value in event["headers"]}
            return
        assert self.status, "a body before its headers"
        if not event.get("more_body", False):
            self._over.set()
        self._sent.put_nowait(event)

    def leave(self) -> None:
        self._left.set()

    async def piece(self) -> bytes | None:
        """The next piece of the body; None after the last."""
        if self._over.is_set() and self._sent.empty():
            return None
        waiting = asyncio.ensure_future(self._sent.get())
        await asyncio.wait({waiting, self.task}, timeout=WAIT, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            if self.task.done():
                await self.task
                raise AssertionError("the application returned without an answer")
            raise TimeoutError
        return waiting.result()["body"]

    async def rest(self) -> Answer:
        pieces = []
        while (piece := await self.piece()) is not None:
            pieces.append(piece)
        await asyncio.wait_for(self.task, WAIT)
        return Answer(self.status, self.headers, b"".join(pieces))


def scope_of(kind: str, path: str, headers: dict[str, str] | None, **more: Any) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("utf-8", "surrogateescape"),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        **more,
    }


class Client:
    """`site` is what the application is part of, for protocols that are not ASGI's."""

    def __init__(self, app: Any, headers: dict[str, str] | None = None, site: Any = None) -> None:
        self.app = app
        self.headers = headers or {}
        self.site = site

    def begin(self, method: str, path: str, body: Any = b"", headers: dict[str, str] | None = None) -> Exchange:
        """`body` is bytes, pieces of bytes, or anything JSON."""
        pieces = body if isinstance(body, list) and body and isinstance(body[0], bytes) else None
        if pieces is None:
            pieces = [body if isinstance(body, bytes) else json.dumps(body).encode()]
        return Exchange(self.app, scope_of("http", path, {**self.headers, **(headers or {})}, method=method), pieces)

    async def request(self, method: str, path: str, body: Any = b"", headers: dict[str, str] | None = None) -> Answer:
        return await self.begin(method, path, body, headers).rest()

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return await self.request("GET", path, headers=headers)

    async def post(self, path: str, body: Any = b"", headers: dict[str, str] | None = None) -> Answer:
        return await self.request("POST", path, body, headers)

    @asynccontextmanager
    async def socket(self, path: str = "/ws/chat", headers: dict[str, str] | None = None, **more: Any):  # type: ignore[no-untyped-def]
        socket = Socket(self.app, scope_of("websocket", path, {**self.headers, **(headers or {})}, **more))
        try:
            yield socket
        finally:
            await socket.leave()


class Refused(Exception):
    """The handshake ended in an HTTP answer."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


class Closed(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Socket:
    def __init__(self, app: Any, scope: dict[str, Any]) -> None:
        scope.setdefault("subprotocols", [])
        scope.setdefault("extensions", {"websocket.http.response": {}})
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task = asyncio.ensure_future(app(scope, self._in.get, self._out.put))

    async def connect(self) -> str | None:
        """The selected sub-protocol."""
        self._in.put_nowait({"type": "websocket.connect"})
        event = await self._next()
        if event["type"] == "websocket.accept":
            return event.get("subprotocol")
        if event["type"] == "websocket.http.response.start":
            raise Refused(event["status"], (await self._next())["body"])
        raise Closed(event.get("code", 1000))

    def send(self, frame: Any) -> None:
        if isinstance(frame, bytes):
            self._in.put_nowait({"type": "websocket.receive", "bytes": frame, "text": None})
        else:
            text = frame if isinstance(frame, str) else json.dumps(frame)
            self._in.put_nowait({"type": "websocket.receive", "text": text})

    async def frame(self) -> dict[str, Any]:
        event = await self._next()
        if event["type"] == "websocket.close":
            raise Closed(event["code"])
        return json.loads(event["text"])

    async def until(self, *kinds: str) -> list[dict[str, Any]]:
        """All frames up to the first of one of these types."""
        frames = [await self.frame()]
        while frames[-1]["type"] not in kinds:
            frames.append(await self.frame())
        return frames

    async def _next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self._out.get(), WAIT)

    async def leave(self, code: int = 1000) -> None:
        self._in.put_nowait({"type": "websocket.disconnect", "code": code})
        await asyncio.wait_for(self.task, WAIT)
