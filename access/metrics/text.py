"""Totals as text, in Prometheus' format 1.0.0 or OpenMetrics 1.0. Written here, since `prometheus_client` takes
several times as long, and the process answers turns meanwhile (`benchmarks/metrics.py` compares). Sources:
prometheus.io/docs/instrumenting/exposition_formats and prometheus.io/docs/specs/om/open_metrics_spec."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from math import inf
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPEN
from prometheus_client.utils import floatToGoString

from access.metrics.families import FAMILIES, Family
from access.metrics.series import Key, Spreads, Values
from access.metrics.snapshot import Totals

OPEN: Final = "application/openmetrics-text"
REMEMBERED: Final = 1 << 15  # sets of labels whose text is kept
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_NO_VALUES: Final[Values] = {}
_NO_SPREADS: Final[Spreads] = {}


def render(totals: Totals, accept: str = "") -> tuple[bytes, str]:
    """The page and its content type, as the reader's `Accept` wants it."""
    is_open = OPEN in accept
    lines: list[str] = []
    for family in FAMILIES.values():
        suffix = "_total" if family.kind == "counter" else ""
        name = family.name if is_open else family.name + suffix
        lines.append(f"# HELP {name} {family.about}")
        lines.append(f"# TYPE {name} {family.kind}")
        if family.kind == "histogram":
            lines.extend(_histogram(family, totals.spreads.get(family.name, _NO_SPREADS)))
        else:
            found = totals.counts.get(family.name) or totals.gauges.get(family.name) or _NO_VALUES
            lines.extend(_values(family, family.name + suffix, found))
    if is_open:
        lines.append("# EOF")
    lines.append("")
    return "\n".join(lines).encode(), CONTENT_TYPE_OPEN if is_open else CONTENT_TYPE_LATEST


def _values(family: Family, name: str, values: Values) -> Iterator[str]:
    """One line each."""
    for key, value in values.items():
        if len(key) == len(family.labels):  # else another version's
            yield f"{name}{_labels(family.labels, key)} {_number(value)}"


@lru_cache(REMEMBERED)
def _labels(labels: tuple[str, ...], key: Key) -> str:
    """In the order of their names, as `prometheus_client` has them."""
    if not key:
        return ""
    pairs = sorted(zip(labels, key, strict=True))
    return "{" + ",".join([f'{label}="{_quoted(value)}"' for label, value in pairs]) + "}"


def _histogram(family: Family, spreads: Spreads) -> Iterator[str]:
    bounds = [*map(floatToGoString, family.bounds), "+Inf"]
    with_bound = (*family.labels, "le")
    for key, spread in spreads.items():
        if len(key) != len(family.labels) or len(spread) != len(bounds) + 1:
            continue
        counts = list(accumulate(spread[:-1]))
        for bound, count in zip(bounds, counts, strict=True):
            yield f"{family.name}_bucket{_labels(with_bound, (*key, bound))} {_number(count)}"
        labels = _labels(family.labels, key)
        yield f"{family.name}_count{labels} {_number(counts[-1])}"
        yield f"{family.name}_sum{labels} {_number(spread[-1])}"


def _quoted(value: str) -> str:
    return value if value.isalnum() else value.translate(_ESCAPES)


def _number(value: float) -> str:
    if -inf < value < inf:
        return repr(float(value))
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]  # it has no types
