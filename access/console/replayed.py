"""A replay's result as its page shows it: cards, and tables as django-unfold wants them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from access.console.recorded_turn import duration, moment
from access.replay_text import number, percent
from engine.types import Json
from tenants.models import Tenant

LEFT_OUT = {
    "no_decision": gettext_lazy("not routed: refused"),
    "plugin": gettext_lazy("answered by a plugin"),
    "cache": gettext_lazy("answered from kept answers"),
    "shared": gettext_lazy("shared another turn's call"),
    "pinned": gettext_lazy("asked for one very instance"),
    "not_recorded": gettext_lazy("a rule reads what their record does not hold"),
    "unreadable": gettext_lazy("their entry cannot be read"),
}
MOST_FLOWS = 50
LEAST = 0.0005  # seconds that are shown as a difference
LONGEST = 300  # characters of an example's features


def present(result: Json, tenant: Tenant | None, turn_link: Callable[[str], str]) -> dict[str, Any]:
    """For the template `console/replayed.html`. `turn_link`: where a turn can be read; empty: nowhere."""
    return {
        "scope": tenant or _("Platform"),
        "since": moment(result["from"]),
        "until": moment(result["to"]),
        "cards": _cards(result),
        "left_out": _left_out(result["turns"]),
        "models": _models(result),
        "flows": _flows(result["flows"], _("From"), _("To")),
        "instance_flows": _flows(result["instance_flows"], _("From instance"), _("To instance")),
        "rules": _rules(result["rules"]),
        "examples": _examples(result["examples"], turn_link),
    }


def _cards(result: Json) -> list[Json]:
    turns, moved, cost = result["turns"], result["moved"], result["cost"]
    refused = _("%(count)s of them refused") % {"count": number(moved["refused"])} if moved["refused"] else ""
    unpriced = _("without %(count)s turns whose instance is gone") % {"count": cost["unpriced"]}
    return [
        _card(_("Turns replayed"), number(turns["replayed"]), _("of %(count)s") % {"count": number(turns["read"])}),
        _card(
            _("Would move"),
            percent(moved["share"]),
            refused or _("%(count)s turns") % {"count": number(moved["turns"])},
        ),
        _card(
            _("Cost"),
            f"{cost['difference']:+,.4f}",
            f"{cost['before']:,.4f} → {cost['after']:,.4f}",
            unpriced if cost["unpriced"] else "",
        ),
        _pace(_("First token, mean"), result["ttft"]),
        _pace(_("Whole answer, mean"), result["duration"]),
    ]


def _card(title: str, value: str, *notes: str) -> Json:
    return {"title": title, "value": value, "notes": [note for note in notes if note]}


def _pace(title: str, pace: Json) -> Json:
    unknown = _("unknown for %(count)s turns: their model has no recorded turn") % {"count": number(pace["unknown"])}
    note = unknown if pace["unknown"] else ""
    if pace["before"] is None:
        return _card(title, "—", note)
    change = pace["after"] - pace["before"]
    sign = "±" if abs(change) < LEAST else "−" if change < 0 else "+"
    return _card(
        title, f"{sign}{duration(abs(change))}", f"{duration(pace['before'])} → {duration(pace['after'])}", note
    )


def _left_out(turns: Json) -> list[str]:
    lines = [f"{number(count)}: {LEFT_OUT.get(reason, reason)}" for reason, count in turns["left_out"].items()]
    return [*lines, *(f"{field}: {number(count)}" for field, count in turns["not_recorded"].items())]


def _models(result: Json) -> Json | None:
    total = result["turns"]["replayed"] or 1
    rows = [
        [
            each["model"],
            _bar(each["before"] / total, "before"),
            number(each["before"]),
            _bar(each["after"] / total, "after"),
            number(each["after"]),
        ]
        for each in result["models"][:MOST_FLOWS]
    ]
    return _table([_("Model"), _("Share before"), _("Turns"), _("Share after"), _("Turns")], rows)


def _flows(flows: list[Json], before: str, after: str) -> Json | None:
    rows = [
        [each["from"], each["to"] or _("refused"), number(each["turns"]), _bar(each["share"], "moved")]
        for each in flows[:MOST_FLOWS]
    ]
    return _table([before, after, _("Turns"), _("Share")], rows)


def _rules(rules: list[Json]) -> Json | None:
    rows = [[each["rule"] or _("no rule"), number(each["before"]), number(each["after"])] for each in rules]
    return _table([_("Rule"), _("Turns decided before"), _("After")], rows)


def _examples(examples: list[Json], turn_link: Callable[[str], str]) -> Json | None:
    rows = [
        [
            _turn(each, turn_link(each["turn_id"])),
            f"{each['from']} → {each['to'] or _('refused')}",
            percent(each["probability"]),
            f"{_names(each['rules_before'])} → {_names(each['rules_after'])}",
            _features(each["features"]),
        ]
        for each in examples
    ]
    return _table([_("Turn"), _("Model"), _("Chance"), _("Rules"), _("Features")], rows)


def _turn(example: Json, link: str) -> SafeString | str:
    text = moment(example["at"])
    if not link:
        return text
    return format_html('<a href="{}" class="text-primary-600 dark:text-primary-500">{}</a>', link, text)


def _names(rules: list[str]) -> str:
    return ", ".join(rules) or _("no rule")


def _features(features: Json) -> SafeString:
    said = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in features.items()]
    text = ", ".join(said)
    return format_html(
        '<span class="replay-features">{}</span>', text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    )


def _bar(share: float, kind: str) -> SafeString:
    width = f"{min(max(100 * share, 0), 100):.1f}"
    return format_html(
        '<span class="replay-bar"><span class="replay-{}" style="width: {}%"></span></span> {}',
        kind,
        width,
        percent(share),
    )


def _table(headers: list[Any], rows: list[list[Any]]) -> Json | None:
    return {"headers": headers, "rows": rows} if rows else None
