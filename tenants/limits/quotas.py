"""The limits of one subject as the request path reads them, and the table of all that are rows of their own."""

from __future__ import annotations

import time
from collections import defaultdict
from decimal import Decimal
from typing import Final

import msgspec

from engine.pricing import micros
from tenants.models import Allowance, AtLimit

BATCH: Final = 2000  # rows between two moments in which other threads may run


class Quota(msgspec.Struct, frozen=True):
    """None is no limit. `requests` and `tokens` are a minute, `turns` at the same time; `day` and `month` are money in
    millionths. `cheaper`: at a budget's end a cheaper model answers; None: as the tenant says."""

    requests: int | None = None
    tokens: int | None = None
    turns: int | None = None
    day: int | None = None
    month: int | None = None
    cheaper: bool | None = None

    @property
    def spends(self) -> bool:
        """Whether it limits money."""
        return self.day is not None or self.month is not None


class AllowanceTable(msgspec.Struct, frozen=True):
    """Limits beside the tenants' own, by rows' ids and by a tenant's and a model's name. `spenders` are tenants of whom
    some part has a budget; `shared` are models for everybody, `platform` all turns together."""

    keys: dict[int, Quota] = {}
    members: dict[int, Quota] = {}
    models: dict[tuple[int, str], Quota] = {}
    spenders: frozenset[int] = frozenset()
    platform: Quota | None = None
    shared: dict[str, Quota] = {}


FIELDS: Final = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_turns",
    "money_per_day",
    "money_per_month",
    "at_limit",
)


def compile_allowances() -> AllowanceTable:
    """Reads the table from the database, one query. Equal limits are one object. Blocking, and for many rows long: for
    a thread, never for the event loop."""
    found: defaultdict[str, dict[object, Quota]] = defaultdict(dict)
    spenders: set[int] = set()
    known: dict[tuple[object, ...], Quota] = {}
    rows = (
        Allowance.objects.everywhere()
        .order_by()
        .values_list("of", "tenant_id", "member_id", "key_id", "model", *FIELDS)
    )
    for number, (of, tenant, member, key, model, *limits) in enumerate(rows.iterator(BATCH)):
        if number % BATCH == 0:
            time.sleep(0)
        place = (*limits,)
        quota = known.get(place)
        if quota is None:
            quota = known[place] = _quota(place)
        if tenant is not None and quota.spends:
            spenders.add(tenant)
        subjects: dict[str, object] = {"key": key, "member": member, "model": (tenant, model)}
        if of == "model" and tenant is None:
            found["shared"][model] = quota
        else:
            found[of][subjects.get(of)] = quota
    return AllowanceTable(
        keys=found["key"],  # type: ignore[arg-type]
        members=found["member"],  # type: ignore[arg-type]
        models=found["model"],  # type: ignore[arg-type]
        spenders=frozenset(spenders),
        platform=found["platform"].get(None),
        shared=found["shared"],  # type: ignore[arg-type]
    )


def _quota(columns: tuple[int | None, int | None, int | None, Decimal | None, Decimal | None, str]) -> Quota:
    """Of the columns that tenants and allowances share."""
    requests, tokens, turns, day, month, at_limit = columns
    return Quota(requests, tokens, turns, micros(day), micros(month), at_limit == AtLimit.CHEAPER if at_limit else None)
