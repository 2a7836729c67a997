"""A tenant's recognisers as rows: reading and changing them, and their compilation into what the request path reads."""

from __future__ import annotations

from functools import lru_cache

from django.db import transaction

from compliance.models.personal import PersonalData
from compliance.personal.privacy import PersonalTable
from compliance.personal.scanning import Scanner


def recognisers_of(tenant_id: int) -> list[str]:
    row = PersonalData.objects.for_tenant(tenant_id).first()
    return list(row.recognisers) if row is not None else []


def switch(*, tenant_id: int, recognisers: list[str]) -> list[str]:
    """Exactly these are on. Raises ValidationError and then changes nothing; what was so before is no change."""
    with transaction.atomic():
        row = PersonalData.objects.for_tenant(tenant_id).select_for_update().first()
        changed = row or PersonalData(tenant_id=tenant_id)
        before = list(changed.recognisers)
        changed.recognisers = recognisers
        changed.full_clean()
        if row is None or changed.recognisers != before:
            changed.save()
    return list(changed.recognisers)


def compile_personal() -> PersonalTable:
    """Every tenant that has switched something on; one query. Tenants with the same recognisers share a scanner."""
    rows = PersonalData.objects.everywhere().order_by("tenant_id").values_list("tenant_id", "recognisers")
    return PersonalTable({tenant_id: _scanner(frozenset(names)) for tenant_id, names in rows if names})


@lru_cache(maxsize=256)
def _scanner(names: frozenset[str]) -> Scanner:
    return Scanner(names)
