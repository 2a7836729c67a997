"""`/api/tenants`: the platform's tenants, for its operators."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.limit_bodies import Count, LimitsBody, LimitsPatch
from access.management.operators import OperatorView
from access.management.own_tenant import AtLimitName, Milliseconds, TenantName, ZoneName
from access.management.paging import Line, Page, cut, number, one_of, page_of
from engine.errors import Conflict, NotFound
from engine.types import Json
from tenants import invitations, services
from tenants.models import Role, Tenant

MISSING: Final = "There is no such tenant."
STATES: Final = ("active", "suspended", "closed")
MONEY: Final = ("money_per_day", "money_per_month")

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")]
Share = Annotated[int, Meta(ge=1, le=100)]
Email = Annotated[str, Meta(min_length=3, max_length=254)]
ModelName = Annotated[str, Meta(max_length=200)]
Mebibytes = Annotated[int, Meta(ge=2, le=20)]


class TenantBody(LimitsBody, kw_only=True, forbid_unknown_fields=True):
    """A new tenant. `owner_email`: who is asked by mail to own it; `body_limit`: MiB that a request may have, null: as
    for everybody."""

    slug: Slug
    name: TenantName
    owner_email: Email | None = None
    time_zone: ZoneName = "UTC"
    at_limit: AtLimitName = "refuse"
    share: Share = 1
    body_limit: Mebibytes | None = None


class TenantChange(LimitsPatch, kw_only=True, forbid_unknown_fields=True):
    """What of a tenant is to change; what is absent stays, null takes a limit away or leaves it to the platform. Not
    active: its callers are refused from the next second on."""

    name: TenantName | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    time_zone: ZoneName | UnsetType = UNSET
    at_limit: AtLimitName | UnsetType = UNSET
    share: Share | UnsetType = UNSET
    body_limit: Mebibytes | None | UnsetType = UNSET
    session_ttl: Count | None | UnsetType = UNSET
    session_retention_days: Count | None | UnsetType = UNSET
    snapshot_every: Count | None | UnsetType = UNSET
    resume_grace: Count | None | UnsetType = UNSET
    summary_model: ModelName | UnsetType = UNSET
    cache_ttl: Count | None | UnsetType = UNSET
    cache_sampled: bool | UnsetType = UNSET
    coalesce: bool | UnsetType = UNSET
    stream_interval: Milliseconds | None | UnsetType = UNSET
    retention_days: Count | None | UnsetType = UNSET
    legal_hold: bool | UnsetType = UNSET
    legal_hold_note: Line | UnsetType = UNSET


class TenantDetailAnswer(msgspec.Struct, kw_only=True):
    """A tenant as its operators see it. Times are Unix seconds; `closed_at` null: it is not being taken off the
    platform."""

    id: int
    slug: str
    name: str
    is_active: bool
    created_at: float
    closed_at: float | None
    time_zone: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_turns: int | None
    money_per_day: float | None
    money_per_month: float | None
    at_limit: AtLimitName
    share: int
    body_limit: int | None
    session_ttl: int | None
    session_retention_days: int | None
    snapshot_every: int | None
    resume_grace: int | None
    summary_model: str
    cache_ttl: int | None
    cache_sampled: bool
    coalesce: bool
    stream_interval: int | None
    retention_days: int | None
    legal_hold: bool
    legal_hold_note: str


class TenantPage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    tenants: list[TenantDetailAnswer]
    next: int | None


class TenantList(OperatorView):
    """GET: all tenants. POST: makes one, 201."""

    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        page = page_of(request, "search", "state")
        state = one_of(page, "state", STATES)
        return self.json(await self.parts.rows.run(partial(listed, page, state)))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        values = _stored(schemas.fields(self.body(), TenantBody))
        return self.json(await self.parts.trials.run(partial(make, values)), status=201)


class TenantDetail(OperatorView):
    """GET and PATCH of one tenant."""

    http_method_names = ["get", "patch"]

    async def get(self, request: Request, tenant_id: str, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(read, number(tenant_id, MISSING))))

    async def patch(self, request: Request, tenant_id: str, **kwargs: Any) -> JsonReply:
        found = number(tenant_id, MISSING)
        values = _stored(schemas.fields(self.body(), TenantChange))
        return self.json(await self.parts.rows.run(partial(change, found, values)))


def listed(page: Page, state: str = "") -> TenantPage:
    """One query."""
    rows = Tenant.objects.all()
    if search := page.filters["search"]:
        rows = rows.filter(Q(name__icontains=search) | Q(slug__icontains=search))
    if state:
        closed = Q(closed_at__isnull=False)
        wanted = {"active": Q(is_active=True) & ~closed, "suspended": Q(is_active=False) & ~closed, "closed": closed}
        rows = rows.filter(wanted[state])
    found, following = cut(rows, page)
    return TenantPage([answer(row) for row in found], following)


def read(tenant_id: int) -> TenantDetailAnswer:
    """Raises NotFound."""
    row = Tenant.objects.filter(pk=tenant_id).first()
    if row is None:
        raise NotFound(MISSING)
    return answer(row)


def make(values: Json) -> TenantDetailAnswer:
    """Nothing is made where the owner's mail cannot be sent, which is waited for. Raises ValidationError."""
    email = values.pop("owner_email")
    with transaction.atomic():
        tenant = services.create_tenant(**values)
        if email is not None:
            try:
                invitations.invite(tenant=tenant, email=email, role=Role.OWNER, by=None)
            except ValidationError as error:
                raise _at_owner(error) from None
    return answer(tenant)


def change(tenant_id: int, values: Json) -> TenantDetailAnswer:
    """Raises NotFound, Conflict, ValidationError."""
    with transaction.atomic():
        row = Tenant.objects.select_for_update().filter(pk=tenant_id).first()
        if row is None:
            raise NotFound(MISSING)
        if row.closed_at is not None and values.get("is_active"):
            raise Conflict("This tenant is being taken off the platform.")
        changed = {name: value for name, value in values.items() if getattr(row, name) != value}
        for name, value in changed.items():
            setattr(row, name, value)
        if changed:
            row.full_clean(exclude={"store_url"})
            row.save(update_fields=[*changed])
    return answer(row)


def answer(row: Tenant) -> TenantDetailAnswer:
    values = {name: getattr(row, name) for name in TenantDetailAnswer.__struct_fields__}
    for name in MONEY:
        values[name] = float(values[name]) if values[name] is not None else None
    for name in ("created_at", "closed_at"):
        values[name] = values[name].timestamp() if values[name] is not None else None
    return TenantDetailAnswer(**values)


def _at_owner(error: ValidationError) -> ValidationError:
    """What is wrong with the address stands beside the field it came in."""
    messages = error.message_dict
    return ValidationError({"owner_email": messages.pop("email", [])} if "email" in messages else messages)


def _stored(body: TenantBody | TenantChange) -> Json:
    """What was sent, as the row has it."""
    values = schemas.given(body)
    for name in MONEY:
        if values.get(name) is not None:
            values[name] = Decimal(str(values[name]))
    return values
