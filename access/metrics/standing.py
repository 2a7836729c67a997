"""How model instances, tenants' budgets, sessions and sinks are doing, as metrics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from access.instance_states import live_weights
from access.metrics import families as f
from access.metrics.asking import Ask, Facts
from access.metrics.counting import Metrics
from access.metrics.series import Values, combine
from access.outbox_figures import OutboxReader
from engine.errors import EngineError
from engine.snapshots import Cell
from plugins.outbox.figures import Figure
from routing.breaker import Breaker
from routing.table import RoutingTable
from sessions_app.layout import IDLE_BUCKETS, idle_bucket
from tenants.directory import TenantTable, TenantView
from tenants.isolation import Stores
from tenants.limits import Limits
from tenants.limits.standing import tenant_standing

CLOSED: Final = 0.0
HALF_OPEN: Final = 1.0
OPEN: Final = 2.0
SESSIONS_EVERY: Final = 30.0  # seconds
BUDGETS_EVERY: Final = 15.0


class InstanceFigures:
    """As this process's router sees them."""

    def __init__(self, table: Cell[RoutingTable]) -> None:
        self._table = table

    def weights(self) -> Values:
        found: Values = {}
        for entry, weight in live_weights(self._table.value, time.monotonic()):
            combine(found, (entry.title, entry.instance.name), weight, "sum")
        return found

    def breakers(self) -> Values:
        now = time.monotonic()
        found: Values = {}
        for entry in self._table.value.entries.values():
            combine(found, (entry.title, entry.instance.name), _state(entry.health.breaker, now), "max")
        return found

    def in_flight(self) -> Values:
        found: Values = {}
        for entry in self._table.value.entries.values():
            combine(found, (entry.title,), float(entry.health.in_flight), "sum")
        return found


def _state(breaker: Breaker, now: float) -> float:
    if not breaker.is_open:
        return CLOSED
    return OPEN if now < breaker.open_until else HALF_OPEN


class Platform(msgspec.Struct, frozen=True):
    """What its figures are read from."""

    stores: Stores
    tenants: Cell[TenantTable]
    limits: Limits


def watch(metrics: Metrics, routes: Cell[RoutingTable], platform: Platform, running: Callable[[], int]) -> None:
    """From now on `metrics` tell of all this. `running` are turns that are being answered."""
    instances, stores, tenants = InstanceFigures(routes), platform.stores, platform.tenants
    metrics.book.watch(f.WEIGHT, instances.weights)
    metrics.book.watch(f.BREAKER, instances.breakers)
    metrics.book.watch(f.IN_FLIGHT, instances.in_flight)
    metrics.book.watch(f.STREAMS, lambda: {(): float(running())})
    most, asked = metrics.book.labels.limits[f.TENANT], metrics.platform
    asked.ask(outbox(OutboxReader(stores.platform()).figures))
    asked.ask(store_up(stores), otherwise={f.STORE_UP.name: {(): 0.0}})
    asked.ask(sessions(stores, tenants, most), good_for=SESSIONS_EVERY)
    asked.ask(budgets(platform.limits, tenants, most), good_for=BUDGETS_EVERY)


# Of the whole platform ----------------------------------------------------------------------------------------------


def outbox(read: Callable[[], Awaitable[Sequence[Figure]]]) -> Ask:
    """How far events of tenants are, as a publisher said last."""

    async def ask() -> Facts:
        figures = await read()
        return {
            family.name: {(each.tenant, each.sink): float(getattr(each, value)) for each in figures}
            for value, family in f.OUTBOX.items()
        }

    return ask


def store_up(stores: Stores) -> Ask:
    async def ask() -> Facts:
        answer = await stores.platform().call("PING")
        return {f.STORE_UP.name: {(): float(answer == b"PONG")}}

    return ask


def sessions(stores: Stores, tenants: Cell[TenantTable], most: int) -> Ask:
    """Sessions in the stores of all tenants. Of more than `most` tenants nothing is said: each has its own database."""

    async def ask() -> Facts:
        found = list(tenants.value.by_id)
        if len(found) > most:
            return {}
        live = 0
        for tenant_id in found:
            with contextlib.suppress(EngineError):  # its store is away, or it is suspended
                live += await _sessions_of(stores, tenant_id)
        return {f.SESSIONS.name: {(): float(live)}}

    return ask


async def _sessions_of(stores: Stores, tenant_id: int) -> int:
    store = stores.tenant(tenant_id)
    keys = [idle_bucket(tenant_id, number) for number in range(IDLE_BUCKETS)]
    return sum([int(reply or 0) for reply in await asyncio.gather(*(store.send("ZCARD", key) for key in keys))])


def budgets(limits: Limits, tenants: Cell[TenantTable], most: int) -> Ask:
    """The used part of tenants' own budgets, of the first `most` that have one."""

    async def ask() -> Facts:
        having = [view for view in tenants.value.by_id.values() if _has_budget(view)][:most]
        found: Values = {}
        for used in await asyncio.gather(*(_used(limits, view) for view in having)):
            found.update(used)
        return {f.BUDGET.name: found}

    return ask


def _has_budget(view: TenantView) -> bool:
    return view.money_per_day is not None or view.money_per_month is not None


async def _used(limits: Limits, view: TenantView) -> Values:
    """What is set aside for calls under way counts as used. Nothing is told where nobody knows what was spent."""
    found: Values = {}
    with contextlib.suppress(EngineError):
        for each in await tenant_standing(limits, view.id, models=()):
            for period, money in (("day", each.day), ("month", each.month)):
                if money is not None and money.used is not None:
                    spent = money.used + (money.set_aside or 0)
                    found[view.slug, period] = spent / money.limit if money.limit else 1.0
    return found
