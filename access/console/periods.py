"""The time an overview is about: the last hour, day, week or month, or days of one's own, by the clock of who looks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django import forms
from django.http import HttpRequest
from django.utils.dateformat import format as date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from compliance.usage.calendar import Step, midnight
from compliance.usage.reader import HOUR, Period

OWN: Final = "own"
USUAL: Final = "24h"
LENGTHS: Final = {"1h": HOUR, "24h": 24 * HOUR, "7d": 7 * 24 * HOUR, "30d": 30 * 24 * HOUR}
LONGEST: Final = 366  # days
LONGEST_BY_HOUR: Final = 8 * 24 * HOUR
CHOICES: Final = [
    ("1h", gettext_lazy("Last hour")),
    ("24h", gettext_lazy("Last 24 hours")),
    ("7d", gettext_lazy("Last 7 days")),
    ("30d", gettext_lazy("Last 30 days")),
    (OWN, gettext_lazy("Dates")),
]


class PeriodForm(forms.Form):
    period = forms.ChoiceField(
        label=gettext_lazy("Period"), choices=CHOICES, initial=USUAL, widget=UnfoldAdminSelectWidget
    )
    since = forms.DateField(
        label=gettext_lazy("From"), required=False, widget=UnfoldAdminTextInputWidget(attrs={"type": "date"})
    )
    until = forms.DateField(
        label=gettext_lazy("To"), required=False, widget=UnfoldAdminTextInputWidget(attrs={"type": "date"})
    )

    def clean(self) -> dict[str, Any]:
        told = super().clean() or self.cleaned_data
        since, until = told.get("since"), told.get("until")
        if told.get("period") != OWN or self.errors:
            return told
        for name, day in (("since", since), ("until", until)):
            if day is None:
                self.add_error(name, _("Say which day."))
            elif not 2000 <= day.year < 9999:
                self.add_error(name, _("Of the years 2000 to 9998."))
        if since and until and not self.errors:
            if until < since:
                self.add_error("until", _("This is before the first day."))
            elif (until - since).days >= LONGEST:
                self.add_error("until", _("At most %(days)s days can be shown.") % {"days": LONGEST})
        return told


@dataclass(frozen=True)
class Chosen:
    """`form` says what is wrong with what was asked for; then the period is the usual one. `zone` is the clock's."""

    form: PeriodForm
    period: Period
    step: Step
    zone: ZoneInfo

    @property
    def words(self) -> str:
        """The whole hours that are counted."""
        first, last = (_moment(hour * HOUR, self.zone) for hour in (self.period.first, self.period.end))
        return f"{first} – {last} ({self.zone.key})"

    def label(self, start: int) -> str:
        """Of a point of a series."""
        at = datetime.fromtimestamp(start, self.zone)
        if self.step == "day":
            return date_format(at, "Y-m-d")
        return date_format(at, "H:i" if self.period.until - self.period.since <= 25 * HOUR else "m-d H:i")


def chosen(request: HttpRequest, zone: ZoneInfo) -> Chosen:
    """What the address asks for; the last 24 hours where it asks for nothing, or for what cannot be."""
    now = time.time()
    form = PeriodForm({"period": USUAL, **request.GET.dict()})
    told: dict[str, Any] = form.cleaned_data if form.is_valid() else {"period": USUAL}
    if told["period"] == OWN:
        first = datetime(told["since"].year, told["since"].month, told["since"].day, tzinfo=zone).timestamp()
        last = datetime(told["until"].year, told["until"].month, told["until"].day, 12, tzinfo=zone).timestamp()
        period = Period(first, midnight(last, zone, 1).timestamp())
        return Chosen(form, period, "hour" if period.until - period.since <= LONGEST_BY_HOUR else "day", zone)
    length = LENGTHS[told["period"]]
    return Chosen(form, Period(now - length, now), "day" if told["period"] == "30d" else "hour", zone)


def _moment(at: float, zone: ZoneInfo) -> str:
    return date_format(datetime.fromtimestamp(at, zone), "Y-m-d H:i")
