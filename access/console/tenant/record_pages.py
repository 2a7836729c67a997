"""The pages and screens of a tenant's console about what runs in it and what is recorded of it."""

from __future__ import annotations

from access.console.tenant import conversations, exports, health, insights, live, playground, plugins
from access.console.tenant.alerts import OwnAlertRules, OwnAlerts
from access.console.tenant.records import OwnErasures, OwnJournal, OwnVisits
from access.console.tenant.site import Page, TenantSite
from compliance.models import AuditEntry, Erasure
from tenants.models import Alert, AlertRule, SupportVisit

RECORD_PAGES = [
    Page("sessions/", "sessions", "sessions", conversations.listed),
    Page("sessions/read/", "session", "sessions", conversations.read),
    Page("sessions/live/", "live", "sessions", live.listed),
    Page("sessions/live/<str:turn_id>/", "watch", "sessions", live.watched),
    Page("sessions/live/<str:turn_id>/events/", "watch_events", "sessions", live.events, streams=True),
    Page("playground/", "playground", "playground", playground.shown),
    Page("playground/turn/", "playground_turn", "playground", playground.turn, streams=True),
    Page("plugins/", "plugins", "plugins", plugins.listed),
    Page("plugins/dry-runs/<int:job_id>/", "plugin_dry_run", "plugins", plugins.tried),
    Page("plugin/<str:name>/", "plugin", "plugins", plugins.changed),
    Page("insights/", "insights", "overview", insights.shown),
    Page("health/", "health", "overview", health.shown),
    Page("health/objective/", "objective", "settings", health.objective),
    Page("exports/", "exports", "exports", exports.listed),
    Page("exports/<int:job_id>/result/", "export", "exports", exports.downloaded),
]


def register_records(site: TenantSite) -> None:
    site.register(AuditEntry, OwnJournal)
    site.register(Erasure, OwnErasures)
    site.register(SupportVisit, OwnVisits)
    site.register(Alert, OwnAlerts)
    site.register(AlertRule, OwnAlertRules)
