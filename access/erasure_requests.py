"""Asking for an erasure: whom, the job everybody can watch, and the word to a worker."""

from __future__ import annotations

from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction
from kombu.exceptions import OperationalError

from access import erasing
from access.tasks import erase_user
from compliance.models import Erasure
from engine.errors import Conflict, StoreUnavailable
from tenants import jobs, stored_keys
from tenants.keyring import TenantKeys
from tenants.models import Tenant

LONGEST: Final = 300  # characters of a user, as the journal's


def request_erasure(*, tenant: Tenant, user: str, created_by: str) -> Erasure:
    """Queues the erasure of a user as the journal calls them (`12`, `key:7`, `key:7:alice`). Blocking. Raises
    what `checked` does, and StoreUnavailable (the broker is away; the job then says so). Not within a transaction: the
    worker would be quicker than its end."""
    erasure = prepare_erasure(tenant=tenant, user=user, created_by=created_by)
    tell_worker(erasure)
    return erasure


def tell_worker(erasure: Erasure) -> None:
    """After the rows are committed: a worker that finds none leaves it at that. Raises StoreUnavailable."""
    try:
        erase_user.delay(erasure.job_id)
    except OperationalError as error:
        assert erasure.job_id is not None
        jobs.fail_job(job_id=erasure.job_id, error="No worker could be told of it: the broker is away.")
        raise StoreUnavailable() from error


def checked(*, tenant: Tenant, user: str) -> TenantKeys:
    """The keys that tell whose is what. Raises ValidationError, Conflict (a legal hold), StoreUnavailable (the tenant's
    key cannot be opened)."""
    if not user or len(user) > LONGEST or not user.isprintable():
        raise ValidationError({"user": f"1 to {LONGEST} printable characters."})
    if tenant.legal_hold:
        raise Conflict(erasing.HELD)
    keys = stored_keys.stored(tenant.pk)
    if keys is None:
        raise StoreUnavailable("The tenant's key cannot be opened.")
    return keys


def prepare_erasure(*, tenant: Tenant, user: str, created_by: str) -> Erasure:
    """The rows alone. They do not say who it is: from here on only the pseudonym is needed. Raises what `checked`
    does."""
    keys = checked(tenant=tenant, user=user)
    with transaction.atomic():
        job = jobs.queue_job(tenant_id=tenant.pk, kind=erasing.KIND, created_by=created_by)
        return Erasure.objects.create(tenant=tenant, subject=keys.pseudonym(user), requested_by=created_by, job=job)
