"""Prometheus metrics: counted in plain dictionaries, turned into Prometheus' own objects only when somebody reads them.

Everything is counted on the event loop, so nothing here needs the locks that make `prometheus_client`'s counters cost
four times as much."""

from __future__ import annotations

import hmac
import ipaddress
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from access.asgi import Receive, Scope, Send, peer, respond
from engine.queueing import Outcome
from engine.types import Usage, Verdict
from plugins.outbox.figures import Figure

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CHARACTERS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


class Counts(Collector):
    """A counter: its values by labels."""

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self._family = (name, about, labels)
        self.values: defaultdict[tuple[str, ...], float] = defaultdict(float)

    def collect(self) -> Iterator[CounterMetricFamily]:
        name, about, labels = self._family
        family = CounterMetricFamily(name, about, labels=labels)
        for values, count in self.values.copy().items():
            family.add_metric(values, count)
        yield family


class Durations(Collector):
    """A histogram, of seconds unless other `bounds` are given: by label, how many fell below each bound and not below
    the one before, and their sum at the end."""

    def __init__(self, name: str, about: str, label: str, bounds: Sequence[float] = SECONDS) -> None:
        self._family = (name, about, [label])
        self._limits = bounds
        self._bounds = [*map(floatToGoString, bounds), "+Inf"]
        self._observed: dict[str, list[float]] = {}

    def observe(self, label: str, seconds: float) -> None:
        observed = self._observed.get(label)
        if observed is None:
            observed = self._observed[label] = [0] * (len(self._bounds) + 1)
        observed[bisect_left(self._limits, seconds)] += 1
        observed[-1] += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        name, about, labels = self._family
        family = HistogramMetricFamily(name, about, labels=labels)
        for label, (*counts, total) in self._observed.copy().items():
            family.add_metric([label], list(zip(self._bounds, accumulate(counts), strict=True)), total)
        yield family


class Metrics:
    """One registry a process; implements `engine.ports.Meter`. Labels come from configuration, never from a caller's
    words: tenants, instance names, edges, route templates."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counts("http_requests", "HTTP requests by route", ["path", "method", "status"])
        self._turns = Counts("clawdbot_turns", "Turns by how they ended", ["state", "edge", "tenant"])
        self._tokens = Counts("clawdbot_tokens", "Tokens of finished turns", ["kind", "tenant", "model"])
        self._seconds = Durations("clawdbot_turn_seconds", "Duration of a turn", "edge")
        self._first = Durations(
            "clawdbot_time_to_first_token_seconds", "From the request to the model's first event", "edge"
        )
        self._replayed = Counts(
            "clawdbot_idempotent_replays", "Requests answered as before, by their idempotency key", ["edge", "tenant"]
        )
        self._waits = Durations(
            "clawdbot_wait_seconds", "How long turns waited for a place, by what came of it", "outcome"
        )
        self._refusals = Counts(
            "clawdbot_wait_refusals", "Turns refused for want of a place", ["place", "outcome", "tenant"]
        )
        self._commits = Durations("clawdbot_journal_commit_seconds", "Commits of the audit journal", "outcome")
        self._masking = threading.Lock()
        self._masked = Counts("clawdbot_personal_masked", "Personal values masked before models, by kind", ["kind"])
        self._hooks = Counts(
            "clawdbot_plugin_hooks", "Hooks of plugins by what became of them", ["plugin", "hook", "outcome"]
        )
        self._hook_seconds = Durations("clawdbot_plugin_hook_seconds", "How long hooks of plugins took", "plugin")
        self._hits = Counts("clawdbot_guard_hits", "Words found, once a turn", ["list", "action", "where"])
        self._held = Durations(
            "clawdbot_guard_holdback_characters", "Most characters of an answer held back at once", "edge", CHARACTERS
        )
        self._held_for = Durations(
            "clawdbot_guard_holdback_seconds", "Longest that something of an answer was held back", "edge"
        )
        turns = (self._requests, self._turns, self._tokens, self._seconds, self._first)
        waits = (self._waits, self._refusals)
        for collector in (
            *turns,
            *waits,
            self._replayed,
            self._masked,
            self._hooks,
            self._hook_seconds,
            self._hits,
            self._held,
            self._held_for,
            self._commits,
        ):
            self.registry.register(collector)
        self.sockets = Gauge("clawdbot_websockets", "Open WebSocket connections", registry=self.registry)
        self._closed = Counts("clawdbot_websockets_closed", "WebSocket connections that ended, by why", ["reason"])
        self._refused = Counts("clawdbot_websockets_refused", "WebSocket handshakes that were refused", ["code"])
        self.registry.register(self._closed)
        self.registry.register(self._refused)
        self._in_line = Gauge(
            "clawdbot_waiting_turns", "Turns that wait for a place", ["place"], registry=self.registry
        )

        self._outbox = OutboxFigures()
        self._read_outbox: Callable[[], Awaitable[Sequence[Figure]]] | None = None
        self._waiting = {
            "entries": Gauge("clawdbot_journal_waiting_entries", "Entries not yet committed", registry=self.registry),
            "bytes": Gauge("clawdbot_journal_waiting_bytes", "What they take in memory", registry=self.registry),
            "spooled": Gauge(
                "clawdbot_journal_spool_bytes", "What waits on the disk for the database", registry=self.registry
            ),
        }

    def watch_queue(self, waiting: Mapping[str, int]) -> None:
        """`waiting`: turns that wait, by the place they wait for; read whenever somebody reads the metrics."""
        for place in waiting:
            self._in_line.labels(place).set_function(partial(waiting.__getitem__, place))

    def waited(self, *, tenant: str, place: str, outcome: Outcome, seconds: float) -> None:
        """A turn waited for a `place`: `worker` or `instance`."""
        self._waits.observe(outcome, seconds)
        if outcome not in ("served", "left"):
            self._refusals.values[place, outcome, tenant] += 1

    def watch_journal(self, waiting: Callable[[], Sequence[int]]) -> None:
        """`waiting` gives entries, bytes and bytes on the disk whenever somebody reads the metrics."""
        for number, gauge in enumerate(self._waiting.values()):
            gauge.set_function(partial(_nth, waiting, number))

    def commit(self, outcome: str, seconds: float) -> None:
        """A commit of the journal: `durable` or `failed`."""
        self._commits.observe(outcome, seconds)

    def socket_closed(self, reason: str) -> None:
        self._closed.values[(reason,)] += 1

    def socket_refused(self, code: str) -> None:
        """`code` is the error's."""
        self._refused.values[(code,)] += 1

    def request(self, path: str, method: str, status: int) -> None:
        """Counts an HTTP answer. `path` is the route's template."""
        self._requests.values[path, method, str(status)] += 1

    def turn(
        self, *, tenant: str, model: str, edge: str, state: str, ttft: float | None, duration: float, usage: Usage
    ) -> None:
        self._turns.values[state, edge, tenant] += 1
        if usage.prompt_tokens:
            self._tokens.values["prompt", tenant, model] += usage.prompt_tokens
        if usage.completion_tokens:
            self._tokens.values["completion", tenant, model] += usage.completion_tokens
        self._seconds.observe(edge, duration)
        if ttft is not None:
            self._first.observe(edge, ttft)

    def spent(self, *, tenant: str, model: str, cost: int) -> None:
        """See `engine.meters.Meter`, and of the next ones too."""

    def cache(self, *, tenant: str, outcome: str) -> None: ...

    def refused(self, *, tenant: str, limit: str) -> None: ...

    def first_token(self, *, instance: str, model: str, seconds: float) -> None: ...

    def call(self, *, instance: str, model: str, error: str, seconds: float) -> None: ...

    def replayed(self, *, tenant: str, edge: str) -> None:
        self._replayed.values[edge, tenant] += 1

    def masked(self, kind: str, number: int) -> None:
        """Counts the different values of a kind that were masked for one call; from any thread."""
        with self._masking:
            self._masked.values[(kind,)] += number

    def hook(self, *, plugin: str, hook: str, outcome: str, seconds: float) -> None:
        """What became of a plugin's hook; see `plugins.hooks`."""
        self._hooks.values[plugin, hook, outcome] += 1
        if seconds:
            self._hook_seconds.observe(plugin, seconds)

    def guard(self, *, edge: str, verdicts: Sequence[Verdict], held: tuple[int, float] | None) -> None:
        for verdict in verdicts:
            self._hits.values[verdict.list, verdict.action, verdict.where] += 1
        if held is not None:
            self._held.observe(edge, held[0])
            self._held_for.observe(edge, held[1])

    def watch_outbox(self, read: Callable[[], Awaitable[Sequence[Figure]]]) -> None:
        """`read` is asked whenever somebody reads the metrics; it raises nothing."""
        self._read_outbox = read
        self.registry.register(self._outbox)

    async def refresh(self) -> None:
        """Asks for what other processes know."""
        if self._read_outbox is not None:
            self._outbox.figures = await self._read_outbox()

    def text(self) -> bytes:
        return generate_latest(self.registry)


class OutboxFigures(Collector):
    """How far events of tenants are, as a publisher said last; `figures` is set before somebody reads."""

    def __init__(self) -> None:
        self.figures: Sequence[Figure] = ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, about, value in _OUTBOX:
            family = GaugeMetricFamily(f"clawdbot_outbox_{name}", about, labels=["tenant", "sink"])
            for figure in self.figures:
                family.add_metric([figure.tenant, figure.sink], float(getattr(figure, value)))
            yield family


_OUTBOX = (
    ("lag_entries", "Entries of the journal a sink was not told of yet", "lag"),
    ("lag_seconds", "How old the first of them is", "lag_seconds"),
    ("delivered", "Events that were delivered", "delivered"),
    ("dead", "Events that were given up", "dead"),
    ("pruned", "Entries that retention removed before they were sent", "pruned"),
    ("failing", "1: nothing was delivered since it failed last", "failing"),
)


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
        await self._metrics.refresh()
        await respond(send, 200, self._metrics.text(), [], content_type=CONTENT_TYPE_LATEST.encode())

    def _allowed(self, headers: dict[bytes, bytes], address: str | None) -> bool:
        given = headers.get(b"authorization", b"")
        if self._token and hmac.compare_digest(given, b"Bearer " + self._token):
            return True
        # A request that came through a proxy is not from loopback, though the proxy is.
        forwarded = any(name in headers for name in (b"x-forwarded-for", b"forwarded", b"x-real-ip"))
        return not forwarded and _loopback(address)


def _nth(figures: Callable[[], Sequence[int]], number: int) -> float:
    return figures()[number]


def _loopback(address: str | None) -> bool:
    if address is None:
        return False
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
