"""What people call the keys, members, instances and tenants that usage is counted by."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q

from compliance.usage.reader import By
from routing.models import ModelInstance
from tenants.models import ApiKey, Member, Tenant


def names_of(by: By, numbers: Sequence[str | int], tenant_id: int | None) -> dict[str | int, str]:
    """By number, one query; those that are gone are not there, nor another tenant's. Models are their own names."""
    asked = [number for number in numbers if isinstance(number, int) and number]
    if by == "model":
        return {name: str(name) for name in numbers}
    if not asked:
        return {}
    if by == "key":
        keys = ApiKey.objects.for_tenant(tenant_id) if tenant_id is not None else ApiKey.objects.everywhere()
        return dict(keys.filter(pk__in=asked).values_list("pk", "name"))
    if by == "member":
        members = Member.objects.for_tenant(tenant_id) if tenant_id is not None else Member.objects.everywhere()
        return dict(members.filter(pk__in=asked).values_list("pk", "user__username"))
    if by == "tenant":
        return dict(Tenant.objects.filter(pk__in=asked).values_list("pk", "name"))
    return _instances(asked, tenant_id)


def _instances(asked: Sequence[int], tenant_id: int | None) -> dict[str | int, str]:
    """Of a tenant's own instances also the label; what the platform calls its own is not for tenants."""
    rows = ModelInstance.objects.everywhere().filter(pk__in=asked)
    if tenant_id is not None:
        rows = rows.filter(Q(tenant_id=tenant_id) | Q(tenant_id=None))
    found = rows.values_list("pk", "name", "label", "tenant_id")
    return {
        pk: f"{name} ({label})" if label and (tenant_id is None or owner is not None) else name
        for pk, name, label, owner in found
    }
