"""How well it goes, as both consoles show it: an objective and what of its budget is left, completion, times, errors,
tokens and cost, hits of word lists. Of the journal's own sums, not of Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from access.console import charts, insights, usage_figures
from access.console.charts import Part
from access.console.insights import AWAY, percent
from access.console.periods import Chosen, chosen
from access.console.recorded_turn import duration
from access.console.usage_figures import BLUE, GREEN, RED, VIOLET
from compliance.analysis import reader as analysis
from compliance.usage import calendar, objectives, times
from compliance.usage.objectives import Standing
from compliance.usage.reader import Latency, Whose
from tenants.models import ServiceObjective

MOST: Final = 12


class ObjectiveForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = ServiceObjective
        fields = ["completion"]
        labels = {"completion": gettext_lazy("So many percent of the turns are to complete")}
        widgets = {"completion": UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"})}


def platform(request: HttpRequest) -> dict[str, Any]:
    """For the template `console/health.html`: all tenants together."""
    return page(request, None, ZoneInfo(settings.TIME_ZONE), may_change=True)


def page(request: HttpRequest, tenant_id: int | None, zone: ZoneInfo, *, may_change: bool) -> dict[str, Any]:
    """For the template `console/health.html`; as many queries whatever there is."""
    asked, row = chosen(request, zone), objective_of(tenant_id)
    form = ObjectiveForm(instance=row) if may_change else None
    told: dict[str, Any] = {"title": _("Health"), "chosen": asked, "trouble": "", "form": form}
    try:
        standing = objectives.standing(tenant_id, row.completion / 100, time.time())
        return {**told, "slo": shown(standing), **figures(tenant_id, asked)}
    except AWAY:
        return {**told, "trouble": _("What was counted cannot be read now: the journal's database is away.")}


def objective_of(tenant_id: int | None) -> ServiceObjective:
    """Unsaved where nobody has set one."""
    row = ServiceObjective.objects.everywhere().filter(tenant_id=tenant_id).first()
    return row or ServiceObjective(tenant_id=tenant_id)


def change(request: HttpRequest, tenant_id: int | None, back: str, refused: Callable[[Any], HttpResponse]) -> Any:
    """Saves what was posted; `refused` makes the page where it is not to be."""
    form = ObjectiveForm(request.POST, instance=objective_of(tenant_id))
    if not form.is_valid():
        return refused(form)
    form.save()
    return redirect(back)


def shown(standing: Standing) -> dict[str, Any]:
    """The line at the top: what is to be reached, what is left, how fast it goes."""
    left = standing.left
    objective = f"{number_format(round(100 * standing.objective, 3), 3).rstrip('0').rstrip('.,')} %"
    return {
        "objective": objective,
        "left": "—" if left is None else f"{number_format(round(100 * left, 1), 1)} %",
        "bad": left is not None and left < 0,
        "note": _("%(failed)s of %(counted)s turns failed in the last %(days)s days")
        % {
            "failed": number_format(standing.failed),
            "counted": number_format(standing.counted),
            "days": objectives.DAYS,
        },
        "burns": [
            (
                _("%(hours)s h") % {"hours": burn.hours},
                "—" if burn.rate is None else f"{number_format(round(burn.rate, 1), 1)} ×",
            )
            for burn in standing.burns
        ],
    }


def figures(tenant_id: int | None, asked: Chosen) -> dict[str, Any]:
    """Cards, charts and tables. Raises one of AWAY."""
    whose = Whose(tenant_id)
    points = times.series(tenant_id, asked.period, asked.step, asked.zone)
    labels, found = [asked.label(start) for start, _latency in points], [latency for _start, latency in points]
    head = _("Day") if asked.step == "day" else _("Hour")
    return {
        "cards": usage_figures.cards(whose, asked),
        "charts": [
            _completion(whose, asked, head),
            _times(_("Until the answer is whole"), labels, found, "duration", head),
            _times(_("Until the first token"), labels, found, "first_token", head),
            *usage_figures.drawings(whose, asked),
        ],
        "tables": [_errors(tenant_id, asked), _filters(tenant_id, asked)],
    }


def _completion(whose: Whose, asked: Chosen, head: str) -> dict[str, Any]:
    """Of the sums of usage, which are there at once; those of the analysis come a minute later."""
    points = calendar.series(whose, asked.period, asked.step, asked.zone)
    rates = [point.sums.completion_rate for point in points]
    values = [None if rate is None else round(100 * rate, 1) for rate in rates]
    part = Part(_("Percent"), GREEN, values, [percent(rate) for rate in rates])
    return charts.lines(_("Completion rate"), [asked.label(point.start) for point in points], [part], head)


def _times(title: str, labels: list[str], found: Sequence[Latency], of: str, head: str) -> dict[str, Any]:
    parts = [
        _part(name, colour, [getattr(getattr(each, of), quantile) for each in found])
        for name, colour, quantile in (("p50", BLUE, "p50"), ("p95", VIOLET, "p95"), ("p99", RED, "p99"))
    ]
    return charts.lines(title, labels, parts, head)


def _part(name: str, colour: str, values: Sequence[float | None]) -> Part:
    shown_ = ["—" if value is None else duration(value) for value in values]
    return Part(name, colour, [None if value is None else round(value, 3) for value in values], shown_)


def _errors(tenant_id: int | None, asked: Chosen) -> dict[str, Any]:
    found = analysis.named(tenant_id, "error", asked.period)[:MOST]
    rows = [[each.name or "—", number_format(each.states.turns), percent(_share(each, found))] for each in found]
    return {"title": _("Errors"), "headers": [_("Error"), _("Turns"), _("Share")], "rows": rows}


def _share(one: analysis.Named, found: Sequence[analysis.Named]) -> float | None:
    total = sum(each.states.turns for each in found)
    return one.states.turns / total if total else None


def _filters(tenant_id: int | None, asked: Chosen) -> dict[str, Any]:
    return insights.found(tenant_id, asked, "filter", _("Hits of word lists"), [_("List"), _("What was done")])
