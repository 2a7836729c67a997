"""`/api/tenant` and `/api/me`: the caller's own tenant, and who the caller is."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from django.db import transaction
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.authentication import role_of
from access.lean import JsonReply
from access.views import LeanView
from engine.types import Json, Principal
from tenants import roles, walls
from tenants.models import ApiKey, Member, Tenant

TenantName = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
ZoneName = Annotated[str, Meta(min_length=1, max_length=64)]
AtLimitName = Literal["refuse", "cheaper"]
Address = Annotated[str, Meta(max_length=500)]
Milliseconds = Annotated[int, Meta(ge=1, le=50)]


class TenantPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of the tenant is to change; what is absent stays. Its limits are the platform's to set."""

    name: TenantName | UnsetType = UNSET
    time_zone: ZoneName | UnsetType = UNSET
    at_limit: AtLimitName | UnsetType = UNSET
    budget_webhook: Address | UnsetType = UNSET
    stream_interval: Milliseconds | None | UnsetType = UNSET


class TenantAnswer(msgspec.Struct, kw_only=True):
    """A tenant. Limits that are null are none; `null` of the others: as the platform says. `body_limit`
    is in MiB; `budget_webhook` is shown to those who may change it; `stream_interval` is milliseconds, null: 0."""

    slug: str
    name: str
    created_at: float
    time_zone: str
    at_limit: AtLimitName
    budget_webhook: str | None
    stream_interval: int | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_turns: int | None
    money_per_day: float | None
    money_per_month: float | None
    body_limit: int | None
    session_ttl: int | None
    session_retention_days: int | None
    retention_days: int | None
    legal_hold: bool


class TenantPlace(msgspec.Struct, kw_only=True):
    """A tenant somebody belongs to, and as what."""

    slug: str
    name: str
    role: str


class MeAnswer(msgspec.Struct, kw_only=True):
    """Who asks. `role` is a member's, or the one a key's scopes stand for; `areas` is what it may `read` or `change`.
    `username` and `tenants` (all a person belongs to) are a member's, `key` is a key's name."""

    kind: Literal["key", "member", "visitor"]
    subject: str
    username: str | None
    key: str | None
    role: str
    scopes: list[str]
    areas: dict[str, Literal["read", "change"]]
    tenant: TenantPlace
    tenants: list[TenantPlace]


class OwnTenant(LeanView):
    """GET: the caller's tenant. PATCH: changes it, live in every worker within a second."""

    area = "settings"
    http_method_names = ["get", "patch"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(read, self.principal)))

    async def patch(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        values = schemas.given(schemas.fields(self.body(), TenantPatch))
        return self.json(await self.parts.rows.run(partial(change, self.principal, values)))


class Me(LeanView):
    """GET: who asks, whatever the credential is good for; a visitor's ticket is good for the chat alone."""

    needs = ("chat", "sessions", "audit", "manage")
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(who, self.principal)))


def read(principal: Principal) -> TenantAnswer:
    return answer(Tenant.objects.get(pk=principal.tenant_id), whole=_may_change(principal))


def change(principal: Principal, values: Json) -> TenantAnswer:
    """Raises ValidationError."""
    with transaction.atomic():
        row = Tenant.objects.select_for_update().get(pk=principal.tenant_id)
        changed = {name: value for name, value in values.items() if getattr(row, name) != value}
        for name, value in changed.items():
            setattr(row, name, value)
        if changed:
            row.full_clean()
            row.save(update_fields=[*changed])
    return answer(row, whole=True)


def who(principal: Principal) -> MeAnswer:
    tenant = Tenant.objects.get(pk=principal.tenant_id)
    role, scopes = role_of(principal), sorted(principal.scopes)
    found = MeAnswer(
        kind="visitor" if principal.kind == "system" else principal.kind,
        subject=principal.subject,
        username=None,
        key=None,
        role=role,
        scopes=scopes,
        areas=_areas(role),
        tenant=TenantPlace(slug=tenant.slug, name=tenant.name, role=role),
        tenants=[],
    )
    if principal.key_id is not None:
        key = ApiKey.objects.for_tenant(principal.tenant_id).filter(pk=principal.key_id).first()
        return msgspec.structs.replace(found, key=key.name if key is not None else None)
    if principal.member_id is not None:
        own = Member.objects.for_tenant(principal.tenant_id).select_related("user").filter(pk=principal.member_id)
        member = own.first()
        if member is not None:
            places = _places(member)
            return msgspec.structs.replace(found, username=member.user.get_username(), tenants=places)
    return found


def answer(row: Tenant, *, whole: bool) -> TenantAnswer:
    values = {name: getattr(row, name) for name in TenantAnswer.__struct_fields__}
    for name in ("money_per_day", "money_per_month"):
        values[name] = float(values[name]) if values[name] is not None else None
    values["created_at"] = row.created_at.timestamp()
    values["budget_webhook"] = row.budget_webhook if whole else None
    return TenantAnswer(**values)


def _areas(role: str) -> dict[str, Literal["read", "change"]]:
    return {
        area: "change" if roles.may(role, area, "change") else "read" for area in roles.AREAS if roles.may(role, area)
    }


def _may_change(principal: Principal) -> bool:
    return roles.may(role_of(principal), "settings", "change")


def _places(member: Member) -> list[TenantPlace]:
    """Every tenant the person could sign in to, by their names."""
    rows = Member.objects.everywhere().filter(user_id=member.user_id, is_active=True, tenant__is_active=True)
    with walls.lifted():  # their own memberships, in whatever tenant
        found = list(rows.select_related("tenant").order_by("tenant__name", "pk"))
    return [TenantPlace(slug=row.tenant.slug, name=row.tenant.name, role=row.role) for row in found]
