"""Reads what was counted, for screens and the API. Blocking; raises django.db.DatabaseError.

A period means whole hours, as in `compliance.usage.reader`; questions are kept by the day (UTC), so of them it means
the days it touches."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
from django.conf import settings
from django.db.models import Sum

from compliance.analysis import questions
from compliance.analysis.counting import SEPARATOR
from compliance.analysis.questions import Summary
from compliance.journal.following import Follower
from compliance.models.insights import AnalysisRun, InsightCount, InsightPlace, InsightQuestions, InsightTiming
from compliance.usage import buckets
from compliance.usage.reader import HOUR, Latency, Period, Quantiles
from tenants import stored_keys
from tenants.models import Tenant
from tenants.scoping import ScopedQuerySet

DAY: Final = 24 * HOUR
SHARES: Final = (0.5, 0.95, 0.99)


class States(msgspec.Struct, frozen=True):
    """Turns by what became of them."""

    completed: int = 0
    refused: int = 0
    failed: int = 0
    cancelled: int = 0
    aborted: int = 0

    @property
    def turns(self) -> int:
        return self.completed + self.refused + self.failed + self.cancelled + self.aborted

    @property
    def completion_rate(self) -> float | None:
        """Completed of completed, failed and aborted; None: no turn counts."""
        counted = self.completed + self.failed + self.aborted
        return self.completed / counted if counted else None

    @property
    def abandonment_rate(self) -> float | None:
        """The turns whose reader left before the answer was whole, of all."""
        return self.cancelled / self.turns if self.turns else None

    def __add__(self, other: States) -> States:
        return States(**{name: getattr(self, name) + getattr(other, name) for name in States.__struct_fields__})


class Named(msgspec.Struct, frozen=True):
    """The turns of one language, intent, …; `name` empty: of none."""

    name: str
    states: States


class Counted(msgspec.Struct, frozen=True):
    """How often something was found; `detail` says how."""

    name: str
    detail: str
    count: int


class Word(msgspec.Struct, frozen=True):
    list: str
    word: str
    detail: str
    count: int


class Sessions(msgspec.Struct, frozen=True):
    opened: int = 0
    abandoned: int = 0

    @property
    def abandonment_rate(self) -> float | None:
        """An abandoned session may have been opened before the period: at most 1."""
        return min(self.abandoned / self.opened, 1.0) if self.opened else None


class TopQuestion(msgspec.Struct, frozen=True):
    """A question that was asked at least `count` times, by at least `users`."""

    question: str
    count: int
    users: int


class Asking(msgspec.Struct, frozen=True):
    """`total` conversations were begun with a question; each of `top` may have been asked `lost` times more."""

    top: list[TopQuestion]
    total: int
    lost: int


class Slow(msgspec.Struct, frozen=True):
    """Completed turns of a model that one instance answered (0: a kept answer)."""

    model: str
    instance_id: int
    turns: int
    latency: Latency


class State(NamedTuple):
    """How far the analysis is: `behind` entries of all tenants were not read yet, `gone` were removed before."""

    run: AnalysisRun | None
    behind: int
    gone: int


def states(tenant_id: int | None, period: Period) -> States:
    return _states(_rows(tenant_id, "turns", period)).get((), States())


def by_hour(tenant_id: int | None, period: Period) -> dict[int, States]:
    """Counted from 1970; hours without a turn are not there."""
    return {hour: found for (hour,), found in _states(_rows(tenant_id, "turns", period), "hour").items()}


def by_tenant(period: Period) -> dict[int, States]:
    return {owner: found for (owner,), found in _states(_rows(None, "turns", period), "tenant_id").items()}


def named(tenant_id: int | None, what: str, period: Period) -> list[Named]:
    """Of the languages, intents, …: those with most turns first."""
    found = [Named(name, told) for (name,), told in _states(_rows(tenant_id, what, period), "name").items()]
    return sorted(found, key=lambda each: (-each.states.turns, each.name))


def counted(tenant_id: int | None, what: str, period: Period, *, most: int | None = None) -> list[Counted]:
    """Of filters, plugins, retries, …: those found most often first."""
    rows = _rows(tenant_id, what, period).values_list("name", "state").annotate(sum=Sum("count"))
    rows = rows.order_by("-sum", "name", "state")[:most]
    return [Counted(name, state, int(total)) for name, state, total in rows]


def words(tenant_id: int, period: Period, *, most: int | None = None) -> list[Word]:
    found = [(each.name.partition(SEPARATOR), each) for each in counted(tenant_id, "word", period, most=most)]
    return [Word(name, word, each.detail, each.count) for (name, _, word), each in found]


def sessions(tenant_id: int | None, period: Period) -> Sessions:
    rows = _rows(tenant_id, "session", period).values_list("name").annotate(sum=Sum("count"))
    found = {name: int(total) for name, total in rows.order_by()}
    return Sessions(found.get("opened", 0), found.get("abandoned", 0))


def top_questions(tenant_id: int, period: Period, *, most: int) -> Asking:
    """Only of a tenant whose key can be opened."""
    keys = stored_keys.stored(tenant_id)
    whole = Summary(questions={})
    first, end = int(period.since // DAY), -int(-period.until // DAY)
    rows = InsightQuestions.objects.for_tenant(tenant_id).filter(day__gte=first, day__lt=end)
    for day, summary in rows.values_list("day", "summary") if keys is not None else ():
        assert keys is not None
        whole.merge(questions.unseal(keys, tenant_id, day, summary))
    top = whole.top(most, users=settings.INSIGHTS_ASKERS)
    asked = [TopQuestion(text, told.count, len(told.askers)) for text, told in top]
    return Asking(asked, whole.total, whole.lost)


def slowest(tenant_id: int | None, period: Period) -> list[Slow]:
    """The slowest first, by the 95th percentile."""
    rows = InsightTiming.objects.everywhere() if tenant_id is None else InsightTiming.objects.for_tenant(tenant_id)
    rows = rows.filter(hour__gte=period.first, hour__lt=period.end)
    stored: dict[tuple[str, int], tuple[list[str], list[str]]] = {}
    for model, instance_id, durations, first_tokens in rows.values_list(
        "model", "instance_id", "durations", "first_tokens"
    ):
        found = stored.setdefault((model, instance_id), ([], []))
        found[0].append(durations)
        found[1].append(first_tokens)
    slow = [
        Slow(model, instance_id, _turns(durations), Latency(_quantiles(durations), _quantiles(first_tokens)))
        for (model, instance_id), (durations, first_tokens) in stored.items()
    ]
    return sorted(slow, key=lambda each: (-(each.latency.duration.p95 or 0.0), each.model, each.instance_id))


def state() -> State:
    places = dict(InsightPlace.objects.everywhere().values_list("tenant_id", "position"))
    gone = InsightPlace.objects.everywhere().aggregate(sum=Sum("gone"))["sum"] or 0
    run = AnalysisRun.objects.filter(pk=1).first()
    return State(run, _behind(places), int(gone))


def place(tenant_id: int) -> InsightPlace | None:
    return InsightPlace.objects.for_tenant(tenant_id).first()


def _behind(places: dict[int, int]) -> int:
    """Tenants that are gone are not waited for."""
    with Follower() as follower:
        heads = follower.heads()
    there = Tenant.objects.values_list("pk", flat=True)
    return sum(max(heads.get(each, 0) - places.get(each, 0), 0) for each in there)


def _rows(tenant_id: int | None, what: str, period: Period) -> ScopedQuerySet[InsightCount]:
    rows = InsightCount.objects.everywhere() if tenant_id is None else InsightCount.objects.for_tenant(tenant_id)
    found: ScopedQuerySet[InsightCount] = rows.filter(what=what, hour__gte=period.first, hour__lt=period.end)
    return found


def _states(rows: ScopedQuerySet[InsightCount], *columns: str) -> dict[tuple[Any, ...], States]:
    found: dict[tuple[Any, ...], dict[str, int]] = {}
    for *key, name, total in rows.order_by().values_list(*columns, "state").annotate(sum=Sum("count")):
        counts = found.setdefault(tuple(key), {})
        counts[name] = counts.get(name, 0) + int(total)
    return {
        key: States(**{name: counts.get(name, 0) for name in States.__struct_fields__}) for key, counts in found.items()
    }


def _turns(stored: list[str]) -> int:
    return sum(buckets.summed(stored).values())


def _quantiles(stored: list[str]) -> Quantiles:
    counts = buckets.summed(stored)
    return Quantiles(*(buckets.percentile(counts, share) for share in SHARES))
