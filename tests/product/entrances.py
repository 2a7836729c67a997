"""Every way in that takes a credential, each asked in its own protocol: what it says to whoever shows this one.

entrances(product)["rest"]("Bearer eyJ…")     # -> 200, or 401; gRPC's statuses as HTTP's"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable
from typing import Any, Final

import grpc
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from access.edges.grpc.generated import chat_pb2 as pb
from access.edges.grpc.service import SERVICE
from tests.product.running import Product

Headers = Iterable[tuple[str, str]]
Entrance = Callable[[Headers], int]
STATUSES: Final = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 431,
}
OPENAI: Final = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}
PLACES: Final[dict[str, tuple[str, str, Any]]] = {
    "rest": ("POST", "/api/chat", {"message": "Hello"}),
    "sessions": ("GET", "/api/sessions", None),
    "management": ("GET", "/api/members", None),
    "ticket": ("POST", "/api/ws-ticket", {}),
    "models": ("GET", "/v1/models", None),
    "openai": ("POST", "/v1/chat/completions", OPENAI),
    "responses": ("POST", "/v1/responses", {"model": "auto", "input": "Hello"}),
    "messages": ("POST", "/v1/messages", OPENAI),
    "operator": ("GET", "/api/tenants", None),
}


def entrances(product: Product, *but: str) -> dict[str, Entrance]:
    found: dict[str, Entrance] = {name: _http(product, *place) for name, place in PLACES.items()}
    found["websocket"] = _socket(product)
    found["grpc"] = _grpc(product)
    return {name: entrance for name, entrance in found.items() if name not in but}


def _http(product: Product, method: str, path: str, body: Any) -> Entrance:
    def ask(headers: Headers) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=30)
        try:
            connection.putrequest(method, path)
            text = b"" if body is None else json.dumps(body).encode()
            for name, value in (*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(text)))):
                connection.putheader(name, value)
            connection.endheaders(text)
            return connection.getresponse().status
        finally:
            connection.close()

    return ask


def _socket(product: Product) -> Entrance:
    def ask(headers: Headers) -> int:
        try:
            with connect(f"ws{product.url[4:]}/ws/chat", additional_headers=list(headers), proxy=None):
                return 200
        except InvalidStatus as refused:
            return refused.response.status_code

    return ask


def _grpc(product: Product) -> Entrance:
    def ask(headers: Headers) -> int:
        with grpc.insecure_channel(product.access["grpc_target"]) as channel:
            chat = channel.unary_unary(f"/{SERVICE}/Chat", pb.ChatRequest.SerializeToString, pb.ChatResponse.FromString)
            try:
                chat(pb.ChatRequest(message="Hello"), metadata=[(n.lower(), v) for n, v in headers], timeout=30)
            except grpc.RpcError as refused:
                return STATUSES.get(refused.code(), 500)
            return 200

    return ask
