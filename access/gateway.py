"""The ASGI application in front of everything: hands each connection to the edge that serves it and counts answers."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from time import monotonic

from access import errors
from access.asgi import App, Event, Receive, Scope, Send, request_id
from access.body_limits import BodyLimits, Bounded
from access.cors import CrossOrigin
from access.edges import messages
from access.edges.messages import MessagesEdge
from access.edges.openai import OpenAIEdge
from access.edges.responses import RESPONSES, ResponsesEdge
from access.edges.websocket import ChatConsumer
from access.health import Health
from access.lean import LeanHandler
from access.metrics import MetricsPage
from access.parts import Parts
from access.secure_pages import bare, secured
from access.urls import urlpatterns
from engine import context
from engine.errors import NotFound

OTHER = "other"
CALLED_FROM_PAGES = ("/api/", "/v1/")
SECTIONS = frozenset({"admin", "api", "chat", "console", "static"})


class Gateway:
    """`/v1/responses…` is the edge of the Responses API, `/v1/messages…` the Messages edge, the rest of `/v1/…` the
    OpenAI edge, but that callers who say an `anthropic-version` get `/v1/models` in that format. The chat contract
    under `/api/` is DRF on the lean handler, `/metrics` and health are bare callables, `/ws/chat` Channels; `django`
    serves the rest and `lifespan` the server's own events."""

    def __init__(self, parts: Parts, *, django: App, lifespan: App, health: Health, metrics_token: str) -> None:
        self._metrics = parts.metrics
        self._observer = parts.observer
        self._cross_origin = CrossOrigin(parts.origins)
        self._openai = OpenAIEdge(parts)
        self._responses = ResponsesEdge(parts)
        self._messages = MessagesEdge(parts)
        self._django = Bounded(django)
        self._lean = LeanHandler(urlpatterns(parts), self._django, BodyLimits(parts.authenticator))
        self._lifespan = lifespan
        self._sockets: Mapping[str, App] = {"/ws/chat": ChatConsumer.as_asgi(parts=parts)}
        self._pages: Mapping[str, App] = {
            "/metrics": MetricsPage(parts.metrics, metrics_token),
            "/livez": health,
            "/readyz": health,
            "/startupz": health,
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        kind = scope["type"]
        if kind == "http":
            return self._http(scope, receive, send)
        if kind == "websocket":
            return self._socket(scope, receive, send)
        return self._lifespan(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/")
        ended = self._observer.socket(scope, context.begin())
        try:
            await self._sockets.get(path, _no_such_socket)(scope, receive, send)
        finally:
            ended(path if path in self._sockets else OTHER, 101)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, began = 0, monotonic()
        ended = self._observer.http(scope, context.begin())
        edge = self._edge_of(scope)
        secure = secured if edge is self._django or edge is self._lean else bare

        def counted(event: Event) -> Awaitable[None]:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
                event["headers"] = secure(event["headers"])
            return send(event)

        try:
            if scope["path"].startswith(CALLED_FROM_PAGES):
                await self._cross_origin(edge, scope, receive, counted)
            else:
                await edge(scope, receive, counted)
        finally:
            route = scope.get("route") or _section(scope["path"])
            self._metrics.request(route, _method(scope["method"]), status or 499, monotonic() - began)
            ended(route, status or 499)

    def _edge_of(self, scope: Scope) -> App:
        path: str = scope["path"]
        if path.startswith("/v1/"):
            if (path + "/").startswith(f"{RESPONSES}/"):
                return self._responses
            return self._messages if messages.is_meant(path, scope["headers"]) else self._openai
        if path.startswith("/api/"):
            return self._lean
        page = self._pages.get(path.rstrip("/"))
        if page is None:
            request_id(dict(scope["headers"]))  # Django's pages ask for none, but what they log has one
        return page or self._django


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _method(method: str) -> str:
    return method if method in METHODS else OTHER


def _section(path: str) -> str:
    """What Django's own pages are counted as: their part of the site, since callers choose the rest of a path."""
    first = path[1:].partition("/")[0]
    return f"/{first}/" if first in SECTIONS else OTHER


async def _no_such_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses the handshake: 404 where the server can answer it over HTTP."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": errors.TABLE[NotFound].close})
        return
    await errors.deny(send, NotFound(), scope)
