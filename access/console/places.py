"""Who holds the places of an instance now and who waits for one, as the worker that shows the page sees it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from access.console.bridge import bridge_of
from engine.errors import Unavailable
from engine.places import Standing
from tenants.models import Tenant

PATIENCE = 2.0  # seconds for the event loop
MOST = 20  # tenants shown: those with most


def standing_of(request: HttpRequest, instance_id: int) -> Standing | None:
    """None: it takes any number of calls, is not in service, or no engine runs here."""
    try:
        bridge = bridge_of(request)
        entry = bridge.routes.value.entries.get(instance_id)
        places = entry.health.places if entry is not None else None
        if places is None:
            return None

        async def now() -> Standing:  # what is held belongs to the event loop
            return places.standing()

        return bridge.run(now(), PATIENCE)
    except (Unavailable, TimeoutError):
        return None


def panel(request: HttpRequest, instance_id: int) -> dict[str, Any] | None:
    """For the template `console/places.html`; one query."""
    standing = standing_of(request, instance_id)
    if standing is None:
        return None
    held, waiting = standing.held, standing.waiting
    busiest = sorted({*held, *waiting}, key=lambda owner: (-held.get(owner, 0), -waiting.get(owner, 0), owner))
    tenants = Tenant.objects.in_bulk(busiest[:MOST])
    rows = [
        [_tenant(tenants.get(owner)), _share(tenants.get(owner)), held.get(owner, 0), waiting.get(owner, 0)]
        for owner in busiest[:MOST]
    ]
    return {
        "running": standing.running,
        "limit": standing.limit,
        "waiting": sum(waiting.values()),
        "left": max(len(busiest) - MOST, 0),
        "table": {"headers": [_("Tenant"), _("Share"), _("Running"), _("Waiting")], "rows": rows},
    }


def _tenant(tenant: Tenant | None) -> Any:
    if tenant is None:
        return "—"
    return format_html('<a href="{}">{}</a>', reverse("admin:tenants_tenant_change", args=[tenant.pk]), tenant.name)


def _share(tenant: Tenant | None) -> Any:
    return "—" if tenant is None else tenant.share
