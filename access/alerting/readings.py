"""Figures of the last minutes out of sums by the hour: what was counted now, less what was counted some minutes ago.

Usage is counted with the journal's completions, exactly, in sums that only grow (`compliance.usage`). So a copy of the
current and the last hour's sums each minute is all it takes, whatever the number of turns, and a restart loses nothing.
The functions block."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from django.db import connections
from django.db.models import Sum

from compliance.database import ALIAS
from compliance.journal.union import see_all_slots
from compliance.models import UsageTiming, UsageTotal
from compliance.usage import buckets
from compliance.usage.reader import HOUR
from tenants.models import AlertReading

WINDOW: Final = 300.0  # seconds a figure is of
KEPT: Final = 1200.0
STATES: Final = ("completed", "failed", "aborted", "refused", "cancelled")

Buckets = dict[int, int]
Key = str  # "<tenant>/<hour>"


class Reading(msgspec.Struct, frozen=True):
    """By tenant and hour: turns in the order of STATES, and counts of durations and of times to the first token."""

    turns: dict[Key, list[int]] = {}
    times: dict[Key, tuple[Buckets, Buckets]] = {}


class Recent(msgspec.Struct):
    """Of one tenant, or of all: in the last minutes."""

    turns: list[int] = msgspec.field(default_factory=lambda: [0] * len(STATES))
    durations: Buckets = {}
    first_tokens: Buckets = {}

    @property
    def counted(self) -> int:
        """Turns that are in the completion rate."""
        return sum(self.turns[:3])

    @property
    def completion_rate(self) -> float | None:
        return self.turns[0] / self.counted if self.counted else None

    @property
    def error_rate(self) -> float | None:
        total = sum(self.turns)
        return (self.turns[1] + self.turns[2]) / total if total else None

    @property
    def response_time(self) -> float | None:
        return buckets.percentile(self.durations, 0.99)

    @property
    def first_token(self) -> float | None:
        return buckets.percentile(self.first_tokens, 0.99)

    def add(self, other: Recent) -> None:
        self.turns = [one + more for one, more in zip(self.turns, other.turns, strict=True)]
        self.durations = _added(self.durations, other.durations)
        self.first_tokens = _added(self.first_tokens, other.first_tokens)


def read(now: float) -> Reading:
    """Two queries. Raises DatabaseError, NoSlot: the journal's database is away."""
    see_all_slots(connections[ALIAS])
    hours = [int(now // HOUR) - 1, int(now // HOUR)]
    rows = UsageTotal.objects.everywhere().filter(hours=1, start__in=hours, tenant_id__gt=0).order_by()
    sums = {f"sum_{state}": Sum(state) for state in STATES}
    found = rows.values_list("tenant_id", "start").annotate(**sums)
    turns = {f"{tenant_id}/{hour}": [int(each) for each in counted] for tenant_id, hour, *counted in found}
    times: dict[Key, tuple[Buckets, Buckets]] = {}
    timings = UsageTiming.objects.everywhere().filter(hour__in=hours, tenant_id__gt=0)
    for tenant_id, hour, *stored in timings.values_list("tenant_id", "hour", "durations", "first_tokens"):
        key = f"{tenant_id}/{hour}"
        durations, first_tokens = times.get(key, ({}, {}))
        times[key] = (
            _added(durations, buckets.summed([stored[0]])),
            _added(first_tokens, buckets.summed([stored[1]])),
        )
    return Reading(turns, times)


def keep(reading: Reading, now: float) -> None:
    body = zlib.compress(msgspec.json.encode(reading))
    AlertReading.objects.update_or_create(at=now, defaults={"body": body})
    AlertReading.objects.filter(at__lt=now - KEPT).delete()
    AlertReading.objects.filter(at__gt=now + WINDOW).delete()  # of a clock that was wrong


def before(now: float) -> Reading | None:
    """The newest that is WINDOW old, else the oldest there is; None: there is none."""
    rows = AlertReading.objects.filter(at__lt=now, at__gte=now - KEPT)
    row = rows.filter(at__lte=now - WINDOW).order_by("-at").first() or rows.order_by("at").first()
    return msgspec.json.decode(zlib.decompress(row.body), type=Reading) if row is not None else None


def between(then: Reading, now: Reading) -> dict[int, Recent]:
    """By tenant, those that had turns meanwhile."""
    found: dict[int, Recent] = {}
    for key, turns in now.turns.items():
        earlier = then.turns.get(key, [0] * len(STATES))
        durations, first_tokens = now.times.get(key, ({}, {}))
        known, first_known = then.times.get(key, ({}, {}))
        more = Recent(
            [max(one - less, 0) for one, less in zip(turns, earlier, strict=True)],
            _less(durations, known),
            _less(first_tokens, first_known),
        )
        if any(more.turns):
            found.setdefault(int(key.partition("/")[0]), Recent()).add(more)
    return found


def of_all(recent: Iterable[Recent]) -> Recent:
    total = Recent()
    for each in recent:
        total.add(each)
    return total


def _added(one: Mapping[int, int], other: Mapping[int, int]) -> Buckets:
    found = dict(one)
    for bucket, number in other.items():
        found[bucket] = found.get(bucket, 0) + number
    return found


def _less(one: Mapping[int, int], other: Mapping[int, int]) -> Buckets:
    left = {bucket: number - other.get(bucket, 0) for bucket, number in one.items()}
    return {bucket: number for bucket, number in left.items() if number > 0}
