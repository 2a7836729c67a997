"""`/api/insights`: what became of turns, what they were about, what was found in them, and what is slow."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta
from rest_framework.request import Request

from access import schemas
from access.authentication import role_of
from access.lean import JsonReply
from access.management.audit import When
from access.management.usage import UsageQuery
from access.usage_names import names_of
from access.views import LeanView
from compliance.analysis import reader, series
from compliance.analysis.reader import Asking, Counted, Named, Sessions, States, Word
from compliance.usage.reader import HOUR, Latency, Period
from engine.types import Principal
from tenants import roles
from tenants.models import Tenant

USUAL: Final = 20
LARGEST: Final = 1_000
CONVERSATIONS: Final = "sessions"  # who may read them may read what they were begun with


class InsightsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    from_: When = None
    to: When = None
    by: Literal["hour", "day"] = "day"
    limit: Annotated[int, Meta(ge=1, le=LARGEST)] = USUAL

    def period(self, now: float) -> Period:
        """Whole hours. Raises InvalidRequest."""
        return UsageQuery(from_=self.from_, to=self.to, by=self.by).period(now)


class TurnFigures(msgspec.Struct, kw_only=True):
    """`completion_rate`: completed of completed, failed and aborted; `abandonment_rate`: cancelled of all. null: there
    is nothing to divide by."""

    turns: int
    completed: int
    refused: int
    failed: int
    cancelled: int
    aborted: int
    completion_rate: float | None
    abandonment_rate: float | None


class TurnsOf(TurnFigures, kw_only=True):
    """Of a language or an intent; `name` empty: of those for which none was found."""

    name: str


class TurnsAt(TurnFigures, kw_only=True):
    """Of the hour or day that begins at `start`, Unix seconds."""

    start: int


class SessionFigures(msgspec.Struct, kw_only=True):
    opened: int
    abandoned: int
    abandonment_rate: float | None


class SlowModel(msgspec.Struct, kw_only=True):
    """Completed turns of one model and instance; seconds."""

    model: str
    instance_id: int
    instance: str | None
    turns: int
    latency: Latency


class InsightsReport(msgspec.Struct, kw_only=True, rename={"from_": "from"}):
    """`from` and `to` as they were counted, in whole hours; `read_until`: the newest entry of the journal that was
    counted, null: none yet. `questions` and `words` are null for callers who may not read conversations. The lists have
    at most `limit` lines each, the largest first."""

    from_: int
    to: int
    time_zone: str
    read_until: float | None
    turns: TurnFigures
    series: list[TurnsAt]
    sessions: SessionFigures
    languages: list[TurnsOf]
    intents: list[TurnsOf]
    filters: list[Counted]
    words: list[Word] | None
    personal_data: list[Counted]
    errors: list[TurnsOf]
    sources: list[TurnsOf]
    retries: list[Counted]
    fallbacks: list[TurnsOf]
    plugins_skipped: list[Counted]
    models: list[SlowModel]
    questions: Asking | None


class Insights(LeanView):
    """GET: of the caller's tenant, for who may see its overview."""

    area = "overview"
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        query = schemas.fields(request.GET.dict(), InsightsQuery, strict=False)
        return self.json(await self.parts.rows.run(partial(_told, self.principal, query, query.period(time.time()))))


def _told(principal: Principal, query: InsightsQuery, period: Period) -> InsightsReport:
    tenant_id, most = principal.tenant_id, query.limit
    zone = Tenant.objects.values_list("time_zone", flat=True).get(pk=tenant_id)
    place = reader.place(tenant_id)
    close = roles.may(role_of(principal), CONVERSATIONS)
    points = series.points(tenant_id, period, query.by, ZoneInfo(zone))
    return InsightsReport(
        from_=period.first * HOUR,
        to=period.end * HOUR,
        time_zone=zone,
        read_until=(place.at or None) if place is not None else None,
        turns=TurnFigures(**_figures(reader.states(tenant_id, period))),
        series=[TurnsAt(start=start, **_figures(states)) for start, states in points],
        sessions=_sessions(reader.sessions(tenant_id, period)),
        languages=_named(tenant_id, "language", period, most),
        intents=_named(tenant_id, "intent", period, most),
        filters=reader.counted(tenant_id, "filter", period, most=most),
        words=reader.words(tenant_id, period, most=most) if close else None,
        personal_data=reader.counted(tenant_id, "personal", period, most=most),
        errors=_named(tenant_id, "error", period, most),
        sources=_named(tenant_id, "source", period, most),
        retries=reader.counted(tenant_id, "retry", period, most=most),
        fallbacks=_named(tenant_id, "fallback", period, most),
        plugins_skipped=reader.counted(tenant_id, "plugin", period, most=most),
        models=_slowest(tenant_id, period, most),
        questions=reader.top_questions(tenant_id, period, most=most) if close else None,
    )


def _named(tenant_id: int, what: str, period: Period, most: int) -> list[TurnsOf]:
    found: list[Named] = reader.named(tenant_id, what, period)
    return [TurnsOf(name=each.name, **_figures(each.states)) for each in found[:most]]


def _figures(states: States) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(states),
        "turns": states.turns,
        "completion_rate": _rounded(states.completion_rate),
        "abandonment_rate": _rounded(states.abandonment_rate),
    }


def _sessions(found: Sessions) -> SessionFigures:
    rate = _rounded(found.abandonment_rate)
    return SessionFigures(opened=found.opened, abandoned=found.abandoned, abandonment_rate=rate)


def _slowest(tenant_id: int, period: Period, most: int) -> list[SlowModel]:
    found = reader.slowest(tenant_id, period)[:most]
    names = names_of("instance", [each.instance_id for each in found], tenant_id)
    return [
        SlowModel(
            model=each.model,
            instance_id=each.instance_id,
            instance=names.get(each.instance_id),
            turns=each.turns,
            latency=each.latency,
        )
        for each in found
    ]


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 6)
