"""`/api/allowances`: limits and budgets of single members, keys and models of a tenant. Its own are the platform's to
set (`/api/tenant`)."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from django.db import transaction
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.limit_bodies import LimitsBody, LimitsPatch
from access.management.paging import Number, Page, cut, number, one_of, page_of
from access.views import LeanView
from engine.errors import InvalidRequest, NotFound
from engine.types import Json
from tenants import allowances
from tenants.models import Allowance, ApiKey, Member, Tenant
from tenants.scoping import ScopedQuerySet

MISSING: Final = "There is no such allowance."
KINDS: Final = ("member", "key", "model")

Kind = Literal["member", "key", "model"]
AtLimitName = Literal["", "refuse", "cheaper"]
ModelName = Annotated[str, Meta(max_length=200)]


class AllowanceBody(LimitsBody, kw_only=True, forbid_unknown_fields=True):
    """Of one `member` or `key` (ids) or `model` (a public name), just one of them. A limit that is null is none.
    Money in the unit prices have, with up to six decimals; `at_limit` empty: as the tenant says."""

    member: Number | None = None
    key: Number | None = None
    model: ModelName = ""
    at_limit: AtLimitName = ""


class AllowancePatch(LimitsPatch, kw_only=True, forbid_unknown_fields=True):
    """Which limits are to change; what is absent stays, null takes a limit away."""

    at_limit: AtLimitName | UnsetType = UNSET


class AllowanceAnswer(msgspec.Struct, kw_only=True):
    """Limits of the `member`, `key` or `model`; `subject` is how people call it. `created_at` is in Unix seconds."""

    id: int
    of: Kind
    member: int | None
    key: int | None
    model: str
    subject: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_turns: int | None
    money_per_day: float | None
    money_per_month: float | None
    at_limit: AtLimitName
    created_at: float


class AllowancePage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    allowances: list[AllowanceAnswer]
    next: int | None


class AllowanceList(LeanView):
    """GET: the tenant's allowances. POST: gives one, 201."""

    area = "limits"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        page = page_of(request, "of")
        one_of(page, "of", KINDS)
        return self.json(await self.parts.rows.run(partial(listed, self.principal.tenant_id, page)))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        asked = schemas.fields(self.body(), AllowanceBody)
        return self.json(await self.parts.rows.run(partial(make, self.principal.tenant_id, asked)), status=201)


class AllowanceDetail(LeanView):
    """GET, PATCH (what changes) and DELETE: without an allowance the tenant's own limits alone hold."""

    area = "limits"
    http_method_names = ["get", "patch", "delete"]

    async def get(self, request: Request, allowance_id: str, **kwargs: Any) -> JsonReply:
        work = partial(_own, self.principal.tenant_id, number(allowance_id, MISSING))
        return self.json(answer(await self.parts.rows.run(work)))

    async def patch(self, request: Request, allowance_id: str, **kwargs: Any) -> JsonReply:
        found = number(allowance_id, MISSING)
        values = schemas.given(schemas.fields(self.body(), AllowancePatch))
        return self.json(await self.parts.rows.run(partial(change, self.principal.tenant_id, found, values)))

    async def delete(self, request: Request, allowance_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(remove, self.principal.tenant_id, number(allowance_id, MISSING)))
        return HttpResponse(status=204)


def listed(tenant_id: int, page: Page) -> AllowancePage:
    """One query."""
    rows = _rows(tenant_id)
    if kind := page.filters["of"]:
        rows = rows.filter(of=kind)
    found, following = cut(rows, page)
    return AllowancePage([answer(row) for row in found], following)


def make(tenant_id: int, asked: AllowanceBody) -> AllowanceAnswer:
    """Raises InvalidRequest, ValidationError."""
    kind, subject = _subject(tenant_id, asked)
    limits = {name: getattr(asked, name) for name in allowances.LIMITS}
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update().get(pk=tenant_id)
        if _rows(tenant_id).filter(of=kind, **subject).exists():
            raise InvalidRequest(f"{kind}: there is an allowance of this already.", param=kind)
        return answer(allowances.save_allowance(tenant=tenant, of=kind, **subject, **limits))


def change(tenant_id: int, allowance_id: int, values: Json) -> AllowanceAnswer:
    """Raises NotFound, ValidationError."""
    row = _own(tenant_id, allowance_id)
    if not values:
        return answer(row)
    changed = allowances.save_allowance(
        tenant=row.tenant, of=row.of, member=row.member, key=row.key, model=row.model, **values
    )
    return answer(changed)


def remove(tenant_id: int, allowance_id: int) -> None:
    """Raises NotFound."""
    allowances.remove_allowance(allowance=_own(tenant_id, allowance_id))


def answer(row: Allowance) -> AllowanceAnswer:
    kind: Any = row.of
    at_limit: Any = row.at_limit
    return AllowanceAnswer(
        id=row.pk,
        of=kind,
        member=row.member_id,
        key=row.key_id,
        model=row.model,
        subject=_called(row),
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        concurrent_turns=row.concurrent_turns,
        money_per_day=float(row.money_per_day) if row.money_per_day is not None else None,
        money_per_month=float(row.money_per_month) if row.money_per_month is not None else None,
        at_limit=at_limit,
        created_at=row.created_at.timestamp(),
    )


def _called(row: Allowance) -> str:
    if row.member is not None:
        return row.member.user.get_username()
    return row.key.name if row.key is not None else row.model


def _subject(tenant_id: int, asked: AllowanceBody) -> tuple[Kind, Json]:
    """Says the same of what nobody has and of another tenant's. Raises InvalidRequest."""
    named = [name for name in KINDS if getattr(asked, name)]
    if len(named) != 1:
        raise InvalidRequest("member: name just one member, key or model.", param="member")
    if asked.model:
        return "model", {"model": asked.model.strip()}
    if asked.member is not None:
        member = Member.objects.for_tenant(tenant_id).select_related("user").filter(pk=asked.member).first()
        if member is None:
            raise InvalidRequest("member: there is none like this.", param="member")
        return "member", {"member": member}
    key = ApiKey.objects.for_tenant(tenant_id).filter(pk=asked.key).first()
    if key is None:
        raise InvalidRequest("key: there is none like this.", param="key")
    return "key", {"key": key}


def _rows(tenant_id: int) -> ScopedQuerySet[Allowance]:
    return Allowance.objects.for_tenant(tenant_id).select_related("member__user", "key")


def _own(tenant_id: int, allowance_id: int) -> Allowance:
    row = _rows(tenant_id).select_related("tenant", "member__user", "key").filter(pk=allowance_id).first()
    if row is None:
        raise NotFound(MISSING)
    return row
