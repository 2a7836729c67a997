"""The side bar of a tenant's console: what the person's role may read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from access.console.tenant.place import place_of
from access.console.tenant.record_groups import RECORDS

# Groups of (area, title, icon, name of the page's address)
GROUPS: list[tuple[Any, list[tuple[str, Any, str, str]]]] = [
    (
        _("Access"),
        [
            ("keys", _("API keys"), "key", "console:tenants_apikey_changelist"),
            ("members", _("Members"), "group", "console:tenants_member_changelist"),
            ("members", _("Invitations"), "mail", "console:tenants_invitation_changelist"),
            ("limits", _("Limits"), "speed", "console:tenants_allowance_changelist"),
            ("addresses", _("Allowed addresses"), "lan", "console:tenants_iprule_changelist"),
        ],
    ),
    (
        _("Models"),
        [
            ("models", _("Model instances"), "smart_toy", "console:routing_modelinstance_changelist"),
            ("plugins", _("Databases"), "storage", "console:plugins_datasource_changelist"),
            ("rules", _("Routing rules"), "alt_route", "console:routing_routingrule_changelist"),
            ("rules", _("Explain a decision"), "psychology_alt", "console:routing_routingrule_explain"),
            ("rules", _("Replay rules"), "history", "console:routing_routingrule_replay"),
        ],
    ),
    (
        _("Words"),
        [
            ("words", _("Word lists"), "gpp_maybe", "console:compliance_sensitivewordlist_changelist"),
            ("words", _("Subscriptions"), "playlist_add_check", "console:compliance_wordlistsubscription_changelist"),
            ("words", _("Exceptions"), "verified_user", "console:compliance_wordexceptions_changelist"),
            ("words", _("Personal data"), "visibility_off", "console:compliance_personaldata_changelist"),
            ("words", _("Try a text"), "science", "console:compliance_sensitivewordlist_try_text"),
        ],
    ),
    (
        _("Understanding"),
        [
            ("plugins", _("Intents"), "label", "console:plugins_intent_changelist"),
            ("plugins", _("Training and test"), "science", "console:plugins_intent_try_text"),
            ("plugins", _("None of these"), "block", "console:plugins_intentsettings_changelist"),
        ],
    ),
    (
        _("Events"),
        [
            ("plugins", _("Webhooks"), "webhook", "console:plugins_webhook_changelist"),
            ("plugins", _("Queues and webhooks"), "outbound", "console:plugins_sinkstate_changelist"),
            ("plugins", _("Held events"), "report", "console:plugins_heldevent_changelist"),
        ],
    ),
    *RECORDS,
    (
        _("Tenant"),
        [
            ("chat_site", _("Web chat"), "chat", "console:tenants_chatsite_changelist"),
            ("settings", _("Settings"), "settings", "console:tenants_tenant_changelist"),
            ("settings", _("Isolation"), "encrypted", "console:isolation"),
            ("tenant", _("Off-boarding"), "logout", "console:offboarding"),
        ],
    ),
]


def tenant(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of screens, as django-unfold wants them."""
    place = place_of(request)
    here = _here(request.path)
    groups: list[dict[str, Any]] = [
        {"items": [{"title": _("Overview"), "icon": "dashboard", "link": reverse("console:index")}]}
    ]
    for title, items in GROUPS:
        shown = [
            {"title": name, "icon": icon, "link": reverse(address), "active": _shown(address == here)}
            for area, name, icon, address in items
            if place is not None and place.may(area)
        ]
        if shown:
            groups.append({"title": title, "separator": True, "items": shown})
    return groups


def _here(path: str) -> str:
    """Which page's address lies closest above this one: there are pages below pages that are no part of them."""
    names = [address for _title, items in GROUPS for *_rest, address in items if path.startswith(reverse(address))]
    return max(names, key=lambda name: len(reverse(name)), default="")


def _shown(active: bool) -> Callable[[HttpRequest], bool]:
    """As django-unfold asks for it."""
    return lambda request: active
