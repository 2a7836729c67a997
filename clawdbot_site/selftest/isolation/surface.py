"""Every door there is, found where the program itself finds it: routes with their methods, Django's pages, frames of
the WebSocket, methods and frames of gRPC. Nothing here is a list by hand, so a new door is found by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver

from access.edges.grpc.generated import chat_pb2
from access.edges.websocket import FRAMES
from access.openapi import OPERATIONS
from access.urls import ROUTES

KINDS: Final = ("page", "http", "websocket", "grpc")
_PARAM: Final = re.compile(r"\{(\w+)\}")
_CONVERTED: Final = re.compile(r"<(?:\w+:)?(\w+)>")
_GROUP: Final = re.compile(r"\(\?P<(\w+)>[^)]*\)")


class Door(NamedTuple):
    """`path` has its parameters in braces. `model`: of an admin's page about one row, as `app.model`. `open`: nobody
    needs a credential."""

    kind: str
    method: str
    path: str
    model: str = ""
    open: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def params(self) -> tuple[str, ...]:
        return tuple(_PARAM.findall(self.path))


def doors() -> list[Door]:
    return [*routes(), *pages(), *frames(), *procedures()]


def routes() -> list[Door]:
    """Of the API and the wire formats. Methods a route serves and nobody described are found too."""
    described = {(path, one.method): one.open for path, found in OPERATIONS.items() for one in found}
    served = {(path, method) for path, view in ROUTES.items() for method in view.http_method_names}
    found = sorted({*described, *served})
    return [Door("http", method.upper(), path, open=described.get((path, method), False)) for path, method in found]


def pages() -> list[Door]:
    """Django's: consoles, sign-in, the web chat. Each is asked for by GET and by POST."""
    found = dict.fromkeys(_walked(get_resolver("clawdbot_site.urls").url_patterns, "", ""))
    return [Door("page", method, path, model) for path, model in found for method in ("GET", "POST")]


def frames() -> list[Door]:
    return [Door("websocket", "WS", f"/ws/chat {frame}") for frame in FRAMES]


def procedures() -> list[Door]:
    """Methods of the service; of the conversation every kind of frame."""
    found = []
    for service in chat_pb2.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            kinds = [""]
            if method.client_streaming:
                kinds = [f" {field.name}" for field in method.input_type.oneofs_by_name["kind"].fields]
            found += [Door("grpc", "RPC", f"{service.full_name}/{method.name}{kind}") for kind in kinds]
    return found


def _walked(patterns: Iterable[Any], before: str, model: str) -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        path = before + _plain(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            inside = path.strip("/").split("/")
            of_model = ".".join(inside[1:3]) if len(inside) == 3 and inside[0] in ("admin", "console") else model  # noqa: PLR2004
            yield from _walked(pattern.url_patterns, path, of_model)
        elif isinstance(pattern, URLPattern):
            yield f"/{path}", model


def _plain(route: str) -> str:
    """A pattern as an address with braces."""
    text = _CONVERTED.sub(r"{\1}", _GROUP.sub(r"{\1}", route))
    return re.sub(r"\(\?:(\w+)\)\?|[\^$]|/\?$|\\Z", "", text)
