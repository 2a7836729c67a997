"""Every metric there is: its name, type, labels and meaning. `docs/metrics.md` says the same, and a test compares."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]
# How what several processes say of one thing becomes one value.
Merged = Literal["sum", "max", "mean"]

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LONG: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
CHARACTERS: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)

# Labels that tenants can fill with ever new names: so many of each are told apart (see `access.metrics.names`).
TENANT: Final = "tenant"
NAMED: Final = ("model", "instance", "list", "plugin", "sink")


class Family(msgspec.Struct, frozen=True):
    """`name` is without the `_total` that a counter's samples have."""

    name: str
    about: str
    kind: Kind
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    merged: Merged = "sum"


FAMILIES: Final[dict[str, Family]] = {}


def _known(family: Family) -> Family:
    FAMILIES[family.name] = family
    return family


def _counter(name: str, about: str, *labels: str) -> Family:
    return _known(Family(name, about, "counter", labels))


def _gauge(name: str, about: str, *labels: str, merged: Merged = "sum") -> Family:
    return _known(Family(name, about, "gauge", labels, merged=merged))


def _histogram(name: str, about: str, *labels: str, bounds: tuple[float, ...] = SECONDS) -> Family:
    return _known(Family(name, about, "histogram", labels, bounds))


# Requests and turns -------------------------------------------------------------------------------------------------
REQUESTS: Final = _counter("http_requests", "HTTP requests by route", "path", "method", "status")
REQUEST_SECONDS: Final = _histogram("http_request_seconds", "From a request to the end of its answer", "path")
TURNS: Final = _counter("clawdbot_turns", "Turns by how they ended", "state", "edge", "tenant")
TOKENS: Final = _counter("clawdbot_tokens", "Tokens of finished turns", "kind", "tenant", "model")
COST: Final = _counter("clawdbot_cost", "What finished turns cost, in the unit prices are in", "tenant", "model")
TURN_SECONDS: Final = _histogram("clawdbot_turn_seconds", "Duration of a turn", "edge")
FIRST: Final = _histogram("clawdbot_time_to_first_token_seconds", "From the request to the model's first event", "edge")
RATIO: Final = _gauge(
    "clawdbot_completion_ratio", "Of the turns of the last five minutes, the part that was completed", merged="max"
)
REPLAYED: Final = _counter(
    "clawdbot_idempotent_replays", "Requests answered as before, by their idempotency key", "edge", "tenant"
)
CACHE: Final = _counter("clawdbot_cache", "Calls that may be repeated, by what became of them", "tenant", "outcome")
STREAMS: Final = _gauge("clawdbot_streams_open", "Turns that are being answered")
SESSIONS: Final = _gauge("clawdbot_sessions_live", "Sessions in the stores of all tenants", merged="max")
SOCKETS: Final = _gauge("clawdbot_websockets", "Open WebSocket connections")
CLOSED: Final = _counter("clawdbot_websockets_closed", "WebSocket connections that ended, by why", "reason")
REFUSED: Final = _counter("clawdbot_websockets_refused", "WebSocket handshakes that were refused", "code")
WEB_CONNECTIONS: Final = _gauge("clawdbot_web_connections", "Open connections of the web server, WebSockets too")
WEB_CROWDED: Final = _counter(
    "clawdbot_web_crowded", "Web connections refused, or closed between requests, as places ran short", "outcome"
)
CONNECTIONS: Final = _gauge("clawdbot_grpc_connections", "Open gRPC connections")
CROWDED: Final = _counter(
    "clawdbot_grpc_crowded", "gRPC connections refused, or ended without a call, as places ran short", "outcome"
)

# Limits and waiting -------------------------------------------------------------------------------------------------
LIMITED: Final = _counter("clawdbot_limits_refused", "Turns that a limit refused", "tenant", "limit")
BUDGET: Final = _gauge("clawdbot_budget_used_ratio", "The used part of a tenant's budget", "tenant", "period",
                       merged="max")  # fmt: skip
WAITS: Final = _histogram("clawdbot_wait_seconds", "How long turns waited for a place, by what came of it", "outcome")
REFUSALS: Final = _counter("clawdbot_wait_refusals", "Turns refused for want of a place", "place", "outcome", "tenant")
IN_LINE: Final = _gauge("clawdbot_waiting_turns", "Turns that wait for a place", "place")

# Model instances ----------------------------------------------------------------------------------------------------
CALLS: Final = _counter("clawdbot_instance_requests", "Calls of model instances", "instance", "model")
ERRORS: Final = _counter("clawdbot_instance_errors", "Calls that failed, by the error", "instance", "model", "code")
CALL_SECONDS: Final = _histogram("clawdbot_instance_seconds", "Duration of calls that were answered", "instance")
CALL_FIRST: Final = _histogram("clawdbot_instance_first_token_seconds", "From a call to its first token", "instance")
WEIGHT: Final = _gauge(
    "clawdbot_instance_weight", "What an instance weighs now: 0 with an open breaker", "instance", "model",
    merged="mean",
)  # fmt: skip
BREAKER: Final = _gauge(
    "clawdbot_instance_breaker", "0: closed, 1: half-open, 2: open", "instance", "model", merged="max"
)
IN_FLIGHT: Final = _gauge("clawdbot_instance_in_flight", "Calls under way", "instance")

# Journal ------------------------------------------------------------------------------------------------------------
COMMITS: Final = _histogram("clawdbot_journal_commit_seconds", "Commits of the audit journal", "outcome")
WAITING_ENTRIES: Final = _gauge("clawdbot_journal_waiting_entries", "Entries not yet committed")
WAITING_BYTES: Final = _gauge("clawdbot_journal_waiting_bytes", "What they take in memory")
SPOOLED: Final = _gauge("clawdbot_journal_spool_bytes", "What waits on the disk for the database")
FOLDED: Final = _counter("clawdbot_sequencer_folded", "Entries folded into the journal's trees")
LAG: Final = _gauge(
    "clawdbot_sequencer_lag_seconds", "Since everything in the journal was in its trees; only where one leads",
    merged="max",
)  # fmt: skip

# Words, personal data, plugins, events ------------------------------------------------------------------------------
HITS: Final = _counter("clawdbot_guard_hits", "Words found, once a turn", "list", "action", "where")
HELD: Final = _histogram(
    "clawdbot_guard_holdback_characters", "Most characters of an answer held back at once", "edge", bounds=CHARACTERS
)
HELD_FOR: Final = _histogram(
    "clawdbot_guard_holdback_seconds", "Longest that something of an answer was held back", "edge"
)
MASKED: Final = _counter("clawdbot_personal_masked", "Personal values masked before models, by kind", "kind")
HOOKS: Final = _counter("clawdbot_plugin_hooks", "Hooks of plugins by what became of them", "plugin", "hook", "outcome")
HOOK_SECONDS: Final = _histogram("clawdbot_plugin_hook_seconds", "How long hooks of plugins took", "plugin")
OUTBOX: Final = {
    "lag": _gauge("clawdbot_outbox_lag_entries", "Entries of the journal a sink was not told of yet", "tenant", "sink"),
    "lag_seconds": _gauge("clawdbot_outbox_lag_seconds", "How old the first of them is", "tenant", "sink",
                          merged="max"),
    "delivered": _gauge("clawdbot_outbox_delivered", "Events that were delivered", "tenant", "sink"),
    "dead": _gauge("clawdbot_outbox_dead", "Events that were given up", "tenant", "sink"),
    "pruned": _gauge("clawdbot_outbox_pruned", "Entries that retention removed before they were sent", "tenant",
                     "sink"),
    "failing": _gauge("clawdbot_outbox_failing", "1: nothing was delivered since it failed last", "tenant", "sink",
                      merged="max"),
}  # fmt: skip

# The machine --------------------------------------------------------------------------------------------------------
JOBS: Final = _counter("clawdbot_jobs", "Background tasks by how they ended", "task", "state")
JOB_SECONDS: Final = _histogram("clawdbot_job_seconds", "How long background tasks took", "task", bounds=LONG)
STORE_UP: Final = _gauge("clawdbot_store_up", "1: the platform's store answers", merged="max")
WORKER_UP: Final = _gauge(
    "clawdbot_worker_up", "1: the process lives and says so; 0: it died or hangs", "worker", merged="max"
)
CPU: Final = _counter("process_cpu_seconds", "CPU time of a process", "worker", "kind")
MEMORY: Final = _gauge("process_resident_memory_bytes", "Memory a process has in RAM", "worker", "kind")
INFO: Final = _gauge("clawdbot_info", "1, with the version", "version", merged="max")
