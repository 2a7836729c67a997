"""`/api/invitations`: who was asked by mail to join a tenant. The link is in the mail alone."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from django.db.models import Q
from django.http import HttpResponse
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request

from access import schemas
from access.authentication import role_of
from access.lean import JsonReply
from access.management.members import RoleName, check_grant
from access.management.paging import Page, cut, number, one_of, page_of
from access.views import LeanView
from engine.errors import Conflict, NotFound
from engine.types import Principal
from tenants import invitations
from tenants.models import Invitation, Member, Tenant
from tenants.scoping import ScopedQuerySet

MISSING: Final = "There is no such invitation."
STATES: Final = ("open", "expired", "accepted", "withdrawn")

StateName = Literal["open", "expired", "accepted", "withdrawn"]


class InvitationBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Nobody invites anybody to be more than they are."""

    email: Annotated[str, Meta(min_length=3, max_length=254)]
    role: RoleName = "member"


class InvitationAnswer(msgspec.Struct, kw_only=True):
    """An invitation. `invited_by` is the name of who did, where a person did. Times are Unix seconds."""

    id: int
    email: str
    role: str
    state: StateName
    invited_by: str | None
    created_at: float
    expires_at: float


class InvitationPage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    invitations: list[InvitationAnswer]
    next: int | None


class InvitationList(LeanView):
    """GET: the tenant's invitations. POST: sends one, 201."""

    area = "members"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        page = page_of(request, "search", "state")
        state = one_of(page, "state", STATES)
        return self.json(await self.parts.rows.run(partial(listed, self.principal.tenant_id, page, state)))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        asked = schemas.fields(self.body(), InvitationBody)
        check_grant(role_of(self.principal), asked.role)
        return self.json(await self.parts.trials.run(partial(make, self.principal, asked)), status=201)


class InvitationDetail(LeanView):
    """GET and DELETE, which withdraws: the link is refused from then on."""

    area = "members"
    http_method_names = ["get", "delete"]

    async def get(self, request: Request, invitation_id: str, **kwargs: Any) -> JsonReply:
        work = partial(_own, self.principal.tenant_id, number(invitation_id, MISSING))
        return self.json(answer(await self.parts.rows.run(work)))

    async def delete(self, request: Request, invitation_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(withdraw, self.principal, number(invitation_id, MISSING)))
        return HttpResponse(status=204)


class InvitationResending(LeanView):
    """POST: another mail, with another link."""

    area = "members"
    http_method_names = ["post"]

    async def post(self, request: Request, invitation_id: str, **kwargs: Any) -> JsonReply:
        found = number(invitation_id, MISSING)
        return self.json(await self.parts.trials.run(partial(resend, self.principal, found)))


def listed(tenant_id: int, page: Page, state: str = "") -> InvitationPage:
    """One query."""
    rows = _rows(tenant_id)
    if search := page.filters["search"]:
        rows = rows.filter(email__icontains=search)
    waiting, now = Q(accepted_at=None, withdrawn_at=None), timezone.now()
    if state:
        wanted = {
            "open": waiting & Q(expires_at__gt=now),
            "expired": waiting & Q(expires_at__lte=now),
            "accepted": ~Q(accepted_at=None),
            "withdrawn": ~Q(withdrawn_at=None),
        }
        rows = rows.filter(wanted[state])
    found, following = cut(rows, page)
    return InvitationPage([answer(row) for row in found], following)


def make(principal: Principal, asked: InvitationBody) -> InvitationAnswer:
    """Blocks for as long as the mail takes. Raises ValidationError."""
    row = invitations.invite(
        tenant=Tenant.objects.get(pk=principal.tenant_id),
        email=asked.email,
        role=asked.role,
        by=_asker(principal),
        by_role=role_of(principal),
    )
    return answer(row)


def resend(principal: Principal, invitation_id: int) -> InvitationAnswer:
    """Blocks for as long as the mail takes. Raises NotFound, Forbidden, Conflict, ValidationError."""
    row = _own(principal.tenant_id, invitation_id)
    check_grant(role_of(principal), row.role)
    if row.accepted_at is not None or row.withdrawn_at is not None:
        raise Conflict("This invitation is not open any more.")
    return answer(invitations.resend(invitation=row))


def withdraw(principal: Principal, invitation_id: int) -> None:
    """Raises NotFound, Forbidden, Conflict."""
    row = _own(principal.tenant_id, invitation_id)
    check_grant(role_of(principal), row.role)
    if row.accepted_at is not None:
        raise Conflict("It has been accepted: remove the member instead.")
    invitations.withdraw(invitation=row)


def answer(row: Invitation) -> InvitationAnswer:
    return InvitationAnswer(
        id=row.pk,
        email=row.email,
        role=row.role,
        state=_state(row),
        invited_by=row.invited_by.get_username() if row.invited_by is not None else None,
        created_at=row.created_at.timestamp(),
        expires_at=row.expires_at.timestamp(),
    )


def _state(row: Invitation) -> StateName:
    if row.accepted_at is not None:
        return "accepted"
    if row.withdrawn_at is not None:
        return "withdrawn"
    return "expired" if row.expires_at <= timezone.now() else "open"


def _asker(principal: Principal) -> Member | None:
    """The member who asks; None: a key."""
    rows = Member.objects.for_tenant(principal.tenant_id).select_related("user")
    return rows.filter(pk=principal.member_id).first() if principal.member_id is not None else None


def _rows(tenant_id: int) -> ScopedQuerySet[Invitation]:
    return Invitation.objects.for_tenant(tenant_id).select_related("invited_by")


def _own(tenant_id: int, invitation_id: int) -> Invitation:
    row = _rows(tenant_id).select_related("tenant", "invited_by").filter(pk=invitation_id).first()
    if row is None:
        raise NotFound(MISSING)
    return row
