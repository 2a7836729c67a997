"""Requests as server spans (`access.observing.Observer`). The trace a caller names in `traceparent` goes on."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from access.asgi import RawHeaders, Scope
from access.observing import UNOBSERVED, Ended
from clawdbot_site.telemetry.spans import caller_of, under
from engine.context import Context

FOLLOWED: Final = ("/api/", "/v1/")  # not the consoles' pages, nor what a balancer asks every second
OF_TRACES: Final = (b"traceparent", b"tracestate")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestSpans:
    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def http(self, scope: Scope, context: Context) -> Ended:
        if not scope["path"].startswith(FOLLOWED):
            return UNOBSERVED.http(scope, context)
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        about = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        span = self._begin(method, scope["headers"], context, about)

        def ended(route: str, status: int) -> None:
            span.update_name(f"{method} {route}")
            said = {"http.route": route, "http.response.status_code": status}
            _end(span, {**said, **_about(context)}, status)

        return ended

    def socket(self, scope: Scope, context: Context) -> Ended:
        """A socket may last for days: its turns are spans of their own, in the trace its handshake named."""
        context.span = _named(scope["headers"])
        return UNOBSERVED.socket(scope, context)

    def rpc(self, headers: RawHeaders, context: Context) -> Ended:
        span = self._begin("grpc", headers, context, {"rpc.system": "grpc"})

        def ended(route: str, status: int) -> None:
            service, _, method = route.strip("/").partition("/")
            span.update_name(route.strip("/"))
            _end(span, {"rpc.service": service, "rpc.method": method, **_about(context)}, status)

        return ended

    def _begin(self, name: str, headers: RawHeaders, context: Context, about: dict[str, Any]) -> trace.Span:
        span = self._tracer.start_span(name, under(_named(headers)), SpanKind.SERVER, about)
        context.span = span
        return span


def _named(headers: RawHeaders) -> trace.Span | None:
    return caller_of({name.decode(): value.decode("latin-1") for name, value in headers if name in OF_TRACES})


def _about(context: Context) -> dict[str, Any]:
    found = {"clawdbot.request.id": context.request_id, "clawdbot.tenant": context.tenant}
    return {name: value for name, value in found.items() if value}


def _end(span: trace.Span, about: dict[str, Any], status: int) -> None:
    if status >= 500:
        about["error.type"] = str(status)
        span.set_status(Status(StatusCode.ERROR))
    span.set_attributes(about)
    span.end()
