"""What was used, as both consoles' overviews show it: cards, charts over a period, tables of those that used most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from access.console import charts
from access.console.charts import Part
from access.console.periods import Chosen
from access.console.recorded_turn import duration
from access.usage_names import names_of
from compliance.usage import calendar, reader
from compliance.usage.reader import By, Line, Quantiles, Sums, Whose
from engine.pricing import UNIT

TOP: Final = 10
GREEN, RED, AMBER, BLUE, VIOLET = "#16a34a", "#dc2626", "#d97706", "#2563eb", "#9333ea"


def cards(whose: Whose, chosen: Chosen) -> list[dict[str, Any]]:
    sums = reader.total(whose, chosen.period)
    timed = reader.latency(whose.tenant_id, chosen.period)
    counted = sums.completed + sums.errors
    share = number_format(100 * sums.errors / counted, 1) if counted else ""
    return [
        _card(_("Requests"), number_format(sums.turns), ""),
        _card(
            _("Tokens"),
            number_format(sums.tokens),
            _("%(asked)s asked, %(answered)s answered")
            % {"asked": number_format(sums.prompt_tokens), "answered": number_format(sums.completion_tokens)},
        ),
        _card(_("Cost"), money(sums.cost), _("in the unit of the prices")),
        _card(_("Errors"), number_format(sums.errors), f"{share} %" if share else ""),
        _card(_("Completion rate"), rate(sums), _("of completed, failed and aborted turns")),
        _card(_("Answer whole after"), *_quantiles(timed.duration)),
        _card(_("First token after"), *_quantiles(timed.first_token)),
    ]


def drawings(whose: Whose, chosen: Chosen) -> list[dict[str, Any]]:
    points = calendar.series(whose, chosen.period, chosen.step, chosen.zone)
    sums = [point.sums for point in points]
    labels = [chosen.label(point.start) for point in points]
    head = _("Day") if chosen.step == "day" else _("Hour")
    return [
        charts.bars(
            _("Requests"),
            labels,
            [
                _part(_("Completed"), GREEN, [each.completed for each in sums]),
                _part(_("Refused"), AMBER, [each.refused for each in sums]),
                _part(_("Cancelled"), BLUE, [each.cancelled for each in sums]),
                _part(_("Failed or aborted"), RED, [each.errors for each in sums]),
            ],
            head,
        ),
        charts.bars(
            _("Tokens"),
            labels,
            [
                _part(_("Asked"), BLUE, [each.prompt_tokens for each in sums]),
                _part(_("Answered"), VIOLET, [each.completion_tokens for each in sums]),
            ],
            head,
        ),
        charts.bars(
            _("Cost"),
            labels,
            [Part(_("Cost"), VIOLET, [each.cost / UNIT for each in sums], [money(each.cost) for each in sums])],
            head,
        ),
    ]


def top(whose: Whose, chosen: Chosen, by: By, title: str, head: str, *, most: int = TOP) -> dict[str, Any]:
    """A table of those that cost most."""
    lines = [line for line in reader.totals(whose, chosen.period, by, most=most + 1) if line.what]
    return table(title, head, lines[:most], names_of(by, [line.what for line in lines[:most]], whose.tenant_id))


def table(title: str, head: str, lines: Sequence[Line], names: dict[str | int, str]) -> dict[str, Any]:
    return {
        "title": title,
        "headers": [head, _("Requests"), _("Tokens"), _("Cost"), _("Errors"), _("Completion rate")],
        "rows": [
            [
                names.get(line.what) or _("gone (%(number)s)") % {"number": line.what},
                number_format(line.sums.turns),
                number_format(line.sums.tokens),
                money(line.sums.cost),
                number_format(line.sums.errors),
                rate(line.sums),
            ]
            for line in lines
        ],
    }


def money(cost: int) -> str:
    """Millionths, as people read them: small amounts with more digits."""
    whole = cost / UNIT
    return number_format(whole, 2 if whole >= 100 else 4)


def rate(sums: Sums) -> str:
    share = sums.completion_rate
    return "—" if share is None else f"{number_format(100 * share, 1)} %"


def _card(title: str, number: str, note: str) -> dict[str, Any]:
    return {"title": title, "number": number, "note": note}


def _quantiles(found: Quantiles) -> tuple[str, str]:
    if found.p50 is None or found.p95 is None or found.p99 is None:
        return "—", _("nothing was measured")
    return duration(found.p50), f"p95 {duration(found.p95)}, p99 {duration(found.p99)}"


def _part(name: str, colour: str, values: Sequence[int]) -> Part:
    return Part(name, colour, values, [number_format(value) for value in values])
