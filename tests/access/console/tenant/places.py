"""The screens of a tenant's console as its registry has them, and a row for each."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from django.contrib.admin.sites import AdminSite
from django.urls import resolve
from django.utils import timezone

from access.console.tenant.scoped import OnlyRow, TenantAdmin
from routing.models import ModelInstance, RoutingRule
from tenants.models import Allowance, Invitation, IpRule, Tenant
from tests.access.console import screens as rows


def site() -> AdminSite:
    """The one that is served: every other instance would be a copy."""
    return resolve("/console/").func.admin_site  # type: ignore[no-any-return]


def screens() -> dict[str, TenantAdmin]:
    """By `app/model`: what is registered is what is tested."""
    return {
        f"{model._meta.app_label}/{model._meta.model_name}": screen
        for model, screen in site()._registry.items()
        if isinstance(screen, TenantAdmin)
    }


def listed() -> dict[str, TenantAdmin]:
    return {name: screen for name, screen in screens().items() if not isinstance(screen, OnlyRow)}


def fill(tenant: Tenant, cast: SimpleNamespace, number: int = 0) -> dict[str, Any]:
    """A row of every kind that has more than one a tenant, their texts full of markup."""
    naughty = rows.NAUGHTY
    expires = timezone.now() + timedelta(days=7)
    person = cast.alice if tenant.pk == cast.acme.pk else cast.charlie
    return {
        "tenants/invitation": Invitation.objects.create(
            tenant=tenant, email=f"a{number}@{tenant.slug}.example", digest=f"{tenant.pk}-{number}", expires_at=expires
        ),
        "tenants/allowance": Allowance.objects.create(
            tenant=tenant, of="model", model=f"{naughty[:60]}{number}", requests_per_minute=1
        ),
        "tenants/iprule": IpRule.objects.create(tenant=tenant, network=f"10.0.{number}.0/24", note=naughty),
        "routing/modelinstance": ModelInstance.objects.create(
            tenant=tenant, name="gpt", label=f"{naughty[:60]}{number}", endpoint="https://api.example.com/v1"
        ),
        "routing/routingrule": RoutingRule.objects.create(tenant=tenant, name=naughty, model="gpt"),
        "compliance/sensitivewordlist": rows.word_list(tenant, name=f"{naughty}{number}"[:100]),
        "plugins/intent": rows.intent(tenant, number),
        "tenants/apikey": person_key(cast, person),
        "tenants/member": person,
        **rows.outbox(tenant, number),
        **(rows.alerts(tenant) if not number else {}),
    }


def person_key(cast: SimpleNamespace, person: Any) -> Any:
    return cast.alice_key if person is cast.alice else cast.charlie_key


def fill_once(tenant: Tenant) -> dict[str, Any]:
    """The rows there is one of."""
    rows.word_choices(tenant, rows.word_list(None, name=f"shared {tenant.pk}"))
    return {
        "tenants/chatsite": rows.chat_site(tenant),
        "compliance/personaldata": rows.personal_data(tenant),
        "plugins/intentsettings": rows.intent_settings(tenant),
        "tenants/tenant": tenant,
    }
