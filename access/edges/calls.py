"""What the edges of foreign wire formats share: one HTTP request and its answer, in whatever envelope errors have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import ClassVar

import orjson

from access import asgi, bodies, errors, languages, rate_limits
from access.asgi import RawHeaders, Receive, Scope, Send
from access.authentication import require_scope
from access.parts import Parts
from engine.context import belongs_to
from engine.errors import EngineError, MethodNotAllowed
from engine.types import Json, Principal, RateLimits, Start


class Call(ABC):
    """One HTTP request. `number` is answered as `X-Request-Id`; a format's own class says how its errors look."""

    __slots__ = ("limit", "number", "opened", "receive", "scope", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.number = asgi.request_id(dict(scope["headers"]))
        self.opened = False
        self.limit: int | None = None  # bytes of a body, where the caller has one of their own

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Made when asked for: beginning and end of a call want it, a stream in between has no use for it."""
        return dict(self.scope["headers"])

    @abstractmethod
    def error_body(self, error: EngineError, language: str) -> Json:
        """The envelope of an error."""

    def error_event(self, body: Json) -> bytes:
        """An error as the last event of a stream."""
        return b"data: " + orjson.dumps(body) + b"\n\n"

    def extra_headers(self) -> RawHeaders:
        """More headers of every answer."""
        return []

    def tell_limits(self, limits: RateLimits | None) -> RawHeaders:
        """The limits a turn counted against, as the format's clients know them."""
        return rate_limits.openai(limits)

    def about(self, start: Start) -> RawHeaders:
        """What every answer of a turn says of it."""
        return asgi.turn_headers(start, self.tell_limits)

    def expect(self, method: str, route: str) -> None:
        """Raises MethodNotAllowed. `route` is what metrics count the request as."""
        self.scope["route"] = route
        if self.scope["method"] != method:
            raise MethodNotAllowed

    async def body(self) -> bytes:
        return await asgi.read_body(self.receive, self.headers, self.limit or bodies.MAX_BYTES)

    async def chat(self) -> Json:
        """The body of a conversation: it may hold pictures, so ask first who is calling. Raises InvalidRequest,
        PayloadTooLarge, ClientGone."""
        limit = self.limit or bodies.MAX_CHAT_BYTES
        return bodies.parse(await asgi.read_body(self.receive, self.headers, limit), limit)

    async def answer(self, body: Json | bytes, headers: RawHeaders | None = None, status: int = 200) -> None:
        """`body` as bytes: encoded already."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        await asgi.respond(self.send, status, data, [self._numbered, *self.extra_headers(), *(headers or ())])

    async def open_stream(self, start: Start) -> None:
        """The head of a stream of server-sent events."""
        self.opened = True
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            self._numbered,
            *self.extra_headers(),
            *self.about(start),
        ]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, data: bytes, more: bool = True) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def refuse(self, error: EngineError) -> None:
        """An error: before the first byte with its HTTP status, after it as an event that ends the stream."""
        body = self.error_body(error, languages.wanted(None, self.headers.get(b"accept-language")))
        if self.opened:
            await self.write(self.error_event(body), more=False)
        else:
            headers = errors.raw_headers(error, self.tell_limits)
            await self.answer(body, headers, errors.translation(error).status)

    @property
    def _numbered(self) -> tuple[bytes, bytes]:
        return b"x-request-id", self.number.encode("ascii")


class OpenAICall(Call):
    """Errors in OpenAI's envelope."""

    __slots__ = ()

    def error_body(self, error: EngineError, language: str) -> Json:
        return errors.openai_body(error, language)


class WireEdge(ABC):
    """A bare ASGI callable: whatever goes wrong becomes an answer in the format's envelope. A client that leaves
    cancels its turn."""

    call_of: ClassVar[type[Call]]

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self.call_of(scope, receive, send)
        try:
            await self.serve(call, scope["path"].rstrip("/"))
        except asgi.ClientGone:
            return
        except Exception as error:  # noqa: BLE001  # the border: everything becomes an answer
            await call.refuse(errors.public(error))

    @abstractmethod
    def serve(self, call: Call, path: str) -> Awaitable[None]:
        """Answers one request. Raises EngineError, ClientGone."""

    async def identify(self, call: Call, *scopes: str) -> Principal:
        """The caller, with one of the scopes; `chat` unless told."""
        authenticator, headers, peer = self._parts.authenticator, call.scope["headers"], asgi.peer(call.scope)
        principal = authenticator.cached(headers, peer) or await authenticator.authenticate(headers, peer)
        call.scope["tenant_id"] = principal.tenant_id  # for access.cors
        call.limit = authenticator.body_limit(principal.tenant_id)
        belongs_to(principal.tenant)
        require_scope(principal, *(scopes or ("chat",)))
        return principal
