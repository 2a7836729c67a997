"""`/api/usage`: what turns used, by model, key, member, instance, hour or day, as JSON or CSV."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from access import schemas
from access.audit_files import MARK, csv_row
from access.lean import JsonReply
from access.management.audit import When, moment_of
from access.usage_names import names_of
from access.views import LeanView
from compliance.journal.reader import readable
from compliance.usage import calendar, reader
from compliance.usage.reader import HOUR, Latency, Period, Sums, Whose
from engine.errors import Forbidden, InvalidRequest
from engine.types import Principal
from tenants.models import Tenant

LONGEST: Final = 366 * 86_400  # seconds
LONGEST_BY_HOUR: Final = 31 * 86_400
USUAL: Final = 86_400
LARGEST: Final = 10_000  # lines
WHOLE_TENANT: Final = frozenset({"audit", "manage"})  # scopes

By = Literal["model", "key", "member", "instance", "hour", "day"]


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    from_: When = None
    to: When = None
    by: By = "model"
    format: Literal["json", "csv"] = "json"
    limit: Annotated[int, Meta(ge=1, le=LARGEST)] = 1_000

    def period(self, now: float) -> Period:
        """Whole hours. Raises InvalidRequest."""
        until = moment_of(self.to, "to")
        since = moment_of(self.from_, "from")
        until = now if until is None else until
        since = until - USUAL if since is None else since
        if since >= until:
            raise InvalidRequest("from must be before to.", param="from")
        longest = LONGEST_BY_HOUR if self.by == "hour" else LONGEST
        if until - since > longest:
            raise InvalidRequest(f"from: by {self.by} at most {longest // 86_400} days can be asked for.", param="from")
        return Period(since, until)


class UsageSums(msgspec.Struct, kw_only=True):
    """`turns` are all of them, whatever became of each; `tokens` are prompt and completion. `cost` is in millionths of
    the currency that prices are in. `completion_rate` null: no turn counts for it."""

    turns: int
    completed: int
    refused: int
    failed: int
    cancelled: int
    aborted: int
    tokens: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: int
    completion_rate: float | None


class UsageLine(UsageSums, kw_only=True):
    """`what` is a model's name, the id of a key, member or instance (0: none), or the Unix seconds an hour or day
    begins at; `name` is what people call that: null where it is gone."""

    what: str | int
    name: str | None


class UsageReport(msgspec.Struct, kw_only=True, rename={"from_": "from"}):
    """`from` and `to` as they were counted, in whole hours. `more`: there are more lines than `limit`. `latency` is of
    the whole tenant's completed turns, in seconds; null for callers who see only their own."""

    from_: int
    to: int
    by: By
    time_zone: str
    lines: list[UsageLine]
    more: bool
    total: UsageSums
    latency: Latency | None


class Usage(LeanView):
    """GET: what was used. With the scope `audit` or `manage` the whole tenant's, else the caller's own."""

    needs = ("audit", "manage", "chat")
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply | HttpResponse:
        query = schemas.fields(request.GET.dict(), UsageQuery, strict=False)
        work = partial(_answer, self.principal, query, query.period(time.time()))
        told: UsageReport = await self.parts.rows.run(partial(readable, work))
        return self.json(told) if query.format == "json" else _as_csv(told)


def whose(principal: Principal) -> Whose:
    """Raises Forbidden: who has neither a key nor a membership has no usage of their own."""
    if WHOLE_TENANT & principal.scopes:
        return Whose(principal.tenant_id)
    if principal.key_id is None and principal.member_id is None:
        raise Forbidden()
    return Whose(principal.tenant_id, principal.key_id, principal.member_id if principal.key_id is None else None)


def _answer(principal: Principal, query: UsageQuery, period: Period) -> UsageReport:
    mine = whose(principal)
    name = Tenant.objects.values_list("time_zone", flat=True).get(pk=principal.tenant_id)
    found = _lines(mine, period, query, ZoneInfo(name))
    return UsageReport(
        from_=period.first * HOUR,
        to=period.end * HOUR,
        by=query.by,
        time_zone=name,
        lines=found[: query.limit],
        more=len(found) > query.limit,
        total=UsageSums(**_told(reader.total(mine, period))),
        latency=None if mine.named else reader.latency(principal.tenant_id, period),
    )


def _lines(mine: Whose, period: Period, query: UsageQuery, zone: ZoneInfo) -> list[UsageLine]:
    if query.by == "hour" or query.by == "day":  # noqa: PLR1714  # so the type is known
        points = calendar.series(mine, period, query.by, zone)
        return [
            UsageLine(what=each.start, name=datetime.fromtimestamp(each.start, zone).isoformat(), **_told(each.sums))
            for each in points
        ]
    lines = reader.totals(mine, period, query.by, most=query.limit + 1)
    names = names_of(query.by, [line.what for line in lines], mine.tenant_id)
    return [UsageLine(what=line.what, name=names.get(line.what), **_told(line.sums)) for line in lines]


def _told(sums: Sums) -> dict[str, Any]:
    figures = {name: getattr(sums, name) for name in UsageSums.__struct_fields__}
    rate = figures["completion_rate"]
    return {**figures, "completion_rate": None if rate is None else round(rate, 6)}


def _as_csv(told: UsageReport) -> HttpResponse:
    rows = [MARK, csv_row([told.by, "name", *UsageSums.__struct_fields__])]
    rows += [csv_row(_cells(line)) for line in told.lines]
    response = HttpResponse(b"".join(rows), content_type="text/csv; charset=utf-8")
    day = datetime.fromtimestamp(told.from_, UTC).date()
    response["Content-Disposition"] = f'attachment; filename="usage-by-{told.by}-{day}.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    return response


def _cells(line: UsageLine) -> Sequence[Any]:
    return [line.what, line.name, *(getattr(line, name) for name in UsageSums.__struct_fields__)]
