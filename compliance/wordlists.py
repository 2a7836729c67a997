"""What can be done to sensitive-word lists, and their compilation into what the guard reads."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import cast

from django.db import transaction

from compliance.guard import GuardTable, TenantWords
from compliance.models.words import SensitiveWordList, clean_words
from compliance.normalising import DEFAULT_SWITCHES
from compliance.words import Action, Rule, WordMatcher
from tenants.models import Tenant


def csv_words(lines: Iterable[str]) -> list[str]:
    """The first column of a CSV file."""
    return [row[0] if row else "" for row in csv.reader(lines)]


def replace_words(
    *,
    tenant: Tenant,
    name: str,
    words: Iterable[str],
    action: str | None = None,
    direction: str | None = None,
    enabled: bool | None = None,
) -> SensitiveWordList:
    """The tenant's list of that name with exactly these words; made if there is none. What is not given stays as it is
    (a new list blocks, both ways, at once). Raises ValidationError and then changes nothing."""
    lines = "\n".join(clean_words(words))
    with transaction.atomic():
        found = SensitiveWordList.objects.for_tenant(tenant.pk).select_for_update().filter(name=name).first()
        changed = found or SensitiveWordList(tenant=tenant, name=name)
        changed.words = lines
        changed.action = action or changed.action
        changed.direction = direction or changed.direction
        changed.enabled = changed.enabled if enabled is None else enabled
        changed.full_clean()
        changed.save()
    return changed


def compile_guard(previous: GuardTable | None = None) -> GuardTable:
    """Every tenant's enabled lists, compiled. Tenants whose lists are those of `previous` are taken over as they are.

    About half a second and 50 MiB for 60,000 words, so it belongs in a thread of its own."""
    known = previous.tenants if previous is not None else {}
    rows = SensitiveWordList.objects.everywhere().filter(enabled=True, size__gt=0).order_by("tenant_id", "id")
    tenants: dict[int, TenantWords] = {}
    for tenant_id, group in groupby(rows.values_list("tenant_id", "id", "version"), key=itemgetter(0)):
        lists = tuple((pk, version) for _, pk, version in group)
        before = known.get(tenant_id)
        tenants[tenant_id] = before if before is not None and before.lists == lists else _compile_tenant(tenant_id)
    return GuardTable(tenants=tenants)


def _compile_tenant(tenant_id: int) -> TenantWords:
    rows = SensitiveWordList.objects.for_tenant(tenant_id).filter(enabled=True, size__gt=0).order_by("id")
    lists = [
        (row, (Rule(row.name, row.version, cast(Action, row.action)), row.words.splitlines(), DEFAULT_SWITCHES))
        for row in rows
    ]
    ways = [[each for row, each in lists if row.direction in ("both", way)] for way in ("input", "output")]
    matchers = [WordMatcher(way) if way else None for way in ways]
    if ways[0] == ways[1]:
        matchers[1] = matchers[0]
    return TenantWords(lists=tuple((row.pk, row.version) for row, _ in lists), input=matchers[0], output=matchers[1])
