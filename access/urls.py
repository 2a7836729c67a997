"""The routes of the lean handler. Each answers with and without the final slash, never by redirect."""

from __future__ import annotations

from django.urls import URLPattern, re_path

from access.edges.rest import ChatView
from access.management.activations import PluginDetail, PluginList
from access.management.addresses import AddressDetail, AddressList
from access.management.alerts import AlertAcknowledgement, AlertList
from access.management.allowances import AllowanceDetail, AllowanceList
from access.management.answers import Cache
from access.management.audit import AuditChanges, AuditCheckpoints, AuditDetail, AuditExports, AuditList, AuditSearch
from access.management.audit_sessions import AuditSessions
from access.management.chat_site_settings import ChatSiteSettings
from access.management.data_sources import DataSourceDetail, DataSourceList, DataSourceLook
from access.management.erasures import Erasures
from access.management.insights import Insights
from access.management.instance_trials import InstanceTrial
from access.management.instances import AdapterList, InstanceDetail, InstanceList
from access.management.intents import (
    IntentClassify,
    IntentDetail,
    IntentList,
    IntentSettingsView,
    IntentTraining,
)
from access.management.invitations import InvitationDetail, InvitationList, InvitationResending
from access.management.jobs import JobDetail, JobList, JobResult
from access.management.keys import KeyDetail, KeyList, KeyRotation
from access.management.layers import LayerDetail, LayerList, SessionWindow
from access.management.limits import OwnLimits
from access.management.members import MemberDetail, MemberList
from access.management.outbox import HeldDetail, HeldList, HeldResending, Outbox
from access.management.own_tenant import Me, OwnTenant
from access.management.plugin_dry_runs import PluginDryRun
from access.management.privacy import Privacy
from access.management.routes import RouteExplain, RouteReplay, RouteScore
from access.management.rules import RuleDetail, RuleList
from access.management.session_versions import (
    SessionBranch,
    SessionDiff,
    SessionRestore,
    SessionVersionDetail,
    SessionVersions,
    SnapshotDetail,
    Snapshots,
)
from access.management.sessions import SessionDetail, SessionList
from access.management.tenants import TenantDetail, TenantList
from access.management.tickets import WebSocketTicket
from access.management.turns import TurnCancel, TurnDetail, TurnEvents
from access.management.usage import Usage
from access.management.visitors import ChatSite, Visitors, VisitorTickets
from access.management.webhooks import (
    WebhookAttempts,
    WebhookDetail,
    WebhookList,
    WebhookRotation,
    WebhookTest,
)
from access.management.word_choices import ExceptionsView, SubscriptionView
from access.management.word_files import ExportView, ImportView
from access.management.word_trials import WordHitsView, WordTest
from access.management.word_versions import DifferenceView, PromoteView, RollbackView, VersionsView, VersionView
from access.management.words import WordListsView, WordListView
from access.parts import Parts
from access.views import LeanView

ROUTES: dict[str, type[LeanView]] = {
    "/api/chat": ChatView,
    "/api/sessions": SessionList,
    "/api/sessions/{session_id}": SessionDetail,
    "/api/sessions/{session_id}/layers": LayerList,
    "/api/sessions/{session_id}/layers/{layer_id}": LayerDetail,
    "/api/sessions/{session_id}/window": SessionWindow,
    "/api/sessions/{session_id}/snapshots": Snapshots,
    "/api/sessions/{session_id}/snapshots/{snapshot}": SnapshotDetail,
    "/api/sessions/{session_id}/versions": SessionVersions,
    "/api/sessions/{session_id}/versions/{version}": SessionVersionDetail,
    "/api/sessions/{session_id}/diff": SessionDiff,
    "/api/sessions/{session_id}/restore": SessionRestore,
    "/api/sessions/{session_id}/branch": SessionBranch,
    "/api/turns/{turn_id}": TurnDetail,
    "/api/turns/{turn_id}/events": TurnEvents,
    "/api/turns/{turn_id}/cancel": TurnCancel,
    "/api/route/explain": RouteExplain,
    "/api/route/score": RouteScore,
    "/api/route/replay": RouteReplay,
    "/api/rules": RuleList,
    "/api/rules/{rule_id}": RuleDetail,
    "/api/jobs": JobList,
    "/api/jobs/{job_id}": JobDetail,
    "/api/jobs/{job_id}/result": JobResult,
    "/api/audit": AuditList,
    "/api/audit/changes": AuditChanges,
    "/api/audit/checkpoints": AuditCheckpoints,
    "/api/audit/sessions": AuditSessions,
    "/api/audit/search": AuditSearch,
    "/api/audit/exports": AuditExports,
    "/api/audit/{turn_id}": AuditDetail,
    "/api/cache": Cache,
    "/api/limits": OwnLimits,
    "/api/privacy": Privacy,
    "/api/erasures": Erasures,
    "/api/usage": Usage,
    "/api/insights": Insights,
    "/api/ws-ticket": WebSocketTicket,
    "/api/visitors": Visitors,
    "/api/visitor-tickets": VisitorTickets,
    "/api/chat-site": ChatSite,
    "/api/words": WordListsView,
    "/api/words/exceptions": ExceptionsView,
    "/api/words/test": WordTest,
    "/api/words/{list_id}": WordListView,
    "/api/words/{list_id}/versions": VersionsView,
    "/api/words/{list_id}/versions/{version}": VersionView,
    "/api/words/{list_id}/diff": DifferenceView,
    "/api/words/{list_id}/rollback": RollbackView,
    "/api/words/{list_id}/promote": PromoteView,
    "/api/words/{list_id}/subscription": SubscriptionView,
    "/api/words/{list_id}/import": ImportView,
    "/api/words/{list_id}/export": ExportView,
    "/api/words/{list_id}/hits": WordHitsView,
    "/api/me": Me,
    "/api/tenant": OwnTenant,
    "/api/chat-site/settings": ChatSiteSettings,
    "/api/addresses": AddressList,
    "/api/addresses/{address_id}": AddressDetail,
    "/api/webhooks": WebhookList,
    "/api/webhooks/{webhook_id}": WebhookDetail,
    "/api/webhooks/{webhook_id}/rotate": WebhookRotation,
    "/api/webhooks/{webhook_id}/test": WebhookTest,
    "/api/webhooks/{webhook_id}/attempts": WebhookAttempts,
    "/api/alerts": AlertList,
    "/api/alerts/{alert_id}/acknowledge": AlertAcknowledgement,
    "/api/outbox": Outbox,
    "/api/outbox/held": HeldList,
    "/api/outbox/held/{held_id}": HeldDetail,
    "/api/outbox/held/{held_id}/resend": HeldResending,
    "/api/plugins": PluginList,
    "/api/plugins/dry-run": PluginDryRun,
    "/api/plugins/{plugin}": PluginDetail,
    "/api/intents": IntentList,
    "/api/intents/settings": IntentSettingsView,
    "/api/intents/training": IntentTraining,
    "/api/intents/classify": IntentClassify,
    "/api/intents/{intent_id}": IntentDetail,
    "/api/data-sources": DataSourceList,
    "/api/data-sources/{source_id}": DataSourceDetail,
    "/api/data-sources/{source_id}/look": DataSourceLook,
    "/api/allowances": AllowanceList,
    "/api/allowances/{allowance_id}": AllowanceDetail,
    "/api/keys": KeyList,
    "/api/keys/{key_id}": KeyDetail,
    "/api/keys/{key_id}/rotate": KeyRotation,
    "/api/members": MemberList,
    "/api/members/{member_id}": MemberDetail,
    "/api/invitations": InvitationList,
    "/api/invitations/{invitation_id}": InvitationDetail,
    "/api/invitations/{invitation_id}/resend": InvitationResending,
    "/api/models": InstanceList,
    "/api/models/{instance_id}": InstanceDetail,
    "/api/models/{instance_id}/test": InstanceTrial,
    "/api/adapters": AdapterList,
    "/api/tenants": TenantList,
    "/api/tenants/{tenant_id}": TenantDetail,
}


def urlpatterns(parts: Parts) -> list[URLPattern]:
    """Each pattern's name is its template, which metrics count by."""
    return [re_path(_pattern(template), view.as_view(parts=parts), name=template) for template, view in ROUTES.items()]


def _pattern(template: str) -> str:
    steps = (rf"(?P<{step[1:-1]}>[^/]+)" if step.startswith("{") else step for step in template[1:].split("/"))
    return rf"^{'/'.join(steps)}/?\Z"
