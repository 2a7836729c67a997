"""Charts as `console/chart.html` shows them: drawn by the Chart.js that django-unfold ships, and the same as a table
for who does not see drawings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

GREY: Final = "#9ca3af"
_TICKS: Final = {"color": GREY, "maxRotation": 0, "autoSkipPadding": 16}


class Part(NamedTuple):
    """What is drawn in one colour, None is a gap; `shown` are its values as text, unless they are to be read as they
    are."""

    name: str
    colour: str
    values: Sequence[float | None]
    shown: Sequence[str] | None = None


def lines(title: str, labels: Sequence[str], parts: Sequence[Part], head: str) -> dict[str, Any]:
    """Beside each other. `head` is what the labels are."""
    drawn = bars(title, labels, parts, head)
    datasets = [
        {"label": part.name, "data": list(part.values), "borderColor": part.colour, "backgroundColor": part.colour,
         "borderWidth": 2, "pointRadius": 2, "tension": 0.2}
        for part in parts
    ]  # fmt: skip
    options = json.loads(drawn["options"])
    for axis in options["scales"].values():
        axis["stacked"] = False
    data = json.dumps({"labels": list(labels), "datasets": datasets})
    return {**drawn, "type": "line", "data": data, "options": json.dumps(options)}


def bars(title: str, labels: Sequence[str], parts: Sequence[Part], head: str) -> dict[str, Any]:
    """One upon the other. `head` is what the labels are."""
    datasets = [
        {"label": part.name, "data": list(part.values), "backgroundColor": part.colour, "maxBarThickness": 28}
        for part in parts
    ]
    options = {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "plugins": {
            "legend": {"display": len(parts) > 1, "position": "bottom", "labels": {"color": GREY, "boxWidth": 9}}
        },
        "scales": {
            "x": {"stacked": True, "ticks": _TICKS, "grid": {"display": False}},
            "y": {"stacked": True, "beginAtZero": True, "ticks": {**_TICKS, "maxTicksLimit": 5}, "grid": {}},
        },
    }
    rows = [
        [label, *((part.shown or part.values)[place] for part in parts)]
        for place, label in enumerate(labels)
        if any(part.values[place] for part in parts)
    ]
    return {
        "title": title,
        "type": "bar",
        "data": json.dumps({"labels": list(labels), "datasets": datasets}),
        "options": json.dumps(options),
        "headers": [head, *(part.name for part in parts)],
        "rows": rows,
    }
