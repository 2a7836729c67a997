"""A row of every kind in a tenant, for looking at the consoles: what an operator's hands run in a product.

product.operate(ROWS.format(tenant=product.access["tenant"]))
"""

from __future__ import annotations

from typing import Final

ROWS: Final = """
from datetime import timedelta
from compliance.models import PersonalData, SensitiveWordList, WordExceptions, WordListSubscription
from plugins.models import Intent, IntentSettings, HeldEvent, PluginActivation, SinkState, Webhook
from plugins.outbox.signing import save_webhook
from tenants import support
from tenants.models import Alert, AlertRule, Allowance, ChatSite, Invitation, IpRule
tenant = Tenant.objects.get(slug={tenant!r})
shared = SensitiveWordList.objects.create(tenant=None, name="Profanity", words="darn\\nheck", action="mask")
SensitiveWordList.objects.create(tenant=tenant, name="Code names", words="bluebird\\nredwood")
WordListSubscription.objects.create(tenant=tenant, list=shared)
WordExceptions.objects.create(tenant=tenant, words="badge")
PersonalData.objects.create(tenant=tenant, recognisers=["email"])
ChatSite.objects.create(tenant=tenant, name="Ask us", greeting="Hello", origins=["https://www.example.com"])
IpRule.objects.create(tenant=tenant, network="127.0.0.0/8", note="This machine")
PluginActivation.objects.create(tenant=tenant, plugin="canned_answers", settings=dict(
    answers=[dict(questions=["When are you open?"], answer="From nine to five.")]))
Intent.objects.create(tenant=tenant, name="opening_hours", utterances="When are you open?\\nAre you open on Sunday?")
IntentSettings.objects.create(tenant=tenant, outside="What is the capital of Mongolia?")
hook = Webhook(tenant=tenant, name="Help desk", url="https://www.example.com/events", enabled=False)
_ = save_webhook(webhook=hook)
SinkState.objects.create(tenant=tenant, sink=hook.sink, label="Help desk", delivered=1200)
HeldEvent.objects.create(tenant=tenant, sink=hook.sink, event="e1", type="clawdbot.turn.completed",
    subject="turns/e1", state="dead", attempts=31, first_at=1.7e9, last_error="the webhook answered 500")
rule = AlertRule.objects.create(tenant=tenant, kind="completion_rate")
Alert.objects.create(tenant=tenant, rule=rule, kind=rule.kind, state="firing", value=81.5, threshold=90,
    since=timezone.now().timestamp() - 900, fired_at=timezone.now().timestamp() - 600)
Allowance.objects.create(tenant=tenant, of="model", model="echo", requests_per_minute=60)
Invitation.objects.create(
    tenant=tenant, email="eve@example.com", digest="x", expires_at=timezone.now() + timedelta(days=7)
)
save_instance(instance=ModelInstance(tenant=tenant, name="assistant", endpoint="https://example.com/v1"), api_key="x")
RoutingRule.objects.create(tenant=tenant, name="Short", model="assistant", conditions=["max_tokens < 10"])
Member.objects.create(tenant=tenant, user=User.objects.create_user("bob"), role="developer")
"""
VISIT: Final = """
from tenants.models import SupportVisit
from datetime import timedelta
helper = User.objects.create_user("olga", is_superuser=True, is_staff=True)
SupportVisit.objects.create(
    tenant=Tenant.objects.get(slug={tenant!r}), operator=helper, reason="A rule that does not match (ticket 4711)",
    ends_at=timezone.now() + timedelta(hours=1),
)
"""
