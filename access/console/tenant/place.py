"""Whose console a person looks at: one of the tenants they are a member of, chosen in their web session."""

from __future__ import annotations

from typing import Final, NamedTuple

from django.http import HttpRequest
from django.utils import timezone

from tenants import roles, walls
from tenants.models import Member, SupportVisit, Tenant

CHOSEN: Final = "console_tenant"  # in the web session: a tenant's id
VISIT: Final = "console_visit"  # a support visit's id
_KEPT: Final = "_console_place"


class Place(NamedTuple):
    """`visit` is there instead of `member` while an operator helps."""

    tenant: Tenant
    role: str
    member: Member | None = None
    visit: SupportVisit | None = None

    def may(self, area: str, access: roles.Access = "read") -> bool:
        return roles.may(self.role, area, access)


def place_of(request: HttpRequest) -> Place | None:
    """None: not signed in, or a member of no tenant whose console they may open. Two queries a request."""
    if not hasattr(request, _KEPT):
        setattr(request, _KEPT, _found(request))
    found: Place | None = getattr(request, _KEPT)
    return found


def places(request: HttpRequest) -> list[Member]:
    """Every place the person could choose, by the tenants' names."""
    if not request.user.is_authenticated:
        return []
    with walls.lifted():  # of all tenants of the one who asks
        members = Member.objects.everywhere().filter(user=request.user, is_active=True, tenant__is_active=True)
        return [each for each in members.select_related("tenant").order_by("tenant__name", "pk") if _opens(each)]


def _opens(member: Member) -> bool:
    return roles.may(member.role, "overview")


def _found(request: HttpRequest) -> Place | None:
    if not (request.user.is_authenticated and request.user.is_active):
        return None
    visit = _visit(request)
    if visit is not None:
        return Place(visit.tenant, "admin" if visit.may_change else "auditor", visit=visit)
    members = places(request)
    chosen = request.session.get(CHOSEN)
    member = next((member for member in members if member.tenant_id == chosen), members[0] if members else None)
    return Place(member.tenant, member.role, member=member) if member is not None else None


def _visit(request: HttpRequest) -> SupportVisit | None:
    number = request.session.get(VISIT)
    if number is None or not getattr(request.user, "is_superuser", False):
        return None
    visits = SupportVisit.objects.everywhere().filter(pk=number, operator=request.user, ended_at=None)
    return visits.filter(ends_at__gt=timezone.now(), tenant__is_active=True).select_related("tenant").first()
