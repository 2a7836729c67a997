"""`/api/members`: who belongs to a tenant, and as what. New ones come by invitation (`/api/invitations`)."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Literal

import msgspec
from django.db import transaction
from django.db.models import Q
from django.http import HttpResponse
from msgspec import UNSET, UnsetType
from rest_framework.request import Request

from access import schemas
from access.authentication import role_of
from access.lean import JsonReply
from access.management.paging import Page, cut, number, one_of, page_of
from access.views import LeanView
from engine.errors import Forbidden, NotFound
from engine.types import Json, Principal
from tenants import membership, roles
from tenants.models import Member
from tenants.scoping import ScopedQuerySet

MISSING: Final = "There is no such member."

RoleName = Literal["owner", "admin", "developer", "auditor", "member"]


class MemberPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of a member is to change; what is absent stays. Not active: the person is refused within two seconds."""

    role: RoleName | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class MemberAnswer(msgspec.Struct, kw_only=True):
    """A member. `created_at` is in Unix seconds."""

    id: int
    username: str
    email: str
    name: str
    role: str
    is_active: bool
    created_at: float


class MemberPage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    members: list[MemberAnswer]
    next: int | None


class MemberList(LeanView):
    """GET: the tenant's members."""

    area = "members"
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        page = page_of(request, "search", "role")
        one_of(page, "role", list(roles.ROLES))
        return self.json(await self.parts.rows.run(partial(listed, self.principal.tenant_id, page)))


class MemberDetail(LeanView):
    """GET, PATCH (role, active or not) and DELETE: the person leaves this tenant and stays in their others."""

    area = "members"
    http_method_names = ["get", "patch", "delete"]

    async def get(self, request: Request, member_id: str, **kwargs: Any) -> JsonReply:
        work = partial(_own, self.principal.tenant_id, number(member_id, MISSING))
        return self.json(answer(await self.parts.rows.run(work)))

    async def patch(self, request: Request, member_id: str, **kwargs: Any) -> JsonReply:
        found = number(member_id, MISSING)
        values = schemas.given(schemas.fields(self.body(), MemberPatch))
        return self.json(await self.parts.rows.run(partial(change, self.principal, found, values)))

    async def delete(self, request: Request, member_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(remove, self.principal, number(member_id, MISSING)))
        return HttpResponse(status=204)


def listed(tenant_id: int, page: Page) -> MemberPage:
    """One query."""
    rows = _members(tenant_id)
    if role := page.filters["role"]:
        rows = rows.filter(role=role)
    if search := page.filters["search"]:
        rows = rows.filter(Q(user__username__icontains=search) | Q(user__email__icontains=search))
    found, following = cut(rows, page)
    return MemberPage([answer(row) for row in found], following)


def change(principal: Principal, member_id: int, values: Json) -> MemberAnswer:
    """Raises NotFound, Forbidden, ValidationError."""
    role = role_of(principal)
    with transaction.atomic():
        row = _manageable(principal, member_id)
        if "role" in values and values["role"] != row.role:
            check_grant(role, values["role"])
            membership.change_role(member=row, role=values["role"], by_role=role)
        if "is_active" in values and values["is_active"] != row.is_active:
            membership.switch(member=row, active=values["is_active"], by_role=role)
        return answer(_own(principal.tenant_id, member_id))


def remove(principal: Principal, member_id: int) -> None:
    """Raises NotFound, Forbidden, ValidationError."""
    membership.remove(member=_manageable(principal, member_id), by_role=role_of(principal))


def check_grant(role: str, granted: str) -> None:
    """Raises Forbidden at the field `role`."""
    if not roles.may_grant(role, granted):
        raise Forbidden("role: more than you may give.", param="role")


def answer(row: Member) -> MemberAnswer:
    return MemberAnswer(
        id=row.pk,
        username=row.user.get_username(),
        email=row.user.email,
        name=row.user.get_full_name(),
        role=row.role,
        is_active=row.is_active,
        created_at=row.created_at.timestamp(),
    )


def _manageable(principal: Principal, member_id: int) -> Member:
    """Whoever may not make somebody an owner may not change one either. Raises NotFound, Forbidden."""
    row = _own(principal.tenant_id, member_id)
    if not roles.may_grant(role_of(principal), row.role):
        raise Forbidden("Your role does not allow changing this member.")
    return row


def _members(tenant_id: int) -> ScopedQuerySet[Member]:
    return Member.objects.for_tenant(tenant_id).select_related("user")


def _own(tenant_id: int, member_id: int) -> Member:
    row = _members(tenant_id).filter(pk=member_id).first()
    if row is None:
        raise NotFound(MISSING)
    return row
