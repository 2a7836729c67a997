"""A collector for OTLP over HTTP: keeps what it is sent, as it was sent and decoded.

with Collector() as collector:
    ... OTEL_EXPORTER_OTLP_ENDPOINT=collector.url ...
    collector.spans; collector.points("gen_ai.client.token.usage")
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: value_of(pair.value) for pair in pairs}


@dataclass
class Seen:
    """A span. `kind` as OTLP numbers it: 1 internal, 2 server, 3 client."""

    name: str
    kind: int
    id: bytes
    parent: bytes
    trace: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    failed: bool
    resource: dict[str, Any]


class Collector:
    """`raw` are the bodies, `headers` those of the requests, by path. `status` is what it answers."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.spans: list[Seen] = []
        self.metrics: list[tuple[str, Any]] = []
        self.status = 200
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                collector.take(self.path, dict(self.headers.items()), body)
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.raw.append(body)
        self.headers.append(headers)
        if path == "/v1/traces":
            request = ExportTraceServiceRequest.FromString(body)
            for of_resource in request.resource_spans:
                resource = attributes(of_resource.resource.attributes)
                for scope in of_resource.scope_spans:
                    self.spans += [_seen(span, resource) for span in scope.spans]
        else:
            found = ExportMetricsServiceRequest.FromString(body)
            for of_metrics in found.resource_metrics:
                for scope_of_metrics in of_metrics.scope_metrics:
                    self.metrics += [(metric.name, metric) for metric in scope_of_metrics.metrics]

    def points(self, name: str) -> list[Any]:
        """Of the last time the metric was sent."""
        return list([metric for known, metric in self.metrics if known == name][-1].histogram.data_points)

    def children(self, parent: Seen) -> list[Seen]:
        return [span for span in self.spans if span.parent == parent.id and span.trace == parent.trace]

    def until(self, find: Callable[[], Any], seconds: float = 20.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := find()):
            assert time.monotonic() < deadline, [(span.name, span.attributes) for span in self.spans]
            time.sleep(0.02)
        return found


def _seen(span: Any, resource: dict[str, Any]) -> Seen:
    return Seen(
        span.name,
        span.kind,
        span.span_id,
        span.parent_span_id,
        span.trace_id.hex(),
        attributes(span.attributes),
        [(event.name, attributes(event.attributes)) for event in span.events],
        span.status.code == 2,
        resource,
    )
