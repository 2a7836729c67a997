"""The side bar of the platform console."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

GROUPS = [
    (
        _("Tenants"),
        [
            "tenants.tenant",
            "tenants.member",
            "tenants.user",
            "tenants.invitation",
            "tenants.supportvisit",
            "tenants.apikey",
            "tenants.allowance",
            "tenants.iprule",
            "tenants.chatsite",
        ],
    ),
    (_("Models"), ["routing.modelinstance", "routing.routingrule"]),
    (
        _("Compliance"),
        [
            "compliance.sensitivewordlist",
            "compliance.wordlistsubscription",
            "compliance.wordexceptions",
            "compliance.personaldata",
            "compliance.auditentry",
            "compliance.erasure",
        ],
    ),
    (_("Events"), ["plugins.webhook", "plugins.sinkstate", "plugins.heldevent"]),
    (_("Alerts"), ["tenants.alert", "tenants.alertrule"]),
    (
        _("Operation"),
        ["plugins.pluginactivation", "plugins.intent", "plugins.intentsettings", "plugins.datasource", "tenants.job"],
    ),
]
SCREENS = {
    "tenants.tenant": (_("Tenants"), "domain"),
    "tenants.member": (_("Members"), "group"),
    "tenants.user": (_("Users"), "person"),
    "tenants.invitation": (_("Invitations"), "mail"),
    "tenants.supportvisit": (_("Support visits"), "support_agent"),
    "tenants.apikey": (_("API keys"), "key"),
    "tenants.allowance": (_("Limits"), "speed"),
    "tenants.iprule": (_("Allowed addresses"), "lan"),
    "tenants.chatsite": (_("Web chat"), "chat"),
    "routing.modelinstance": (_("Model instances"), "smart_toy"),
    "routing.routingrule": (_("Routing rules"), "alt_route"),
    "compliance.sensitivewordlist": (_("Word lists"), "gpp_maybe"),
    "compliance.wordlistsubscription": (_("Subscriptions"), "playlist_add_check"),
    "compliance.wordexceptions": (_("Exceptions"), "verified_user"),
    "compliance.personaldata": (_("Personal data"), "visibility_off"),
    "compliance.auditentry": (_("Journal"), "receipt_long"),
    "compliance.erasure": (_("Erasures"), "person_remove"),
    "plugins.pluginactivation": (_("Plugins"), "extension"),
    "plugins.intent": (_("Intents"), "label"),
    "plugins.intentsettings": (_("None of these"), "block"),
    "plugins.datasource": (_("Databases"), "storage"),
    "plugins.webhook": (_("Webhooks"), "webhook"),
    "plugins.sinkstate": (_("Queues and webhooks"), "outbound"),
    "plugins.heldevent": (_("Held events"), "report"),
    "tenants.alert": (_("Alerts"), "notifications_active"),
    "tenants.alertrule": (_("Alert rules"), "edit_notifications"),
    "tenants.job": (_("Jobs"), "progress_activity"),
}


def platform(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of screens, as django-unfold wants them."""
    groups: list[dict[str, Any]] = [
        {"title": title, "separator": True, "items": [_item(screen) for screen in screens]} for title, screens in GROUPS
    ]
    groups[-1]["items"].append({"title": _("Sessions"), "icon": "forum", "link": reverse("admin:sessions")})
    pages = [
        (0, _("Tenants' health"), "monitor_heart", "admin:tenants_health"),
        (2, _("Insights"), "insights", "admin:insights"),
        (-2, _("Health"), "monitor_heart", "admin:health"),
        (1, _("Instances and shares"), "balance", "admin:instances"),
        (-1, _("Workers"), "memory", "admin:workers"),
    ]
    for group, title, icon, address in pages:
        groups[group]["items"].append({"title": title, "icon": icon, "link": reverse(address)})
    groups[-1]["items"].append({"title": _("Store"), "icon": "database", "link": reverse("admin:store")})
    groups[-1]["items"].append({"title": _("Isolation"), "icon": "encrypted", "link": reverse("admin:isolation")})
    groups[-1]["items"].append({"title": _("API description"), "icon": "api", "link": reverse("docs")})
    return [{"items": [{"title": _("Overview"), "icon": "dashboard", "link": reverse("admin:index")}]}, *groups]


def _item(screen: str) -> dict[str, Any]:
    title, icon = SCREENS[screen]
    return {"title": title, "icon": icon, "link": reverse(f"admin:{screen.replace('.', '_')}_changelist")}
