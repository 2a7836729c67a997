"""Prometheus metrics. Label children are bound once and kept, since looking one up costs more than counting."""

from __future__ import annotations

import hmac
import ipaddress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from access.asgi import Receive, Scope, Send, peer, respond
from engine.types import Usage

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One registry a process; implements `engine.ports.Meter`. Labels come from configuration, never from a caller's
    words: tenants, instance names, edges, route templates."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests_total", "HTTP requests by route", ["path", "method", "status"], registry=self.registry
        )
        self._turns = Counter(
            "clawdbot_turns_total", "Turns by how they ended", ["state", "edge", "tenant"], registry=self.registry
        )
        self._tokens = Counter(
            "clawdbot_tokens_total", "Tokens of finished turns", ["kind", "tenant", "model"], registry=self.registry
        )
        self._seconds = Histogram(
            "clawdbot_turn_seconds", "Duration of a turn", ["edge"], buckets=SECONDS, registry=self.registry
        )
        self._first = Histogram(
            "clawdbot_time_to_first_token_seconds",
            "From the request to the model's first event",
            ["edge"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.sockets = Gauge("clawdbot_websockets", "Open WebSocket connections", registry=self.registry)
        self._bound: dict[tuple[object, ...], Counter] = {}
        self._observed: dict[str, tuple[Histogram, Histogram]] = {}

    def request(self, path: str, method: str, status: int) -> None:
        """Counts an HTTP answer. `path` is the route's template."""
        self._count(self._requests, (path, method, status), 1)

    def turn(
        self, *, tenant: str, model: str, edge: str, state: str, ttft: float | None, duration: float, usage: Usage
    ) -> None:
        self._count(self._turns, (state, edge, tenant), 1)
        if usage.prompt_tokens:
            self._count(self._tokens, ("prompt", tenant, model), usage.prompt_tokens)
        if usage.completion_tokens:
            self._count(self._tokens, ("completion", tenant, model), usage.completion_tokens)
        histograms = self._observed.get(edge)
        if histograms is None:
            histograms = self._observed[edge] = (self._seconds.labels(edge), self._first.labels(edge))
        histograms[0].observe(duration)
        if ttft is not None:
            histograms[1].observe(ttft)

    def _count(self, counter: Counter, labels: tuple[object, ...], amount: float) -> None:
        key = (counter, *labels)
        child = self._bound.get(key)
        if child is None:
            child = self._bound[key] = counter.labels(*labels)
        child.inc(amount)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class MetricsPage:
    """`GET /metrics`: from loopback for everybody, from elsewhere with `Authorization: Bearer <token>`; without a token
    set, from loopback only."""

    def __init__(self, metrics: Metrics, token: str) -> None:
        self._metrics = metrics
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = "/metrics"
        headers = dict(scope["headers"])
        if not self._allowed(headers, peer(scope)):
            await respond(send, 401, b'{"error":{"code":"unauthenticated"}}', [(b"www-authenticate", b"Bearer")])
            return
        await respond(send, 200, self._metrics.text(), [], content_type=CONTENT_TYPE_LATEST.encode())

    def _allowed(self, headers: dict[bytes, bytes], address: str | None) -> bool:
        given = headers.get(b"authorization", b"")
        if self._token and hmac.compare_digest(given, b"Bearer " + self._token):
            return True
        # A request that came through a proxy is not from loopback, though the proxy is.
        forwarded = any(name in headers for name in (b"x-forwarded-for", b"forwarded", b"x-real-ip"))
        return not forwarded and _loopback(address)


def _loopback(address: str | None) -> bool:
    if address is None:
        return False
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
