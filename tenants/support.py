"""Support visits: an operator works in a tenant's console for a while, seen by the tenant and recorded.

A visit is a row: its beginning and its end are changes of configuration, which the journal has. It ends by itself; an
owner of the tenant, or the operator, can end it before. Where it ended, or the operator is none any more, the next
request already finds no place."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import SupportVisit, Tenant, User
from tenants.scoping import ScopedQuerySet

LONGEST: Final = 60  # minutes


def start_visit(
    *, operator: User, tenant: Tenant, reason: str, may_change: bool = False, minutes: int = LONGEST
) -> SupportVisit:
    """Whatever visit the operator was on ends. Raises ValidationError."""
    if not (operator.is_active and operator.is_superuser):
        raise ValidationError(_("Only operators of the platform visit a tenant's console."))
    if not tenant.is_active:
        raise ValidationError({"tenant": _("This tenant is suspended: nobody can open its console.")})
    if not 1 <= minutes <= LONGEST:
        raise ValidationError({"minutes": _("From 1 to %(longest)s minutes.") % {"longest": LONGEST}})
    visit = SupportVisit(
        tenant=tenant,
        operator=operator,
        reason=reason,
        may_change=may_change,
        ends_at=timezone.now() + timedelta(minutes=minutes),
    )
    visit.full_clean()
    for other in going_on(SupportVisit.objects.everywhere().filter(operator=operator)):
        end_visit(visit=other)
    visit.save()
    return visit


def end_visit(*, visit: SupportVisit) -> bool:
    """False: it is over already."""
    if not is_going_on(visit):
        return False
    visit.ended_at = timezone.now()
    visit.save(update_fields=["ended_at"])
    return True


def going_on(visits: ScopedQuerySet[SupportVisit]) -> ScopedQuerySet[SupportVisit]:
    """Those of them that are not over."""
    return visits.filter(ended_at=None, ends_at__gt=timezone.now())


def visits_now(tenant_id: int) -> list[SupportVisit]:
    """Who is visiting the tenant, the last to come first; one query."""
    return list(going_on(SupportVisit.objects.for_tenant(tenant_id)).select_related("operator")[:10])


def is_going_on(visit: SupportVisit) -> bool:
    return visit.ended_at is None and visit.ends_at > timezone.now()
