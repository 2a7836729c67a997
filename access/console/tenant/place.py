"""Whose console a person looks at: one of the tenants they are a member of, chosen in their web session."""

from __future__ import annotations

from typing import Final, NamedTuple

from django.http import HttpRequest
from django.utils import timezone

from engine.types import Principal
from tenants import roles
from tenants.models import Member, SupportVisit, Tenant

CHOSEN: Final = "console_tenant"  # in the web session: a tenant's id; of a form: the tenant it was opened for
VISIT: Final = "console_visit"  # a support visit's id
_KEPT: Final = "_console_place"


class Place(NamedTuple):
    """`visit` is there instead of `member` while an operator helps. `others`: whether there is a choice."""

    tenant: Tenant
    role: str
    member: Member | None = None
    visit: SupportVisit | None = None
    others: bool = False

    def may(self, area: str, access: roles.Access = "read") -> bool:
        return roles.may(self.role, area, access)

    @property
    def actor(self) -> str:
        """As versions and journal name who did something."""
        if self.visit is not None:
            return f"operator:{self.visit.operator_id}"
        return f"member:{self.member.pk}" if self.member is not None else ""

    def principal(self) -> Principal:
        """Whose turn a trial, a playground's or an explanation's is."""
        number, slug, actor = self.tenant.pk, self.tenant.slug, self.actor
        if self.member is None:
            return Principal(tenant_id=number, tenant=slug, kind="system", subject=actor, user=actor, role="operator")
        return Principal(
            tenant_id=number,
            tenant=slug,
            kind="member",
            subject=actor,
            user=str(self.member.pk),
            role=self.role,
            scopes=frozenset({"chat", "sessions"}),
            member_id=self.member.pk,
        )


def place_of(request: HttpRequest) -> Place | None:
    """None: not signed in, or a member of no tenant whose console they may open. Two queries a request."""
    if not hasattr(request, _KEPT):
        setattr(request, _KEPT, _found(request))
    found: Place | None = getattr(request, _KEPT)
    return found


def places(request: HttpRequest) -> list[Member]:
    """Every place the person could choose, by the tenants' names."""
    return [member for member in memberships(request) if opens(member)]


def memberships(request: HttpRequest) -> list[Member]:
    """All of the person's places, also where there is nothing to open."""
    if not request.user.is_authenticated:
        return []
    members = Member.objects.everywhere().filter(user=request.user).select_related("tenant")
    return list(members.order_by("tenant__name", "pk"))


def opens(member: Member) -> bool:
    return member.is_active and member.tenant.is_active and roles.may(member.role, "overview")


def _found(request: HttpRequest) -> Place | None:
    if not (request.user.is_authenticated and request.user.is_active):
        return None
    visit = _visit(request)
    if visit is not None:
        return Place(visit.tenant, "admin" if visit.may_change else "auditor", visit=visit)
    members = places(request)
    chosen = request.session.get(CHOSEN)
    member = next((member for member in members if member.tenant_id == chosen), members[0] if members else None)
    if member is None:
        return None
    return Place(member.tenant, member.role, member=member, others=len(members) > 1)


def _visit(request: HttpRequest) -> SupportVisit | None:
    number = request.session.get(VISIT)
    if number is None or not getattr(request.user, "is_superuser", False):
        return None
    visits = SupportVisit.objects.everywhere().filter(pk=number, operator=request.user, ended_at=None)
    return visits.filter(ends_at__gt=timezone.now(), tenant__is_active=True).select_related("tenant").first()
