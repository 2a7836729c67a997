"""How each worker sees the platform's model instances: calls it made, what each weighs now, whose breaker is open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

import msgspec

from engine.snapshots import Cell
from routing.selection import Member
from routing.table import Entry, RoutingTable

INSTANCES: Final = "instances"


class InstanceState(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's word. `weight` is the operator's, `live` what it is worth now; `error_rate` is 0 to 1, `ttft` in
    seconds, None before the first answer. `calls` were made since the worker started."""

    id: int
    name: str
    label: str
    task: str
    weight: float
    live: float
    calls: int
    failures: int
    in_flight: int
    error_rate: float
    ttft: float | None
    open: bool
    paused: bool


def states(table: Cell[RoutingTable]) -> Callable[[str], list[InstanceState]]:
    """For `tenants.asking`: those every tenant may be sent to, or some, but no tenant's own."""

    def told(_: str) -> list[InstanceState]:
        shared = [entry for entry in table.value.entries.values() if entry.instance.tenant_id is None]
        shared.sort(key=_pool)
        now = time.monotonic()
        pools = (list(entries) for _, entries in groupby(shared, _pool))
        return [state for pool in pools for state in _states(table.value, pool, now)]

    return told


def broken(table: Cell[RoutingTable]) -> Callable[[], list[int]]:
    """For `access.heartbeats`: instances whose breaker is open at this worker, tenants' own too."""
    return lambda: [entry.instance.id for entry in table.value.entries.values() if entry.health.breaker.is_open]


def live_weights(table: RoutingTable, now: float) -> Iterator[tuple[Entry, float]]:
    """Of all instances, tenants' own too, among those of their name."""
    everything = sorted(table.entries.values(), key=lambda entry: (entry.owner, _pool(entry)))
    for _, pool in groupby(everything, key=lambda entry: (entry.owner, _pool(entry))):
        entries = list(pool)
        for entry, quality in zip(entries, _qualities(table, entries, now), strict=True):
            yield entry, _live(entry, quality)


def _pool(entry: Entry) -> tuple[str, str]:
    return entry.instance.task, entry.instance.name


def _states(table: RoutingTable, entries: list[Entry], now: float) -> list[InstanceState]:
    qualities = _qualities(table, entries, now)
    return [_state(entry, quality, now) for entry, quality in zip(entries, qualities, strict=True)]


def _qualities(table: RoutingTable, entries: list[Entry], now: float) -> Sequence[float]:
    members = [
        Member(entry.instance.id, entry.instance.weight, entry.health, entry.instance.max_concurrency)
        for entry in entries
    ]
    balance = table.balances.of(members)
    balance.renew(now)
    return balance.qualities


def _live(entry: Entry, quality: float) -> float:
    return 0.0 if entry.health.breaker.is_open else round(entry.instance.weight * quality, 3)


def _state(entry: Entry, quality: float, now: float) -> InstanceState:
    instance, health = entry.instance, entry.health
    return InstanceState(
        id=instance.id,
        name=instance.name,
        label=entry.label,
        task=instance.task,
        weight=instance.weight,
        live=_live(entry, quality),
        calls=health.calls,
        failures=health.failures,
        in_flight=health.in_flight,
        error_rate=round(health.error_rate(now), 4),
        ttft=health.ttft,
        open=health.breaker.is_open,
        paused=health.paused_until > now,
    )
