"""The screens of the platform console, and rows to put on them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connections
from django.utils import timezone

from compliance.journal.records import COLUMNS, completion_row, intent_row, partial_row
from compliance.models import PersonalData, SensitiveWordList, WordExceptions, WordListSubscription
from engine import entries
from engine.entries import Completion, Partial
from engine.turn import new_turn_id
from engine.types import Choice, Delta, Message, Usage, Verdict
from plugins.databases.services import save_source
from plugins.models import DataSource, DeliveryAttempt, HeldEvent, IntentSettings, PluginActivation, SinkState, Webhook
from plugins.models import Intent as UserIntent
from plugins.outbox.signing import save_webhook
from tenants.models import Alert, AlertRule, ChatSite, Invitation, SupportVisit, Tenant, User

NAUGHTY = "<script>alert(1)</script>\"><img src=x onerror='alert(2)'>{{7*7}}"

EDITABLE = [
    "tenants/tenant",
    "tenants/user",
    "tenants/member",
    "tenants/apikey",
    "tenants/allowance",
    "tenants/iprule",
    "tenants/chatsite",
    "routing/modelinstance",
    "routing/routingrule",
    "compliance/sensitivewordlist",
    "compliance/wordlistsubscription",
    "compliance/wordexceptions",
    "compliance/personaldata",
    "plugins/pluginactivation",
    "plugins/intent",
    "plugins/intentsettings",
    "plugins/datasource",
    "plugins/webhook",
    "tenants/alertrule",
]
READ_ONLY = [
    "tenants/job",
    "tenants/invitation",
    "compliance/auditentry",
    "plugins/sinkstate",
    "plugins/heldevent",
    "tenants/alert",
]
SCREENS = [*EDITABLE, *READ_ONLY, "compliance/erasure", "tenants/supportvisit"]  # the last two are only added to


def word_list(tenant: Tenant | None, words: str = "one\ntwo", **fields: Any) -> SensitiveWordList:
    return SensitiveWordList.objects.create(**{"tenant": tenant, "name": NAUGHTY, "words": words, **fields})


def word_choices(tenant: Tenant, shared: SensitiveWordList) -> None:
    WordListSubscription.objects.create(tenant=tenant, list=shared, updated_by=NAUGHTY)
    WordExceptions.objects.create(tenant=tenant, words=NAUGHTY)


def personal_data(tenant: Tenant) -> PersonalData:
    return PersonalData.objects.create(tenant=tenant, recognisers=["phone"])


def chat_site(tenant: Tenant) -> ChatSite:
    return ChatSite.objects.create(tenant=tenant, name=NAUGHTY[:100], greeting=NAUGHTY, visitor_models=[NAUGHTY])


def invitation(tenant: Tenant) -> Invitation:
    week = timezone.now() + timedelta(days=7)
    return Invitation.objects.create(tenant=tenant, email="ann@example.com", digest=f"{tenant.pk:064}", expires_at=week)


def visit(tenant: Tenant, operator: User) -> SupportVisit:
    hour = timezone.now() + timedelta(hours=1)
    return SupportVisit.objects.create(tenant=tenant, operator=operator, reason=NAUGHTY, ends_at=hour)


def activation(tenant: Tenant) -> PluginActivation:
    answers = [{"questions": [NAUGHTY], "answer": NAUGHTY}]
    return PluginActivation.objects.create(tenant=tenant, plugin="canned_answers", settings={"answers": answers})


def data_source(tenant: Tenant, number: int = 0) -> DataSource:
    row = DataSource(tenant=tenant, name=f"shop{number}", description=NAUGHTY)
    return save_source(source=row, url="postgresql://reader:password@db.example.com/shop")


def intent(tenant: Tenant, number: int = 0) -> UserIntent:
    return UserIntent.objects.create(tenant=tenant, name=f"refund{number}", description=NAUGHTY, utterances=NAUGHTY)


def intent_settings(tenant: Tenant) -> IntentSettings:
    return IntentSettings.objects.create(tenant=tenant, threshold=0.5, outside=NAUGHTY)


def record(
    tenant_id: int,
    *,
    state: str | None = "completed",
    at: float = 1_700_000_000.0,
    end: Any = None,
    sent: tuple[str, ...] = (),
    **fields: Any,
) -> str:
    """A turn in the journal; without a state it is in flight. `fields` are the intent's, `end` is a dictionary of the
    completion's, `sent` its partial outputs. Returns its id."""
    turn_id = new_turn_id(at)
    decision = {
        "model": "gpt",
        "instance": "gpt",
        "rules": [NAUGHTY],
        "candidates": [
            {"id": 1, "instance": "gpt", "weight": 3, "score": 5, "removed": None},
            {"id": 2, "instance": NAUGHTY, "weight": 1, "score": None, "removed": "breaker_open"},
        ],
        "features": {"language": NAUGHTY, "prompt_tokens": 12},
        "runner_up": None,
    }
    intent = entries.Intent(
        **{
            "turn_id": turn_id, "tenant_id": tenant_id, "at": at, "edge": "rest", "request_id": "r", "subject": "key:1",
            "user": NAUGHTY, "model": "auto", "instance": "gpt", "decision": decision, "session_id": "s1",
            "messages": [Message("user", NAUGHTY), Message("user", [{"type": "text", "text": NAUGHTY}])],
            "verdicts": [Verdict(NAUGHTY, 1, NAUGHTY, "record", "input")],
            **fields,
        }
    )  # fmt: skip
    written = [intent_row(intent, "w1")]
    for number, text in enumerate(sent, 1):
        delta = Delta(content=text)
        partial = Partial(turn_id=turn_id, tenant_id=tenant_id, at=at, number=number, user=NAUGHTY, deltas=[delta])
        written.append(partial_row(partial, "w1"))
    if state is not None:
        choices = [Choice(Message("assistant", NAUGHTY), "stop")] if state == "completed" else []
        completion = Completion(
            **{
                "turn_id": turn_id, "tenant_id": tenant_id, "at": at + 2, "state": state, "model": "gpt",
                "instance": "gpt", "choices": choices, "usage": Usage(7, 9), "ttft": 0.25, "duration": 2.0,
                "error": "" if choices else "upstream_error",
                **(end or {}),
            }
        )  # fmt: skip
        written.append(completion_row(completion, "w1"))
    places = ", ".join(["%s"] * len(COLUMNS))
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    with connections["journal"].cursor() as cursor:
        cursor.executemany(f"INSERT INTO compliance_auditentry ({names}) VALUES ({places})", written)
    return turn_id


def alerts(tenant: Tenant | None) -> dict[str, Any]:
    """A rule, and what it found."""
    rule = AlertRule.objects.create(tenant=tenant, kind="completion_rate", url="https://hooks.example.com/alerts")
    found = {"kind": rule.kind, "subject": NAUGHTY, "since": 1.0, "fired_at": 2.0, "state": "firing", "value": 75.0}
    alert = Alert.objects.create(tenant=tenant, rule=rule, last_error=NAUGHTY, **found)
    return {"tenants/alertrule": rule, "tenants/alert": alert}


def outbox(tenant: Tenant, number: int = 0) -> dict[str, Any]:
    """A webhook, where it is, an event it refused and what it said."""
    naughty = NAUGHTY[:80]
    hook = Webhook(tenant=tenant, name=f"{naughty}{number}", url="https://hooks.example.com/", disabled_reason=naughty)
    save_webhook(webhook=hook)
    DeliveryAttempt.objects.create(tenant=tenant, sink=hook.sink, event=naughty, type=naughty, at=1.0, error=naughty)
    return {
        "plugins/webhook": hook,
        "plugins/sinkstate": SinkState.objects.create(
            tenant=tenant, sink=hook.sink, label=naughty, last_error=naughty, failing_since=1.0, lag=1
        ),
        "plugins/heldevent": HeldEvent.objects.create(
            tenant=tenant,
            sink=hook.sink,
            event=naughty,
            type=naughty,
            subject=naughty,
            first_at=1.0,
            last_error=naughty,
        ),
    }
