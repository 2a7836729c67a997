"""The side bar of a tenant's console: what the person's role may read."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from access.console.tenant.place import place_of

# Groups of (area, title, icon, name of the page's address)
GROUPS: list[tuple[Any, list[tuple[str, Any, str, str]]]] = [
    (_("Tenant"), [("settings", _("Isolation"), "encrypted", "console:isolation")]),
]


def tenant(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of screens, as django-unfold wants them."""
    place = place_of(request)
    groups: list[dict[str, Any]] = [
        {"items": [{"title": _("Overview"), "icon": "dashboard", "link": reverse("console:index")}]}
    ]
    for title, items in GROUPS:
        shown = [
            {"title": name, "icon": icon, "link": reverse(address)}
            for area, name, icon, address in items
            if place is not None and place.may(area)
        ]
        if shown:
            groups.append({"title": title, "separator": True, "items": shown})
    return groups
