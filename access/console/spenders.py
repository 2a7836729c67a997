"""Who costs what: the tenants that used most in a period and how well it went for them, and the shares that instances
of the same name had in its turns against those their weights ask for."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from access.console import usage_figures
from access.console.periods import Chosen, chosen
from access.console.scoped import everywhere
from access.console.usage_figures import money, rate
from access.usage_names import names_of
from compliance.journal.slots import NoSlot
from compliance.usage import reader
from compliance.usage.reader import Line, Sums, Whose
from routing.models import ModelInstance

EVERYBODY: Final = Whose(None)
MOST_TENANTS: Final = 20
MOST_INSTANCES: Final = 40
FAR: Final = 10.0  # percent points between two shares that are marked


def spenders(request: HttpRequest) -> dict[str, Any]:
    """As many queries whatever there is. `trouble`: the journal's database is away."""
    asked = chosen(request, ZoneInfo(settings.TIME_ZONE))
    told: dict[str, Any] = {"chosen": asked, "trouble": ""}
    try:
        shown = {"charts": usage_figures.drawings(EVERYBODY, asked), "tenants": _tenants(asked)}
        return {**told, **shown, "shares": _shares(asked)}
    except (DatabaseError, NoSlot):
        return {**told, "trouble": _("What was used cannot be read now: the journal's database is away.")}


def _tenants(asked: Chosen) -> dict[str, Any]:
    lines = reader.totals(EVERYBODY, asked.period, "tenant")
    whole = sum((line.sums.cost for line in lines), 0)
    shown = lines[:MOST_TENANTS]
    names = names_of("tenant", [line.what for line in shown], None)
    headers = [_("Tenant"), _("Requests"), _("Tokens"), _("Cost"), _("Share"), _("Errors"), _("Completion rate")]
    return {
        "title": _("Tenants that used most"),
        "headers": headers,
        "rows": [_tenant(line, names, whole) for line in shown],
    }


def _tenant(line: Line, names: dict[str | int, str], whole: int) -> list[Any]:
    sums = line.sums
    counted = sums.completed + sums.errors
    share = f" ({number_format(100 * sums.errors / counted, 1)} %)" if counted else ""
    return [
        _owner(line.what, names),
        number_format(sums.turns),
        number_format(sums.tokens),
        money(sums.cost),
        f"{number_format(100 * sums.cost / whole, 1)} %" if whole else "—",
        f"{number_format(sums.errors)}{share}",
        rate(sums),
    ]


def _owner(tenant_id: str | int, names: dict[str | int, str]) -> str | SafeString:
    if tenant_id == 0:
        return _("Platform")
    if tenant_id not in names:
        return _("gone (%(number)s)") % {"number": tenant_id}
    page = reverse("admin:tenants_tenant_change", args=[tenant_id])
    return format_html('<a href="{}">{}</a>', page, names[tenant_id])


class _Shared(NamedTuple):
    """An instance, what it answered in all and how much of its pool's; `expected` is what its weight asks for."""

    pk: int
    name: str
    sums: Sums
    actual: float
    expected: float


def _shares(asked: Chosen) -> dict[str, Any]:
    found = {int(line.what): line.sums for line in reader.totals(EVERYBODY, asked.period, "instance") if line.what}
    rows = (
        everywhere(ModelInstance).filter(pk__in=[pk for pk, _sums in _busiest(found)]).values_list("name", "tenant_id")
    )
    pools = {(name, tenant_id) for name, tenant_id in rows}
    members = everywhere(ModelInstance).filter(name__in={name for name, _tenant_id in pools}, enabled=True)
    by_pool: defaultdict[tuple[str, int | None], list[tuple[int, str, int]]] = defaultdict(list)
    for pk, name, label, tenant_id, weight in members.values_list("pk", "name", "label", "tenant_id", "weight"):
        if (name, tenant_id) in pools:
            by_pool[name, tenant_id].append((pk, f"{name} ({label})" if label else name, weight))
    shared = [each for pool in by_pool.values() for each in _pool(pool, found)]
    shared.sort(key=lambda each: (-each.sums.turns, each.name, each.pk))
    headers = [_("Instance"), _("Requests"), _("Share expected"), _("Share"), _("Errors"), _("Completion rate")]
    return {
        "title": _("Shares of instances of the same name, by their weights and in fact"),
        "headers": headers,
        "rows": [_share(each) for each in shared[:MOST_INSTANCES]],
    }


def _busiest(found: dict[int, Sums]) -> list[tuple[int, Sums]]:
    return sorted(found.items(), key=lambda each: -each[1].turns)[:MOST_INSTANCES]


def _pool(pool: list[tuple[int, str, int]], found: dict[int, Sums]) -> list[_Shared]:
    turns = sum(found.get(pk, Sums()).turns for pk, _name, _weight in pool)
    weights = sum(weight for _pk, _name, weight in pool)
    return [
        _Shared(
            pk,
            name,
            sums := found.get(pk, Sums()),
            100 * sums.turns / turns if turns else 0.0,
            100 * weight / weights if weights else 0.0,
        )
        for pk, name, weight in pool
    ]


def _share(each: _Shared) -> list[Any]:
    actual = f"{number_format(each.actual, 1)} %"
    far = abs(each.actual - each.expected) > FAR
    return [
        format_html('<a href="{}">{}</a>', reverse("admin:routing_modelinstance_change", args=[each.pk]), each.name),
        number_format(each.sums.turns),
        f"{number_format(each.expected, 1)} %",
        format_html("<strong>{}</strong>", actual) if far else actual,
        number_format(each.sums.errors),
        rate(each.sums),
    ]
