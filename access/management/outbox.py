"""`/api/outbox`: how far every sink of a tenant's events is, and the events that are held back or were given up."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from access.lean import JsonReply
from access.management.paging import Page, cut, number, one_of, page_of
from access.views import LeanView
from engine.errors import NotFound
from plugins.models import DeliveryAttempt, HeldEvent, SinkState
from plugins.outbox import holding

MISSING: Final = "There is no such event."
STATES: Final = ("waiting", "dead")


class SinkAnswer(msgspec.Struct, kw_only=True):
    """A queue or a webhook. Times are Unix seconds. `lag`: so many entries of the journal lie before it, the first of
    them `lag_seconds` old. `pruned`: so many were removed by retention before they were sent. `dead`: so many events
    were given up. `seen_at`: when a publisher last looked after it."""

    sink: str
    label: str
    lag: int
    lag_seconds: float
    delivered: int
    dead: int
    pruned: int
    failing_since: float | None
    last_error: str
    last_sent_at: float | None
    next_at: float | None
    seen_at: float


class SinkPage(msgspec.Struct):
    sinks: list[SinkAnswer]


class AttemptAnswer(msgspec.Struct, kw_only=True):
    """`status` is the HTTP status, 0: there was no answer. `at` is in Unix seconds."""

    event: str
    type: str
    at: float
    milliseconds: int
    ok: bool
    status: int
    error: str


class AttemptPage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    attempts: list[AttemptAnswer]
    next: int | None


class HeldAnswer(msgspec.Struct, kw_only=True):
    """`waiting`: it is tried again at `next_at` (null: when the one before it is through). `dead`: given up. Times are
    Unix seconds."""

    id: int
    sink: str
    event: str
    type: str
    subject: str
    session: str
    state: str
    attempts: int
    first_at: float
    next_at: float | None
    last_error: str


class HeldPage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    events: list[HeldAnswer]
    next: int | None


class Outbox(LeanView):
    """GET: the tenant's sinks."""

    area = "plugins"
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(sinks, self.principal.tenant_id)))


class HeldList(LeanView):
    """GET: events that are held back."""

    area = "plugins"
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        page = page_of(request, "sink", "state")
        one_of(page, "state", STATES)
        return self.json(await self.parts.rows.run(partial(held, self.principal.tenant_id, page)))


class HeldDetail(LeanView):
    """GET, and DELETE: it is not sent any more."""

    area = "plugins"
    http_method_names = ["get", "delete"]

    async def get(self, request: Request, held_id: str, **kwargs: Any) -> JsonReply:
        row = await self.parts.rows.run(partial(_own, self.principal.tenant_id, number(held_id, MISSING)))
        return self.json(held_answer(row))

    async def delete(self, request: Request, held_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(forget, self.principal.tenant_id, number(held_id, MISSING)))
        return HttpResponse(status=204)


class HeldResending(LeanView):
    """POST: it is tried now, 202. One that waits behind another of its session stays where it is."""

    area = "plugins"
    http_method_names = ["post"]

    async def post(self, request: Request, held_id: str, **kwargs: Any) -> JsonReply:
        work = partial(send_again, self.principal.tenant_id, number(held_id, MISSING))
        return self.json(await self.parts.rows.run(work), 202)


def sinks(tenant_id: int) -> SinkPage:
    rows = SinkState.objects.for_tenant(tenant_id).order_by("sink")
    return SinkPage([sink_answer(row) for row in rows])


def held(tenant_id: int, page: Page) -> HeldPage:
    rows = HeldEvent.objects.for_tenant(tenant_id)
    given = {name: value for name, value in page.filters.items() if value}
    found, following = cut(rows.filter(**given), page)
    return HeldPage([held_answer(row) for row in found], following)


def forget(tenant_id: int, held_id: int) -> None:
    """Raises NotFound."""
    holding.forget(_own(tenant_id, held_id))


def send_again(tenant_id: int, held_id: int) -> HeldAnswer:
    """Raises NotFound."""
    holding.send_again([_own(tenant_id, held_id)])
    return held_answer(_own(tenant_id, held_id))


def attempts_of(tenant_id: int, sink: str, page: Page) -> AttemptPage:
    found, following = cut(DeliveryAttempt.objects.for_tenant(tenant_id).filter(sink=sink), page)
    names = AttemptAnswer.__struct_fields__
    return AttemptPage([AttemptAnswer(**{name: getattr(row, name) for name in names}) for row in found], following)


def sink_answer(row: SinkState) -> SinkAnswer:
    values = {name: getattr(row, name) for name in SinkAnswer.__struct_fields__}
    return SinkAnswer(**{**values, "next_at": row.next_at or None})


def held_answer(row: HeldEvent) -> HeldAnswer:
    values = {name: getattr(row, name) for name in HeldAnswer.__struct_fields__ if name not in ("session", "next_at")}
    behind = row.state == HeldEvent.State.DEAD or row.next_at >= holding.BEHIND
    return HeldAnswer(**values, session=row.partition, next_at=None if behind else row.next_at)


def _own(tenant_id: int, held_id: int) -> HeldEvent:
    row = HeldEvent.objects.for_tenant(tenant_id).filter(pk=held_id).first()
    if row is None:
        raise NotFound(MISSING)
    return row
