"""Who is told of every request: the access log, and whoever traces. By default nobody is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from access.asgi import RawHeaders, Scope
from engine.context import Context

log = logging.getLogger("clawdbot.access")

Ended = Callable[[str, int], None]  # told the route's template and the HTTP status it was answered with


class Observer(Protocol):
    """`context` is the request's; what is known of it only later is in it at the end. None of them raises."""

    def http(self, scope: Scope, context: Context) -> Ended: ...

    def socket(self, scope: Scope, context: Context) -> Ended:
        """A WebSocket, from its handshake to its end."""

    def rpc(self, headers: RawHeaders, context: Context) -> Ended:
        """A gRPC call; `headers` are its metadata."""


def _nobody(route: str, status: int) -> None:
    return


class Unobserved:
    def http(self, scope: Scope, context: Context) -> Ended:
        return _nobody

    def socket(self, scope: Scope, context: Context) -> Ended:
        return _nobody

    def rpc(self, headers: RawHeaders, context: Context) -> Ended:
        return _nobody


UNOBSERVED: Final = Unobserved()


class AccessLog:
    """A line a request: method, the route's template, status, milliseconds. Of an address only what we chose of it is
    told, so no query string, no id and no link that lets somebody in. Tells `inner` as well."""

    def __init__(self, inner: Observer = UNOBSERVED) -> None:
        self._inner = inner

    def http(self, scope: Scope, context: Context) -> Ended:
        return _line(scope["method"], context, self._inner.http(scope, context))

    def socket(self, scope: Scope, context: Context) -> Ended:
        return _line("WEBSOCKET", context, self._inner.socket(scope, context))

    def rpc(self, headers: RawHeaders, context: Context) -> Ended:
        return _line("GRPC", context, self._inner.rpc(headers, context))


def _line(method: str, context: Context, inner: Ended) -> Ended:
    began = time.perf_counter()

    def ended(route: str, status: int) -> None:
        inner(route, status)
        took = round((time.perf_counter() - began) * 1000, 1)
        fields: dict[str, Any] = {"method": method, "route": route, "status": status, "ms": took}
        fields |= {name: value for name in ("request_id", "tenant") if (value := getattr(context, name))}
        log.info("request", extra={"fields": fields})

    return ended
