"""What the journal says in sum, as both consoles show it, and how far its analysis is."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from access.console import charts
from access.console.charts import Part
from access.console.periods import Chosen, chosen
from access.console.recorded_turn import duration, moment
from access.console.usage_figures import AMBER, BLUE, GREEN, RED, money
from access.usage_names import names_of
from compliance.analysis import reader, series
from compliance.analysis.reader import Counted, Named, States
from compliance.journal.following import SourceAway
from compliance.journal.slots import NoSlot
from compliance.usage import reader as usage
from compliance.usage.reader import Whose
from engine.errors import StoreUnavailable

TOP: Final = 20
MOST_TENANTS: Final = 100
LATE: Final = 300.0  # seconds after which a schedule of every minute is worth a word
AWAY: Final = (DatabaseError, sqlite3.Error, NoSlot, SourceAway, StoreUnavailable)


def platform(request: HttpRequest) -> dict[str, Any]:
    """For the template `console/insights.html`: all tenants, and the analysis itself."""
    asked = chosen(request, ZoneInfo(settings.TIME_ZONE))
    told: dict[str, Any] = {"chosen": asked, "trouble": ""}
    try:
        figures = {**figures_of(None, asked), "tenants": _tenants(asked), "analysis": _analysis()}
        return {**told, **figures}
    except AWAY:
        return {**told, "trouble": _("What was counted cannot be read now: the journal's database is away.")}


def figures_of(tenant_id: int | None, asked: Chosen) -> dict[str, Any]:
    """Cards, charts and tables of a tenant, or of all. Raises one of AWAY."""
    return {
        "cards": _cards(tenant_id, asked),
        "charts": _charts(tenant_id, asked),
        "tables": [
            _named(tenant_id, asked, "language", _("Languages"), _("Language")),
            _named(tenant_id, asked, "intent", _("Intents"), _("Intent")),
            _slow(tenant_id, asked),
            _named(tenant_id, asked, "error", _("Errors"), _("Error")),
            found(tenant_id, asked, "filter", _("Hits of word lists"), [_("List"), _("What was done")]),
            found(tenant_id, asked, "personal", _("Personal data that was masked"), [_("Kind")]),
            found(tenant_id, asked, "retry", _("Calls that failed and were tried again"), [_("Instance"), _("Error")]),
            _named(tenant_id, asked, "fallback", _("Answered by another instance instead"), _("Instance")),
            _named(tenant_id, asked, "source", _("Answered without a call"), _("Source")),
            found(tenant_id, asked, "plugin", _("Hooks of plugins that were skipped"), [_("Plugin"), _("Reason")]),
        ],
    }


def questions(tenant_id: int, asked: Chosen) -> dict[str, Any]:
    """What conversations were begun with, and the words of lists that were found: for who may read conversations."""
    found = reader.top_questions(tenant_id, asked.period, most=TOP)
    note = ""
    if found.lost:
        note = _("So much was asked that each may have been asked %(lost)s times more.") % {
            "lost": number_format(found.lost)
        }
    rows = [[each.question, number_format(each.count), number_format(each.users)] for each in found.top]
    headers = [_("Question"), _("Asked at least"), _("By at least so many users")]
    words = reader.words(tenant_id, asked.period, most=TOP)
    return {
        "questions": {"title": _("What conversations are begun with"), "headers": headers, "rows": rows, "note": note},
        "words": {
            "title": _("Words that were found"),
            "headers": [_("Word"), _("List"), _("What was done"), _("Turns")],
            "rows": [[each.word, each.list, _done(each.detail), number_format(each.count)] for each in words],
        },
    }


def percent(rate: float | None) -> str:
    return "—" if rate is None else f"{number_format(100 * rate, 1)} %"


def _cards(tenant_id: int | None, asked: Chosen) -> list[dict[str, Any]]:
    states = reader.states(tenant_id, asked.period)
    sessions = reader.sessions(tenant_id, asked.period)
    cost = usage.total(Whose(tenant_id), asked.period).cost
    return [
        _card(_("Turns"), number_format(states.turns), _("%(count)s completed"), states.completed),
        _card(_("Completion rate"), percent(states.completion_rate), _("of completed, failed and aborted turns")),
        _card(_("Left before the answer was whole"), percent(states.abandonment_rate), _("%(count)s turns"),
              states.cancelled),
        _card(_("Sessions"), number_format(sessions.opened), _("opened")),
        _card(_("Abandoned sessions"), percent(sessions.abandonment_rate), _("%(count)s ended without an answer"),
              sessions.abandoned),
        _card(_("Cost"), money(cost), _("in the unit of the prices")),
    ]  # fmt: skip


def _card(title: str, number: str, note: str, count: int | None = None) -> dict[str, Any]:
    return {"title": title, "number": number, "note": note if count is None else note % {"count": number_format(count)}}


def _charts(tenant_id: int | None, asked: Chosen) -> list[dict[str, Any]]:
    points = series.points(tenant_id, asked.period, asked.step, asked.zone)
    labels = [asked.label(start) for start, _states in points]
    found = [states for _start, states in points]
    head = _("Day") if asked.step == "day" else _("Hour")
    parts = [
        _part(_("Completed"), GREEN, [each.completed for each in found]),
        _part(_("Refused"), AMBER, [each.refused for each in found]),
        _part(_("Cancelled"), BLUE, [each.cancelled for each in found]),
        _part(_("Failed or aborted"), RED, [each.failed + each.aborted for each in found]),
    ]
    return [
        charts.bars(_("Turns"), labels, parts, head),
        charts.bars(_("Completion rate"), labels, [_rates(found, "completion_rate", GREEN)], head),
        charts.bars(_("Left before the answer was whole"), labels, [_rates(found, "abandonment_rate", BLUE)], head),
    ]


def _part(name: str, colour: str, values: Sequence[int]) -> Part:
    return Part(name, colour, values, [number_format(value) for value in values])


def _rates(found: Sequence[States], name: str, colour: str) -> Part:
    rates = [getattr(each, name) for each in found]
    return Part(
        _("Percent"), colour, [round(100 * (rate or 0.0), 1) for rate in rates], [percent(rate) for rate in rates]
    )


def _named(tenant_id: int | None, asked: Chosen, what: str, title: str, head: str) -> dict[str, Any]:
    found: list[Named] = reader.named(tenant_id, what, asked.period)
    rows = [
        [
            each.name or (_("unknown") if what == "language" else _("none of these")),
            number_format(each.states.turns),
            percent(each.states.completion_rate),
            percent(each.states.abandonment_rate),
        ]
        for each in found[:TOP]
    ]
    headers = [head, _("Turns"), _("Completion rate"), _("Left before the answer was whole")]
    return {"title": title, "headers": headers, "rows": rows}


def found(tenant_id: int | None, asked: Chosen, what: str, title: str, heads: list[str]) -> dict[str, Any]:
    """A table of what was counted most. Raises one of AWAY."""
    lines: list[Counted] = reader.counted(tenant_id, what, asked.period, most=TOP)
    told = _done if what == "filter" else str
    rows = [[each.name, *([told(each.detail)] if len(heads) > 1 else []), number_format(each.count)] for each in lines]
    return {"title": title, "headers": [*heads, _("Turns")], "rows": rows}


def _done(detail: str) -> str:
    """`mask input` and the like."""
    action, _blank, where = detail.partition(" ")
    names = {
        "block": pgettext("turns", "blocked"),
        "mask": pgettext("turns", "masked"),
        "record": pgettext("turns", "recorded"),
    }
    places = {"input": _("in what was asked"), "output": _("in the answer")}
    return f"{names.get(action, action)} {places.get(where, where)}"


def _slow(tenant_id: int | None, asked: Chosen) -> dict[str, Any]:
    found = reader.slowest(tenant_id, asked.period)[:TOP]
    names = names_of("instance", [each.instance_id for each in found], tenant_id)
    rows = [
        [
            each.model or "—",
            names.get(each.instance_id, "—"),
            number_format(each.turns),
            *(_seconds(value) for value in (each.latency.duration.p50, each.latency.duration.p95)),
            _seconds(each.latency.duration.p99),
            *(_seconds(value) for value in (each.latency.first_token.p50, each.latency.first_token.p95)),
        ]
        for each in found
    ]
    headers = [
        _("Model"), _("Instance"), _("Turns"), _("Half are whole after"), _("95 % after"), _("99 % after"),
        _("First token, half"), _("First token, 95 %"),
    ]  # fmt: skip
    return {"title": _("Slow models"), "headers": headers, "rows": rows}


def _seconds(value: float | None) -> str:
    return "—" if value is None else duration(value)


def _tenants(asked: Chosen) -> dict[str, Any]:
    """Those for whom it went worst first."""
    found = sorted(reader.by_tenant(asked.period).items(), key=lambda each: _order(each[1]))[:MOST_TENANTS]
    names = names_of("tenant", [tenant_id for tenant_id, _states in found], None)
    costs = {int(line.what): line.sums.cost for line in usage.totals(Whose(None), asked.period, "tenant")}
    rows = [
        [
            format_html('<a href="{}">{}</a>', reverse("admin:tenants_tenant_change", args=[pk]), names.get(pk, pk)),
            number_format(states.turns),
            percent(states.completion_rate),
            percent(states.abandonment_rate),
            money(costs.get(pk, 0)),
        ]
        for pk, states in found
    ]
    headers = [_("Tenant"), _("Turns"), _("Completion rate"), _("Left before the answer was whole"), _("Cost")]
    return {"title": _("Tenants"), "headers": headers, "rows": rows}


def _order(states: States) -> tuple[float, int]:
    rate = states.completion_rate
    return (1.0 if rate is None else rate, -states.turns)


def _analysis() -> dict[str, Any]:
    """How far it is, and whether anybody should look."""
    state = reader.state()
    run, trouble = state.run, ""
    if run is None or not run.ended:
        trouble = _("The journal was never analysed: is the background worker running?")
    elif run.error:
        trouble = _("The last analysis ended early: %(error)s") % {"error": run.error}
    elif time.time() - run.ended > LATE and run.held_until < time.time():
        trouble = _("The journal has not been analysed for some minutes: is the background worker running?")
    lines = [[_("Entries that were not read yet"), number_format(state.behind)]]
    lines += [[_("Entries that were removed before they were read"), number_format(state.gone)]]
    if run is not None and run.ended:
        lines += [
            [_("Last run"), moment(run.ended)],
            [_("It took"), duration(run.seconds)],
            [_("Entries it read"), number_format(run.entries)],
        ]
    return {"title": _("The analysis itself"), "headers": [_("What"), _("How much")], "rows": lines, "trouble": trouble}
