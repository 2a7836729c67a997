"""Closing a tenant: from now on nobody is let in, and when its days are over it may be deleted. Until then it can be
taken back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants import jobs
from tenants.models import Job, Tenant

KIND: Final = "close_tenant"
DELETION: Final = "delete_tenant"  # the kind of the job that says one has begun


def close(*, tenant: Tenant, confirmed: str, created_by: str) -> Tenant:
    """`confirmed` is the tenant's short name, typed by whoever asks. Closing twice keeps the first time."""
    if confirmed != tenant.slug:
        raise ValidationError({"confirmed": _("Type the tenant's short name to confirm.")})
    with transaction.atomic():
        row = Tenant.objects.select_for_update().get(pk=tenant.pk)
        if row.closed_at is None:
            job = jobs.queue_job(
                tenant_id=row.pk, kind=KIND, arguments={"was_active": row.is_active}, created_by=created_by
            )
            jobs.finish_job(job_id=job.pk)
            row.closed_at, row.is_active = timezone.now(), False
            row.save(update_fields=["closed_at", "is_active"])
    return row


def reopen(*, tenant: Tenant) -> Tenant:
    """As it was before: one that was suspended by then is so again, and one of which that is not known any more."""
    with transaction.atomic():
        row = Tenant.objects.select_for_update().get(pk=tenant.pk)
        if row.closed_at is None:
            raise ValidationError({"tenant": _("This tenant is not closed.")})
        if Job.objects.for_tenant(row.pk).filter(kind=DELETION).exists():
            raise ValidationError({"tenant": _("Its deletion has begun: it cannot be taken back any more.")})
        closed = Job.objects.for_tenant(row.pk).filter(kind=KIND).order_by("-pk").first()
        row.closed_at, row.is_active = None, bool(closed is not None and closed.arguments.get("was_active"))
        row.save(update_fields=["closed_at", "is_active"])
    return row


def deletable_from(tenant: Tenant) -> datetime | None:
    """None: it is not closed."""
    return None if tenant.closed_at is None else tenant.closed_at + timedelta(days=settings.OFFBOARDING_DAYS)
