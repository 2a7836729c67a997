"""What the two tenants have; runs with the settings of the instance. Texts of the first carry a word that nobody else
may ever be shown."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from importlib import import_module
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import make_password
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import models, router
from django.utils import timezone

from compliance.models import Erasure, InsightCount, PersonalData, WordExceptions
from compliance.wordlists import replace_words
from plugins.databases.services import save_source
from plugins.models import (
    DataSource,
    DeliveryAttempt,
    HeldEvent,
    Intent,
    IntentSettings,
    PluginActivation,
    SinkState,
    Webhook,
)
from routing.models import ModelGrant, ModelInstance, RoutingRule
from routing.services import save_instance
from tenants import jobs, services
from tenants.models import (
    Alert,
    AlertRule,
    Allowance,
    ApiKey,
    ChatSite,
    Invitation,
    IpRule,
    Member,
    ServiceObjective,
    SupportVisit,
    Tenant,
    User,
)
from tenants.scoping import ScopedQuerySet

MARK: Final = "canary7kq"  # in every text of the first tenant
SECRET: Final = "cedarwood31"  # noqa: S105  # in what its owner said, which is no business of the neighbours either
PASSWORD: Final = "of the self-test only"  # noqa: S105
EVERYTHING: Final = ("chat", "sessions", "audit", "manage")
ROLES: Final = ("owner", "admin", "developer", "auditor", "member")
# Counted and moved on by the platform itself while nobody does anything.
RESTLESS: Final = frozenset(
    {"compliance.changerecord", "compliance.wordhits", "tenants.job", "tenants.alert", "compliance.erasure",
                             "plugins.trainedintents"}
    | {f"compliance.insight{each}" for each in ("count", "timing", "questions", "openend", "place")}
)  # fmt: skip


def furnish() -> dict[str, Any]:
    """Makes it all. What the attackers need: secrets, cookies, ids."""
    owners = services.create_tenant(slug="owners", name=f"Owners {MARK}", summary_model=f"own-{MARK}")
    strangers = services.create_tenant(slug="strangers", name="Strangers", summary_model="strangers-own")
    operator = User.objects.create_superuser("selftest-operator", password=PASSWORD)
    keys: dict[str, str] = {}
    for name, tenant, scopes in (
        ("alice", owners, EVERYTHING),
        ("neighbour", owners, ("chat", "sessions")),
        ("revoked", owners, EVERYTHING),
        ("stranger", strangers, EVERYTHING),
    ):
        text = f"{name} {MARK}" if tenant is owners else name
        keys[name] = services.create_api_key(tenant=tenant, name=text, scopes=scopes)[1]
    cookies: dict[str, str] = {"operator": _session(operator)}
    hashed = make_password(PASSWORD)  # once: it is made to cost half a second
    for tenant in (owners, strangers):
        for role in ROLES:
            name = f"{tenant.slug}-{role}"
            user = User.objects.create(username=name, email=f"{name}@example.com", password=hashed)
            services.add_member(tenant=tenant, user=user, role=role)
            cookies[name] = _session(user)
    _rows(strangers, "strangers", "strangers-own", operator)
    ids = _rows(owners, MARK, f"own-{MARK}", operator)
    ids["alice"] = ApiKey.objects.for_tenant(owners.pk).get(name=f"alice {MARK}").pk
    return {
        "keys": keys,
        "cookies": cookies,
        "password": PASSWORD,
        "tenant": owners.pk,
        "ids": {name: str(value) for name, value in ids.items()},
        "rows": {model._meta.label_lower: str(_first(model, owners.pk)) for model in _scoped()},
    }


def revoke() -> None:
    """Later: until then it works, so that it is a key that was good."""
    services.revoke_api_key(key=ApiKey.objects.everywhere().get(name=f"revoked {MARK}"))


def fingerprint(tenant_id: int) -> str:
    """Of the tenant's whole configuration."""
    digest = hashlib.sha256()
    models_: list[type[models.Model]] = [Tenant, *_scoped()]
    for model in models_:
        if model._meta.label_lower in RESTLESS:
            continue
        column = "pk" if model is Tenant else "tenant_id"
        for row in _rows_of(model).filter(**{column: tenant_id}).order_by("pk").values_list():
            digest.update(repr((model._meta.label, row)).encode())
    return digest.hexdigest()


def _rows(tenant: Tenant, text: str, model: str, operator: User) -> dict[str, Any]:
    # who names no model gets this one: the slow one would keep them waiting
    own = save_instance(instance=ModelInstance(tenant=tenant, name=model, adapter="echo", label=text, weight=1000))
    vectors = ModelInstance(tenant=tenant, name=f"{model}-vectors", task="embeddings", adapter="echo")
    save_instance(instance=vectors)
    script = {"text": "word " * 2000, "chunk": 5, "delay": 0.5}
    slow = ModelInstance(tenant=tenant, name=f"{model}-slow", adapter="scripted", options=script, timeout=600)
    save_instance(instance=slow)
    rule = RoutingRule.objects.create(tenant=tenant, name=f"rule {text}", model=model, conditions=["user == 'nobody'"])
    words = replace_words(tenant=tenant, name=f"list {text}", words=[f"word {text}"])
    ModelGrant.objects.create(tenant=tenant, instance=own)
    PersonalData.objects.create(tenant=tenant, recognisers=[])
    WordExceptions.objects.create(tenant=tenant, words=f"exception {text}")
    site = ChatSite.objects.create(tenant=tenant, name=text, greeting=text, visitors="anyone")
    address = IpRule.objects.create(tenant=tenant, network="127.0.0.0/8", note=text)
    answers = {"answers": [{"questions": [f"question {text}"], "answer": text}]}
    plugin = PluginActivation.objects.create(tenant=tenant, plugin="canned_answers", settings=answers)
    intent = Intent.objects.create(tenant=tenant, name=f"intent_{text}", utterances=f"example {text}\nanother {text}")
    IntentSettings.objects.create(tenant=tenant, outside=f"outside {text}")
    source = DataSource(tenant=tenant, name=f"source-{text}", description=text)
    save_source(source=source, url=f"postgresql://{text}:{text}@127.0.0.1:1/{text}")
    webhook = Webhook.objects.create(tenant=tenant, name=text, url=f"https://{text}.example/", enabled=False)
    state = SinkState.objects.create(tenant=tenant, sink=webhook.sink, label=text)
    held = HeldEvent.objects.create(tenant=tenant, sink=webhook.sink, event=text, type=text, first_at=1.0, state="dead")
    DeliveryAttempt.objects.create(tenant=tenant, sink=webhook.sink, event=text, type=text, at=1.0)
    told = AlertRule.objects.create(tenant=tenant, kind="completion_rate", mail=False, enabled=False)
    alert = Alert.objects.create(tenant=tenant, kind=told.kind, subject=text, since=1.0, state="firing")
    ServiceObjective.objects.create(tenant=tenant, completion=95)
    member = Member.objects.for_tenant(tenant.pk).order_by("pk").last()
    allowance = Allowance.objects.create(tenant=tenant, of="model", model=f"{model}-limited", requests_per_minute=1000)
    later = timezone.now() + timedelta(hours=1)
    invitation = Invitation.objects.create(
        tenant=tenant, email=f"{text}@example.com", digest=hashlib.sha256(text.encode()).hexdigest(), expires_at=later
    )
    visit = SupportVisit.objects.create(tenant=tenant, operator=operator, reason=f"visit {text}", ends_at=later)
    erasure = Erasure.objects.create(tenant=tenant, subject="0" * 32, requested_by=text)
    hour = int(timezone.now().timestamp() // 3600)
    counted = InsightCount(tenant=tenant, hour=hour, what="intent", name=text, state="completed", count=1)
    InsightCount.objects.bulk_create([counted])
    job = jobs.queue_job(tenant_id=tenant.pk, kind="export", created_by=text)
    result = default_storage.save(f"jobs/selftest-{tenant.slug}.json", ContentFile(f'["{text}"]'.encode()))
    jobs.finish_job(job_id=job.pk, result_name=result)
    key = services.create_api_key(tenant=tenant, name=f"spare {text}")[0]
    assert member is not None
    return {
        "id": model, "vectors": f"{model}-vectors", "slow": slow.name,
        "rule_id": rule.pk, "list_id": words.pk, "job_id": job.pk,
        "model_id": own.pk, "instance_id": own.pk, "site_id": site.pk, "address_id": address.pk, "key_id": key.pk,
        "alert_id": alert.pk, "webhook_id": webhook.pk, "sinkstate_id": state.pk, "held_id": held.pk,
        "plugin_id": plugin.pk, "intent_id": intent.pk, "source_id": source.pk, "member_id": member.pk,
        "user_id": member.user_id, "allowance_id": allowance.pk, "invitation_id": invitation.pk, "visit_id": visit.pk,
        "erasure_id": erasure.pk, "tenant_id": tenant.pk,
    }  # fmt: skip


def _session(user: User) -> str:
    """The cookie of a web session of somebody who has signed in."""
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    return str(store.session_key)


def _scoped() -> list[type[models.Model]]:
    """Models with rows of tenants, in the database of the configuration."""
    found = [model for model in apps.get_models() if router.allow_migrate_model("default", model)]
    return [model for model in found if any(field.attname == "tenant_id" for field in model._meta.concrete_fields)]


def _rows_of(model: type[models.Model]) -> Any:
    rows = model._default_manager.all()
    return rows.everywhere() if isinstance(rows, ScopedQuerySet) else rows


def _first(model: type[models.Model], tenant_id: int) -> Any:
    return _rows_of(model).filter(tenant_id=tenant_id).order_by("pk").values_list("pk", flat=True).first() or 0
