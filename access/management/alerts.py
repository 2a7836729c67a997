"""`/api/alerts`: what was found at a tenant, and that somebody knows of it."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import msgspec
from rest_framework.request import Request

from access.alerting.knowing import acknowledge
from access.lean import JsonReply
from access.management.paging import Page, cut, number, page_of
from access.views import LeanView
from engine.errors import NotFound
from tenants.models import Alert

MISSING: Final = "There is no such alert."


class AlertAnswer(msgspec.Struct, kw_only=True):
    """`state` is `pending` (watched, told nobody yet), `firing` or `resolved`. Times are Unix seconds; `value` is the
    last bad figure, in the unit of `kind` (`docs/alerts.md`)."""

    id: int
    kind: str
    subject: str
    state: str
    value: float
    threshold: float
    since: float
    fired_at: float | None
    resolved_at: float | None
    acknowledged_at: float | None
    acknowledged_by: str


class AlertPage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    alerts: list[AlertAnswer]
    next: int | None


class AlertList(LeanView):
    """GET: the tenant's alerts."""

    area = "settings"
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(listed, self.principal.tenant_id, page_of(request))))


class AlertAcknowledgement(LeanView):
    """POST: it is not told again until it is over. Who was first stays."""

    area = "settings"
    http_method_names = ["post"]

    async def post(self, request: Request, alert_id: str, **kwargs: Any) -> JsonReply:
        work = partial(known, self.principal.tenant_id, number(alert_id, MISSING), self.principal.subject)
        return self.json(await self.parts.rows.run(work))


def listed(tenant_id: int, page: Page) -> AlertPage:
    """One query."""
    found, following = cut(Alert.objects.for_tenant(tenant_id), page)
    return AlertPage([answer(row) for row in found], following)


def known(tenant_id: int, alert_id: int, by: str) -> AlertAnswer:
    """Raises NotFound."""
    row = Alert.objects.for_tenant(tenant_id).filter(pk=alert_id).first()
    if row is None:
        raise NotFound(MISSING)
    acknowledge(row, by)
    return answer(row)


def answer(row: Alert) -> AlertAnswer:
    names = AlertAnswer.__struct_fields__
    return AlertAnswer(**{name: getattr(row, name) for name in names})
