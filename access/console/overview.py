"""The first page of the platform console: how many of what, the turns of the last hour, the instances' health, and what
was used by whom in a period of choice (`access.console.spenders`)."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from django.db import DatabaseError
from django.db.models import Count, Q
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _

from access.console.bridge import bridge_of
from access.console.recorded_turn import STATE_COLOURS, duration, state_name
from access.console.scoped import everywhere
from access.console.spenders import spenders
from compliance.journal import reader
from compliance.journal.spans import first_id
from compliance.models import AuditEntry
from engine.errors import Unavailable
from routing.models import ModelInstance
from routing.table import Entry
from sessions_app.shelf import figures
from tenants.models import ApiKey, Tenant

HOUR = 3600
MOST_ENTRIES = 20_000  # of the journal, newest first: a page must not read an hour of a busy platform
MOST_INSTANCES = 12


def overview(request: HttpRequest) -> dict[str, Any]:
    """For the template `console/index.html`; as many queries whatever there is."""
    shown = {"cards": _cards(), "turns": _turns(time.time()), "instances": _instances(request)}
    return {**shown, **spenders(request)}


def _cards() -> list[dict[str, Any]]:
    tenants = Tenant.objects.aggregate(all=Count("pk"), active=Count("pk", filter=Q(is_active=True)))
    instances = everywhere(ModelInstance).aggregate(all=Count("pk"), active=Count("pk", filter=Q(enabled=True)))
    unexpired = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    keys = everywhere(ApiKey).aggregate(all=Count("pk"), active=Count("pk", filter=Q(revoked_at=None) & unexpired))
    return [
        _card(_("Tenants"), "tenants_tenant", tenants, _("active")),
        _card(_("Model instances"), "routing_modelinstance", instances, _("in use")),
        _card(_("API keys"), "tenants_apikey", keys, _("active")),
        _archived(),
    ]


def _archived() -> dict[str, Any]:
    count, size = figures()
    return {
        "title": _("Archived sessions"),
        "number": count,
        "note": filesizeformat(size),
        "link": reverse("admin:tenants_tenant_changelist"),
    }


def _card(title: str, screen: str, counts: dict[str, int], what: str) -> dict[str, Any]:
    left = counts["all"] - counts["active"]
    note = _("%(what)s, %(left)s not") % {"what": what, "left": left} if left else what
    return {"title": title, "number": counts["active"], "note": note, "link": reverse(f"admin:{screen}_changelist")}


def _turns(now: float) -> dict[str, Any]:
    """`error` where the journal cannot be read; `cut`: an hour holds more than was looked at."""
    recent = reader.entries().everywhere().filter(turn_id__gte=first_id(now - HOUR)).order_by("-turn_id")
    try:
        found = list(recent.values_list("kind", "state")[:MOST_ENTRIES])
    except DatabaseError as error:
        return {"error": str(error)}
    ends = Counter(state for kind, state in found if kind == AuditEntry.Kind.COMPLETION)
    begun = sum(kind == AuditEntry.Kind.INTENT for kind, _state in found)
    in_flight = max(begun - ends.total(), 0)
    counted = ends["completed"] + ends["failed"] + ends["aborted"]
    states = [*AuditEntry.State.values, "in_flight"]
    link = reverse("admin:compliance_auditentry_changelist")
    return {
        "total": begun,
        "cut": len(found) == MOST_ENTRIES,
        "rate": f"{100 * ends['completed'] / counted:.1f} %" if counted else "",
        "states": [
            {
                "name": state_name(state),
                "colour": STATE_COLOURS[state],
                "count": in_flight if state == "in_flight" else ends[state],
                "link": f"{link}?state={state}&since={now - HOUR:.0f}",
            }
            for state in states
        ],
    }


def _instances(request: HttpRequest) -> dict[str, Any] | None:
    """A table of the instances this worker has called most; None where no engine runs in this process."""
    try:
        table = bridge_of(request).routes.value
    except Unavailable:
        return None
    entries = sorted(table.entries.values(), key=lambda entry: -entry.health.calls)
    now = time.monotonic()
    headers = [_("Instance"), _("State"), _("Calls"), _("Running"), _("Waiting"), _("Errors"), _("First token after")]
    return {
        "left": max(len(entries) - MOST_INSTANCES, 0),
        "table": {"headers": headers, "rows": [_row(entry, now) for entry in entries[:MOST_INSTANCES]]},
    }


def _row(entry: Entry, now: float) -> list[Any]:
    health, instance = entry.health, entry.instance
    name = f"{instance.name} ({entry.label})" if entry.label else instance.name
    return [
        format_html('<a href="{}">{}</a>', reverse("admin:routing_modelinstance_change", args=[instance.id]), name),
        _state(entry, now),
        health.calls,
        _running(entry),
        health.places.line.size if health.places is not None else 0,
        f"{100 * health.error_rate(now):.0f} %" if health.calls else "—",
        "—" if health.ttft is None else duration(health.ttft),
    ]


def _running(entry: Entry) -> Any:
    """Of how many, where that is limited."""
    limit, running = entry.instance.max_concurrency, entry.health.in_flight
    return running if limit is None else _("%(running)s of %(limit)s") % {"running": running, "limit": limit}


def _state(entry: Entry, now: float) -> str:
    if entry.health.breaker.is_open:
        return _("its breaker is open after failures")
    if entry.health.paused_until > now:
        return _("its service asked to wait")
    limit = entry.instance.max_concurrency
    return _("at its limit of calls") if limit is not None and entry.health.in_flight >= limit else _("ready")
