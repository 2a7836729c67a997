"""The part of a tenant's side bar about what runs and what is recorded, as `navigation` has the others."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _

RECORDS: Final[list[tuple[Any, list[tuple[str, Any, str, str]]]]] = [
    (
        _("Use"),
        [
            ("playground", _("Playground"), "science", "console:playground"),
            ("sessions", _("Sessions"), "forum", "console:sessions"),
            ("sessions", _("Live turns"), "sensors", "console:live"),
            ("plugins", _("Plugins"), "extension", "console:plugins"),
        ],
    ),
    (
        _("Records"),
        [
            ("journal", _("Journal"), "receipt_long", "console:compliance_auditentry_changelist"),
            ("journal", _("Erasures"), "person_remove", "console:compliance_erasure_changelist"),
            ("members", _("Support visits"), "support_agent", "console:tenants_supportvisit_changelist"),
            ("overview", _("Insights"), "insights", "console:insights"),
            ("overview", _("Health"), "monitor_heart", "console:health"),
            ("exports", _("Exports"), "download", "console:exports"),
        ],
    ),
    (
        _("Alerts"),
        [
            ("settings", _("Alerts"), "notifications_active", "console:tenants_alert_changelist"),
            ("settings", _("Alert rules"), "edit_notifications", "console:tenants_alertrule_changelist"),
        ],
    ),
]
