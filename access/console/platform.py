"""The platform console put together: every screen at its model."""

from __future__ import annotations

from access.console.alerts import AlertAdmin, AlertRuleAdmin
from access.console.chat_site import ChatSiteAdmin
from access.console.data_sources import DataSourceAdmin
from access.console.erasures import ErasureAdmin
from access.console.extensions import PluginActivationAdmin
from access.console.intents import IntentAdmin, IntentSettingsAdmin
from access.console.invitations import InvitationAdmin
from access.console.journal import JournalAdmin
from access.console.keys import ApiKeyAdmin
from access.console.limits import AllowanceAdmin
from access.console.models import ModelInstanceAdmin
from access.console.people import IpRuleAdmin, JobAdmin, MemberAdmin, TenantAdmin, UserAdmin
from access.console.personal import PersonalDataAdmin
from access.console.replay import RoutingScreens
from access.console.site import PlatformSite
from access.console.support import SupportVisitAdmin
from access.console.webhooks import HeldEventAdmin, SinkStateAdmin, WebhookAdmin
from access.console.word_choices import ExceptionsAdmin, SubscriptionAdmin
from access.console.words import WordListAdmin
from compliance.models import (
    AuditEntry,
    Erasure,
    PersonalData,
    SensitiveWordList,
    WordExceptions,
    WordListSubscription,
)
from plugins.models import DataSource, HeldEvent, Intent, IntentSettings, PluginActivation, SinkState, Webhook
from routing.models import ModelInstance, RoutingRule
from tenants.models import (
    Alert,
    AlertRule,
    Allowance,
    ApiKey,
    ChatSite,
    Invitation,
    IpRule,
    Job,
    Member,
    SupportVisit,
    Tenant,
    User,
)


def platform_site() -> PlatformSite:
    """The site for `/admin/`."""
    site = PlatformSite(name="admin")
    site.register(Tenant, TenantAdmin)
    site.register(User, UserAdmin)
    site.register(Member, MemberAdmin)
    site.register(Invitation, InvitationAdmin)
    site.register(SupportVisit, SupportVisitAdmin)
    site.register(ApiKey, ApiKeyAdmin)
    site.register(Allowance, AllowanceAdmin)
    site.register(IpRule, IpRuleAdmin)
    site.register(ChatSite, ChatSiteAdmin)
    site.register(Job, JobAdmin)
    site.register(Alert, AlertAdmin)
    site.register(AlertRule, AlertRuleAdmin)
    site.register(ModelInstance, ModelInstanceAdmin)
    site.register(RoutingRule, RoutingScreens)
    site.register(SensitiveWordList, WordListAdmin)
    site.register(WordListSubscription, SubscriptionAdmin)
    site.register(WordExceptions, ExceptionsAdmin)
    site.register(PersonalData, PersonalDataAdmin)
    site.register(AuditEntry, JournalAdmin)
    site.register(Erasure, ErasureAdmin)
    site.register(PluginActivation, PluginActivationAdmin)
    site.register(Intent, IntentAdmin)
    site.register(IntentSettings, IntentSettingsAdmin)
    site.register(DataSource, DataSourceAdmin)
    site.register(Webhook, WebhookAdmin)
    site.register(SinkState, SinkStateAdmin)
    site.register(HeldEvent, HeldEventAdmin)
    return site
