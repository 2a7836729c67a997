"""A tenant's console put together: every screen at its model."""

from __future__ import annotations

from typing import Final

from access.console.tenant.addresses import OwnAddresses
from access.console.tenant.chat_site import OwnChatSite
from access.console.tenant.data_sources import OwnDataSources
from access.console.tenant.intents import OwnIntents, OwnIntentSettings
from access.console.tenant.keys import OwnKeys
from access.console.tenant.limits import OwnLimits
from access.console.tenant.members import Invitations, OwnMembers
from access.console.tenant.models import OwnModels
from access.console.tenant.offboarding import offboarding
from access.console.tenant.record_pages import RECORD_PAGES, register_records
from access.console.tenant.rules import OwnRules
from access.console.tenant.settings import OwnSettings
from access.console.tenant.site import Page, TenantSite
from access.console.tenant.webhooks import OwnHeldEvents, OwnSinks, OwnWebhooks
from access.console.tenant.words import OwnExceptions, OwnLists, OwnPersonalData, OwnSubscriptions
from compliance.models import PersonalData, SensitiveWordList, WordExceptions, WordListSubscription
from plugins.models import DataSource, HeldEvent, Intent, IntentSettings, SinkState, Webhook
from routing.models import ModelInstance, RoutingRule
from tenants.models import Allowance, ApiKey, ChatSite, Invitation, IpRule, Member, Tenant

OFFBOARDING: Final = Page("offboarding/", "offboarding", "tenant", offboarding)


def tenant_site() -> TenantSite:
    """The site for `/console/`."""
    site = TenantSite(name="console", pages=(*RECORD_PAGES, OFFBOARDING))
    site.register(ApiKey, OwnKeys)
    site.register(Member, OwnMembers)
    site.register(Invitation, Invitations)
    site.register(Allowance, OwnLimits)
    site.register(IpRule, OwnAddresses)
    site.register(ChatSite, OwnChatSite)
    site.register(Tenant, OwnSettings)
    site.register(ModelInstance, OwnModels)
    site.register(RoutingRule, OwnRules)
    site.register(DataSource, OwnDataSources)
    site.register(SensitiveWordList, OwnLists)
    site.register(WordListSubscription, OwnSubscriptions)
    site.register(WordExceptions, OwnExceptions)
    site.register(PersonalData, OwnPersonalData)
    site.register(Intent, OwnIntents)
    site.register(IntentSettings, OwnIntentSettings)
    site.register(Webhook, OwnWebhooks)
    site.register(SinkState, OwnSinks)
    site.register(HeldEvent, OwnHeldEvents)
    register_records(site)
    return site
