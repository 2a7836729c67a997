"""`/api/webhooks`: addresses a tenant's events are posted to, what became of the last ones, and a test of the way."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from django.db import transaction
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.outbox import AttemptPage, SinkAnswer, attempts_of, sink_answer
from access.management.paging import Page, cut, number, page_of
from access.views import LeanView
from engine.errors import Conflict, NotFound
from engine.types import Json
from plugins.models import SinkState, Webhook
from plugins.outbox import holding, signing
from plugins.outbox.declared import forget_webhook
from plugins.outbox.events import TURN_TYPES, sorted_types

MISSING: Final = "There is no such webhook."
NO_STORE: Final = [(b"cache-control", b"no-store")]

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Url = Annotated[str, Meta(min_length=1, max_length=500)]
Types = Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(max_length=50)]
Moment = Annotated[float, Meta(ge=0, le=32_503_680_000)]


class WebhookBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`events` are types of events (`docs/events.md`); `content`: messages and answers are sent too. `since` (Unix
    seconds): events from then on; absent: from now on."""

    name: Name
    url: Url
    events: Types = msgspec.field(default_factory=lambda: list(TURN_TYPES))
    content: bool = False
    enabled: bool = True
    since: Moment | None = None


class WebhookPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of it is to change; what is absent stays. One that was switched off goes on where it stopped."""

    name: Name | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    events: Types | UnsetType = UNSET
    content: bool | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class WebhookAnswer(msgspec.Struct, kw_only=True):
    """Times are Unix seconds. `disabled_reason`: why it was switched off by itself. `previous_until`: so long the
    secret before signs too. `state` is null until the publisher has seen it."""

    id: int
    name: str
    url: str
    events: list[str]
    content: bool
    enabled: bool
    disabled_reason: str
    since: float
    created_at: float
    previous_until: float | None
    state: SinkAnswer | None


class WebhookMade(WebhookAnswer):
    """With its secret, which is shown here and nowhere else."""

    secret: str


class WebhookPage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    webhooks: list[WebhookAnswer]
    next: int | None


class TestAnswer(msgspec.Struct):
    """The event that is sent within a second; `/api/webhooks/{id}/attempts` tells what became of it."""

    event: str


class WebhookList(LeanView):
    """GET: the tenant's webhooks. POST: makes one, 201 with its secret."""

    area = "plugins"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(listed, self.principal.tenant_id, page_of(request))))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        asked = schemas.fields(self.body(), WebhookBody)
        made = await self.parts.rows.run(partial(make, self.principal.tenant_id, asked))
        return self.json(made, 201, NO_STORE)


class WebhookDetail(LeanView):
    """GET, PATCH and DELETE. Unknown and foreign ids alike are 404."""

    area = "plugins"
    http_method_names = ["get", "patch", "delete"]

    async def get(self, request: Request, webhook_id: str, **kwargs: Any) -> JsonReply:
        work = partial(read, self.principal.tenant_id, number(webhook_id, MISSING))
        return self.json(await self.parts.rows.run(work))

    async def patch(self, request: Request, webhook_id: str, **kwargs: Any) -> JsonReply:
        found = number(webhook_id, MISSING)
        values = schemas.given(schemas.fields(self.body(), WebhookPatch))
        return self.json(await self.parts.rows.run(partial(change, self.principal.tenant_id, found, values)))

    async def delete(self, request: Request, webhook_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(remove, self.principal.tenant_id, number(webhook_id, MISSING)))
        return HttpResponse(status=204)


class WebhookRotation(LeanView):
    """POST: another secret, 201 with it; the one before signs too for a day."""

    area = "plugins"
    http_method_names = ["post"]

    async def post(self, request: Request, webhook_id: str, **kwargs: Any) -> JsonReply:
        work = partial(rotate, self.principal.tenant_id, number(webhook_id, MISSING))
        return self.json(await self.parts.rows.run(work), 201, NO_STORE)


class WebhookTest(LeanView):
    """POST: sends a test event, 202."""

    area = "plugins"
    http_method_names = ["post"]

    async def post(self, request: Request, webhook_id: str, **kwargs: Any) -> JsonReply:
        work = partial(test, self.principal.tenant_id, number(webhook_id, MISSING))
        return self.json(await self.parts.rows.run(work), 202)


class WebhookAttempts(LeanView):
    """GET: the last tries, the newest first."""

    area = "plugins"
    http_method_names = ["get"]

    async def get(self, request: Request, webhook_id: str, **kwargs: Any) -> JsonReply:
        work = partial(attempts, self.principal.tenant_id, number(webhook_id, MISSING), page_of(request))
        return self.json(await self.parts.rows.run(work))


def listed(tenant_id: int, page: Page) -> WebhookPage:
    """Two queries."""
    found, following = cut(Webhook.objects.for_tenant(tenant_id), page)
    rows = SinkState.objects.for_tenant(tenant_id).filter(sink__in=[row.sink for row in found])
    states = {row.sink: row for row in rows}
    return WebhookPage([answer(row, states.get(row.sink)) for row in found], following)


def read(tenant_id: int, webhook_id: int) -> WebhookAnswer:
    """Raises NotFound."""
    return _told(_own(tenant_id, webhook_id))


def make(tenant_id: int, asked: WebhookBody) -> WebhookMade:
    """Raises ValidationError."""
    values = msgspec.structs.asdict(asked)
    since = values.pop("since")
    row = Webhook(tenant_id=tenant_id, **values)
    row.events = _sorted(row.events)
    if since is not None:
        row.since = datetime.fromtimestamp(since, UTC)
    secret = signing.save_webhook(webhook=row)
    return WebhookMade(**_fields(row, None), secret=secret)


def change(tenant_id: int, webhook_id: int, values: Json) -> WebhookAnswer:
    """Raises NotFound, ValidationError."""
    with transaction.atomic():
        row = _own(tenant_id, webhook_id, lock=True)
        if "events" in values:
            values["events"] = _sorted(values["events"])
        if any(getattr(row, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(row, name, value)
            signing.save_webhook(webhook=row)
    if values.get("enabled"):
        holding.try_now(tenant_id, row.sink)
    return _told(row)


def remove(tenant_id: int, webhook_id: int) -> None:
    """Raises NotFound."""
    forget_webhook(_own(tenant_id, webhook_id))


def rotate(tenant_id: int, webhook_id: int) -> WebhookMade:
    """Raises NotFound."""
    secret = signing.rotate(webhook=_own(tenant_id, webhook_id))
    row = _own(tenant_id, webhook_id)
    return WebhookMade(**_fields(row, _state(row)), secret=secret)


def test(tenant_id: int, webhook_id: int) -> TestAnswer:
    """Raises NotFound, Conflict."""
    row = _own(tenant_id, webhook_id)
    if not row.enabled:
        raise Conflict("This webhook is switched off.")
    return TestAnswer(holding.send_test(tenant_id, row.sink))


def attempts(tenant_id: int, webhook_id: int, page: Page) -> AttemptPage:
    """Raises NotFound."""
    return attempts_of(tenant_id, _own(tenant_id, webhook_id).sink, page)


def answer(row: Webhook, state: SinkState | None) -> WebhookAnswer:
    return WebhookAnswer(**_fields(row, state))


def _told(row: Webhook) -> WebhookAnswer:
    return answer(row, _state(row))


def _state(row: Webhook) -> SinkState | None:
    return SinkState.objects.for_tenant(row.tenant_id).filter(sink=row.sink).first()


def _fields(row: Webhook, state: SinkState | None) -> dict[str, Any]:
    until = row.previous_until.timestamp() if row.previous_until is not None else None
    return {
        "id": row.pk,
        "name": row.name,
        "url": row.url,
        "events": row.events,
        "content": row.content,
        "enabled": row.enabled,
        "disabled_reason": row.disabled_reason,
        "since": row.since.timestamp(),
        "created_at": row.created_at.timestamp(),
        "previous_until": until if until is not None and until > datetime.now(UTC).timestamp() else None,
        "state": sink_answer(state) if state is not None else None,
    }


def _sorted(types: list[str]) -> list[str]:
    """What is none is kept, to be refused by its name."""
    known = sorted_types(types)
    return known + [each for each in types if each not in known]


def _own(tenant_id: int, webhook_id: int, lock: bool = False) -> Webhook:
    rows = Webhook.objects.for_tenant(tenant_id)
    row = (rows.select_for_update() if lock else rows).filter(pk=webhook_id).first()
    if row is None:
        raise NotFound(MISSING)
    return row
