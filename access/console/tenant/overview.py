"""The first page of a tenant's console: what it used in a period of its choice, and who and what used most."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.dateformat import format as date_format
from django.utils.translation import gettext as _

from access.console import usage_figures
from access.console.periods import Chosen, chosen
from access.console.tenant.standing import standing
from compliance.journal.slots import NoSlot
from compliance.usage import reader
from compliance.usage.reader import Whose
from tenants.models import Tenant


def overview(request: HttpRequest, tenant: Tenant) -> dict[str, Any]:
    """For the template `tenant/index.html`; as many queries whatever there is."""
    asked = chosen(request, ZoneInfo(tenant.time_zone))
    told: dict[str, Any] = {"chosen": asked, "standing": standing(request, tenant), "trouble": ""}
    try:
        return {**told, **_figures(Whose(tenant.pk), asked)}
    except (DatabaseError, NoSlot):
        return {**told, "trouble": _("What was used cannot be read now: the journal's database is away.")}


def _figures(whose: Whose, asked: Chosen) -> dict[str, Any]:
    near = replace(asked, period=reader.reachable(whose, asked.period))
    cut = near.period.first > asked.period.first
    return {
        "cards": usage_figures.cards(whose, asked),
        "charts": usage_figures.drawings(whose, asked),
        "models": usage_figures.top(whose, asked, "model", _("Models"), _("Model")),
        "instances": usage_figures.top(whose, asked, "instance", _("Instances"), _("Instance")),
        "keys": usage_figures.top(whose, near, "key", _("API keys"), _("Key")),
        "members": usage_figures.top(whose, near, "member", _("Members"), _("Member")),
        "near": date_format(datetime.fromtimestamp(near.period.since, asked.zone), "Y-m-d H:i") if cut else "",
    }
