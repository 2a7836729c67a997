"""How a tenant's limits and budgets stand, for its overview and beside the limits themselves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.utils.dateformat import format as date_format
from django.utils.translation import gettext as _

from access.console.bridge import bridge_of
from engine.errors import EngineError
from tenants.limits.money import money
from tenants.limits.standing import Count, Money, Standing
from tenants.models import Allowance, Tenant

PATIENCE: Final = 3.0  # seconds
NEAR: Final = 0.8  # of a limit; then mails have gone out


def standing(request: HttpRequest, tenant: Tenant, parts: Iterable[Allowance] | None = None) -> dict[str, Any] | None:
    """For the template it names: of the tenant and of all its models that are limited, or of these `parts` of it. None
    where there are no limits, or nobody can say how they stand."""
    subjects = {(each.of, str(each.key_id or each.member_id or each.model)): str(each) for each in parts or ()}
    models = None if parts is None else [name for of, name in subjects if of == Allowance.Of.MODEL]
    keys, members = (
        [int(number) for of, number in subjects if of == kind] for kind in (Allowance.Of.KEY, Allowance.Of.MEMBER)
    )
    try:
        bridge = bridge_of(request)
        found = bridge.run(bridge.limits(tenant.pk, keys=keys, members=members, models=models), PATIENCE)
    except (EngineError, TimeoutError):
        return None
    zone = ZoneInfo(tenant.time_zone)
    rows = [row for each in found for row in _rows(each, _whose(each, subjects), zone)]
    return {"template": "tenant/standing.html", "rows": rows} if rows else None


def _whose(found: Standing, subjects: dict[tuple[str, str], str]) -> str:
    if found.of == "tenant":
        return _("The whole tenant")
    return subjects.get((found.of, found.name), found.name)


def _rows(found: Standing, whose: str, zone: ZoneInfo) -> list[dict[str, Any]]:
    counts = [
        (_("Requests a minute"), found.requests),
        (_("Tokens a minute"), found.tokens),
        (_("Turns at the same time"), found.turns),
    ]
    sums = [(_("Money a day"), found.day), (_("Money a month"), found.month)]
    return [
        *(_counted(whose, what, count) for what, count in counts if count is not None),
        *(_summed(whose, what, amount, zone) for what, amount in sums if amount is not None),
    ]


def _counted(whose: str, what: str, count: Count) -> dict[str, Any]:
    return {**_row(whose, what, count.used, count.limit), "used": count.used, "limit": count.limit, "resets": ""}


def _summed(whose: str, what: str, amount: Money, zone: ZoneInfo) -> dict[str, Any]:
    resets = date_format(datetime.fromtimestamp(amount.resets_at, zone), "Y-m-d H:i")
    limit = money(amount.limit)
    if amount.used is None:
        return {**_row(whose, what, 0, 1), "used": _("unknown"), "limit": limit, "resets": resets}
    used = amount.used + (amount.set_aside or 0)
    return {**_row(whose, what, used, amount.limit), "used": money(used), "limit": limit, "resets": resets}


def _row(whose: str, what: str, used: int, limit: int) -> dict[str, Any]:
    share = min(1.0, used / limit) if limit else 1.0
    return {"whose": whose, "what": what, "percent": round(100 * share), "near": share >= NEAR}
