"""Asking people by mail to join a tenant. Consoles, management API and commands call these.

The link's secret is in the mail alone; the row has its SHA-256. It is good once, for `INVITATION_DAYS`. Every refusal
is a django ValidationError with a dictionary of fields."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants import mails
from tenants.attempts import Attempts, CannotCount
from tenants.membership import check_grant
from tenants.models import Invitation, Member, Tenant, User

MAILS: Final = Attempts("invitations", 100, 3600)  # of one tenant: a stolen console must not become a mail cannon
RESENT: Final = Attempts("invitation", 5, 3600)  # to one address


def invite(*, tenant: Tenant, email: str, role: str, by: Member | None, by_role: str | None = None) -> Invitation:
    """Writes the mail too. `by_role` is that of an API key, which is nobody; with neither the platform itself asks."""
    check_grant(by.role if by is not None else by_role, role)
    _check_open(tenant)
    row = Invitation(tenant=tenant, email=email, role=role, invited_by=by.user if by is not None else None)
    row.email = row.email.strip()
    secret = _renew(row)
    _check_mails(row)
    if _member_with(tenant, row.email):
        raise ValidationError({"email": _("Whoever has this address is a member already.")})
    _withdraw_expired(tenant, row.email)
    _clean(row)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:  # at the same moment, by somebody else
        raise ValidationError({"email": _("This address has an open invitation already.")}) from None
    _send(row, secret, on_failure=lambda: row.delete())
    return row


def resend(*, invitation: Invitation) -> Invitation:
    """Another mail with another link, good from now on; the link before it is not good any more."""
    _check_open(invitation.tenant)
    _check_mails(invitation)
    with transaction.atomic():
        row = _held(models.Q(pk=invitation.pk, tenant_id=invitation.tenant_id), still_good=False)
        if row is None:
            raise ValidationError({"invitation": _("This invitation is not open any more.")})
        secret = _renew(row)
        row.save(update_fields=["digest", "expires_at"])
    _send(row, secret, on_failure=lambda: None)
    return row


def withdraw(*, invitation: Invitation) -> Invitation:
    """Its link is refused from now on. Withdrawing twice keeps the first time."""
    with transaction.atomic():
        row = _held(models.Q(pk=invitation.pk, tenant_id=invitation.tenant_id), still_good=False)
        if row is None:
            invitation.refresh_from_db()
            if invitation.accepted_at is not None:
                raise ValidationError({"invitation": _("It has been accepted: remove the member instead.")})
            return invitation
        row.withdrawn_at = timezone.now()
        row.save(update_fields=["withdrawn_at"])
    return row


def find(*, secret: str) -> Invitation | None:
    """The invitation a link is good for."""
    rows = Invitation.objects.everywhere().select_related("tenant", "invited_by")
    found = rows.filter(_open(), digest=digest(secret), expires_at__gt=timezone.now()).first()
    return found if found is not None and _joinable(found.tenant) else None


def accept(*, secret: str, user: User) -> Member:
    """Whoever has the link joins, whatever their address: it was theirs to give away. But a member who was switched off
    comes back only by an invitation to their own address, made since then: nobody else's link lets them in again."""
    with transaction.atomic():
        row = _held(models.Q(digest=digest(secret)), still_good=True)
        if row is None or not _joinable(row.tenant):
            raise ValidationError({"invitation": _("This invitation is not good any more. Ask for another one.")})
        member = Member.objects.for_tenant(row.tenant_id).filter(user=user).first()
        if member is not None and member.is_active:
            raise ValidationError({"invitation": _("You are a member of this tenant already.")})
        if member is not None and user.email.casefold() != row.email.casefold():
            raise ValidationError(
                {"invitation": _("You are switched off in this tenant. Ask its owners to let you in.")}
            )
        row.accepted_at = timezone.now()
        row.save(update_fields=["accepted_at"])
        if member is None:
            member = Member(tenant=row.tenant, user=user)
        member.role, member.is_active = row.role, True
        member.full_clean()
        member.save()
    return member


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _renew(row: Invitation) -> str:
    secret = secrets.token_urlsafe(32)
    row.digest = digest(secret)
    row.expires_at = timezone.now() + timedelta(days=settings.INVITATION_DAYS)
    return secret


def _open() -> models.Q:
    return models.Q(accepted_at=None, withdrawn_at=None)


def _held(which: models.Q, *, still_good: bool) -> Invitation | None:
    """The open row, held until the transaction ends: whoever comes second waits here and then finds it used. The
    update changes nothing; it is the one statement that checks and locks in every database."""
    rows = Invitation.objects.everywhere().filter(which, _open())
    if still_good:
        rows = rows.filter(expires_at__gt=timezone.now())
    if not rows.update(email=models.F("email")):
        return None
    return rows.select_related("tenant").get()


def _joinable(tenant: Tenant) -> bool:
    return tenant.is_active and tenant.closed_at is None


def _check_open(tenant: Tenant) -> None:
    if not _joinable(tenant):
        raise ValidationError({"tenant": _("This tenant is suspended.")})


def _check_mails(row: Invitation) -> None:
    try:
        wait = max(MAILS.take(str(row.tenant_id)).wait, RESENT.take(f"{row.tenant_id} {row.email.casefold()}").wait)
    except CannotCount:
        raise ValidationError({"email": _("Mails cannot be sent at the moment. Try again soon.")}) from None
    if wait:
        raise ValidationError({"email": _("Too many invitations within an hour. Try again later.")})


def _member_with(tenant: Tenant, email: str) -> bool:
    members = Member.objects.for_tenant(tenant.pk).filter(is_active=True)
    return members.filter(user__email__iexact=email).exists()


def _withdraw_expired(tenant: Tenant, email: str) -> None:
    """An open row that nobody can use any more must not stand in the way of another."""
    rows = Invitation.objects.for_tenant(tenant.pk).filter(_open(), email__iexact=email)
    for row in rows.filter(expires_at__lte=timezone.now()):
        row.withdrawn_at = timezone.now()
        row.save(update_fields=["withdrawn_at"])


def _clean(row: Invitation) -> None:
    """What a constraint says stands beside the address, the field people can change."""
    try:
        row.full_clean(exclude={"digest"})
    except ValidationError as error:
        messages = error.message_dict
        if "__all__" in messages:
            messages.setdefault("email", []).extend(messages.pop("__all__"))
        raise ValidationError(messages) from None


def _send(row: Invitation, secret: str, *, on_failure: object) -> None:
    assert callable(on_failure)
    try:
        mails.send_invitation(row, secret)
    except mails.NotSent:
        on_failure()
        raise ValidationError({"email": _("The mail could not be sent. Try again later.")}) from None
