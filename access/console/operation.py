"""Pages of the platform console about how it runs: its workers, its model instances with their shares, its tenants."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from access.console.bridge import live_of
from access.console.recorded_turn import duration, moment
from access.console.sessions import asked
from access.heartbeats import Beat
from access.instance_states import INSTANCES, InstanceState
from compliance.journal import reader
from compliance.usage import reader as usage
from engine import pricing
from engine.errors import EngineError
from engine.types import Json
from tenants.models import Tenant

DAY: Final = 86_400
SHOWN: Final = 100  # tenants: those that cost most
FEW: Final = 20  # calls: of fewer a share says nothing


# Workers ----------------------------------------------------------------------------------------------------------


def workers(request: HttpRequest) -> Json:
    """For the template `console/operation.html`: every worker that gave a sign of life in the last 15 seconds."""
    try:
        bridge, live = live_of(request)
        beats = asked(bridge, live.turns.workers())
    except EngineError as error:
        return {"trouble": f"{error.message} ({error.code})"}
    now = time.time()
    headers = [
        _("Worker"), _("Host"), _("Process"), _("Version"), _("Running for"), _("Turns running"), _("Turns waiting"),
        _("Entries that wait for the journal"), _("Memory"), _("Last sign of life"),
    ]  # fmt: skip
    rows = [_beat(beat, now) for beat in beats]
    versions = {beat.version for beat in beats}
    notes = [_("Workers of several versions run at the same time.")] if len(versions) > 1 else []
    return {
        "tables": [{"title": _("Workers"), "table": {"headers": headers, "rows": rows}}],
        "notes": [*notes, _("A worker says every 5 seconds that it lives, and is forgotten after 15 without a word.")],
        "link": {"address": reverse("admin:store"), "name": _("Store")},
    }


def _beat(beat: Beat, now: float) -> list[Any]:
    return [
        beat.worker,
        beat.host,
        beat.pid,
        beat.version,
        _age(now - beat.started),
        beat.running,
        beat.waiting,
        beat.journal_waiting,
        filesizeformat(beat.memory) if beat.memory else "—",
        _("%(seconds)s s ago") % {"seconds": max(round(now - beat.at), 0)},
    ]


def _age(seconds: float) -> str:
    if seconds < 120:
        return duration(max(seconds, 0.0))
    minutes = int(seconds // 60)
    return f"{minutes // 1440} d {minutes // 60 % 24:02} h {minutes % 60:02} min"


# Instances --------------------------------------------------------------------------------------------------------


class Pooled(msgspec.Struct):
    """One instance as all workers together see it."""

    state: InstanceState
    live: float = 0.0
    calls: int = 0
    failures: int = 0
    in_flight: int = 0
    worst: float = 0.0
    ttft: list[float] = []
    open: int = 0
    paused: int = 0
    workers: int = 0

    def add(self, other: InstanceState) -> None:
        self.workers += 1
        self.live += other.live
        self.calls += other.calls
        self.failures += other.failures
        self.in_flight += other.in_flight
        self.worst = max(self.worst, other.error_rate)
        self.open += other.open
        self.paused += other.paused
        if other.ttft is not None:
            self.ttft.append(other.ttft)


def instances(request: HttpRequest) -> Json:
    """The platform's instances by the name people ask for: what each should get of its calls, by its weight and by
    what it is worth now, and what it got since the workers started."""
    try:
        bridge, live = live_of(request)
        count = len(asked(bridge, live.turns.workers()))
        told = asked(bridge, live.asking.ask(INSTANCES, workers=count))
    except EngineError as error:
        return {"trouble": f"{error.message} ({error.code})"}
    states = [each for said in told.values() for each in msgspec.convert(said or [], list[InstanceState])]
    headers = [
        _("Instance"), _("State"), _("Weight"), _("Weight now"), _("Share expected"), _("Share by its weight now"),
        _("Share it got"), _("Calls"), _("Running"), _("Errors"), _("First token after"),
    ]  # fmt: skip
    rows = [_row(one, pool) for pool in pools(states) for one in pool]
    return {
        "tables": [{"title": _("Shared model instances"), "table": {"headers": headers, "rows": rows}}],
        "notes": [
            _("Asked of %(count)s of %(all)s workers. Shares are within one public name; calls are those since the "
              "workers started. Rules, sessions that stay with their model and limits move shares away from weights.")
            % {"count": len(told), "all": count}
        ],
        "link": {"address": reverse("admin:routing_modelinstance_changelist"), "name": _("Model instances")},
    }  # fmt: skip


def pools(states: Iterable[InstanceState]) -> list[list[Pooled]]:
    """By task and public name; within one in the order of their numbers."""
    found: dict[tuple[str, str], dict[int, Pooled]] = {}
    for state in states:
        pool = found.setdefault((state.task, state.name), {})
        pool.setdefault(state.id, Pooled(state)).add(state)
    return [[pool[number] for number in sorted(pool)] for _name, pool in sorted(found.items())]


def _row(one: Pooled, pool: list[Pooled]) -> list[Any]:
    state = one.state
    name = f"{state.name} ({state.label})" if state.label else state.name
    calls = sum(each.calls for each in pool)
    return [
        format_html('<a href="{}">{}</a>', reverse("admin:routing_modelinstance_change", args=[state.id]), name),
        _state(one),
        f"{state.weight:g}",
        f"{one.live / one.workers:.3g}",
        _share(state.weight, sum(each.state.weight for each in pool)),
        _share(one.live, sum(each.live for each in pool)),
        _share(one.calls, calls) if calls >= FEW else "—",
        one.calls,
        one.in_flight,
        f"{100 * one.worst:.0f} %" if one.calls else "—",
        duration(sum(one.ttft) / len(one.ttft)) if one.ttft else "—",
    ]


def _state(one: Pooled) -> str:
    if one.open:
        return _("breaker open at %(open)s of %(workers)s workers") % {"open": one.open, "workers": one.workers}
    return _("its service asked to wait") if one.paused else _("ready")


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "—"


# Tenants ----------------------------------------------------------------------------------------------------------


def tenants() -> Json:
    """How the tenants that use the platform most fared in the last 24 hours; three queries."""
    now = time.time()
    try:
        lines = reader.readable(lambda: usage.totals(usage.Whose(None), usage.Period(now - DAY, now), "tenant"))
    except EngineError as error:
        return {"trouble": f"{error.message} ({error.code})"}
    known = Tenant.objects.in_bulk([int(line.what) for line in lines[:SHOWN]])
    rows = [_tenant(known[int(line.what)], line.sums) for line in lines[:SHOWN] if int(line.what) in known]
    headers = [
        _("Tenant"), _("State"), _("Turns"), _("Completion rate"), _("Failed"), _("Aborted"), _("Refused"),
        _("Tokens"), _("Money"), _("Last turn"),
    ]  # fmt: skip
    return {
        "tables": [{"title": _("Tenants in the last 24 hours"), "table": {"headers": headers, "rows": rows}}],
        "notes": [_("Those that cost most come first, at most %(most)s.") % {"most": SHOWN}],
        "link": {"address": reverse("admin:tenants_tenant_changelist"), "name": _("All tenants")},
    }


def _tenant(tenant: Tenant, sums: usage.Sums) -> list[Any]:
    rate = sums.completion_rate
    return [
        format_html('<a href="{}">{}</a>', reverse("admin:tenants_tenant_change", args=[tenant.pk]), tenant.name),
        standing(tenant, rate),
        sums.turns,
        f"{100 * rate:.1f} %" if rate is not None else "—",
        sums.failed,
        sums.aborted,
        sums.refused,
        sums.tokens,
        f"{sums.cost / pricing.UNIT:.4f}",
        moment(sums.last_at) if sums.last_at else "—",
    ]


def standing(tenant: Tenant, rate: float | None) -> str:
    """In a word."""
    if tenant.closed_at is not None:
        return _("being taken off")
    if not tenant.is_active:
        return _("suspended")
    if rate is None:
        return _("quiet")
    return _("well") if rate >= 0.98 else _("troubled") if rate >= 0.9 else _("failing")
