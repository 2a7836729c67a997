"""What becomes of a tenant's members. Consoles, management API and commands call these.

`by_role` is the role of whoever asks, in the same tenant; None is the platform itself. Every refusal is a django
ValidationError with a dictionary of fields. A tenant that has an owner never loses its last one."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants import roles
from tenants.models import Invitation, Member, Role, Tenant


def change_role(*, member: Member, role: str, by_role: str | None) -> Member:
    """Counts in consoles at once, for tokens within two seconds."""
    with transaction.atomic():
        current = _locked(member)
        check_grant(by_role, current.role)
        check_grant(by_role, role)
        if current.role == Role.OWNER and role != Role.OWNER:
            _check_not_last(current, "role")
        if current.role != role:
            current.role = role
            current.save(update_fields=["role"])
    return current


def switch(*, member: Member, active: bool, by_role: str | None) -> Member:
    """Off: the person is refused within two seconds; their place and what they made stay. Invitations that wait for
    them are withdrawn: they come back when they are switched on or asked anew."""
    with transaction.atomic():
        current = _locked(member)
        check_grant(by_role, current.role)
        if not active:
            _check_not_last(current, "is_active")
        if current.is_active != active:
            current.is_active = active
            current.save(update_fields=["is_active"])
            if not active:
                withdraw_invitations(current)
    return current


def withdraw_invitations(member: Member) -> None:
    """Open ones to the person's address."""
    rows = Invitation.objects.for_tenant(member.tenant_id).filter(accepted_at=None, withdrawn_at=None)
    for row in rows.filter(email__iexact=member.user.email or "-"):
        row.withdrawn_at = timezone.now()
        row.save(update_fields=["withdrawn_at"])


def remove(*, member: Member, by_role: str | None) -> None:
    """The person stays, in their other tenants too."""
    with transaction.atomic():
        current = _locked(member)
        check_grant(by_role, current.role)
        _check_not_last(current, "member")
        current.delete()


def check_grant(by_role: str | None, role: str, field: str = "role") -> None:
    """Refuses what `by_role` may not make of anybody, nor take from whoever has it."""
    if role not in roles.ROLES:
        raise ValidationError({field: _("There is no such role.")})
    if by_role is not None and not roles.may_grant(by_role, role):
        raise ValidationError({field: _("Your role does not allow this.")})


def _locked(member: Member) -> Member:
    """The row as it is stored. Whoever else changes members of the tenant waits: two owners must not leave at once."""
    Tenant.objects.select_for_update().get(pk=member.tenant_id)
    rows = Member.objects.for_tenant(member.tenant_id).select_for_update(of=("self",))
    # with the person: behind a tenant's wall nobody sees them any more once they have left
    found = rows.select_related("user").filter(pk=member.pk).first()
    if found is None:
        raise ValidationError({"member": _("This member is not there any more.")})
    return found


def _check_not_last(member: Member, field: str) -> None:
    if member.role != Role.OWNER or not member.is_active:
        return
    owners = Member.objects.for_tenant(member.tenant_id).filter(role=Role.OWNER, is_active=True, user__is_active=True)
    if not owners.exclude(pk=member.pk).exists():
        raise ValidationError({field: _("A tenant needs an owner: make somebody else one first.")})
