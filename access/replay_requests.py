"""Asking for a replay: the job everybody can watch, and the word to a worker."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from access import replaying
from access.replaying import Period
from access.tasks import replay_rules
from engine.errors import RateLimited, StoreUnavailable
from routing.models import RoutingRule
from tenants import jobs
from tenants.models import Job, Tenant

log = logging.getLogger(__name__)

FORGOTTEN: Final = timedelta(minutes=30)  # an unfinished job so old counts no more: its worker may be gone for good
PAUSE: Final = 10.0  # seconds


def request_replay(*, rules: Sequence[RoutingRule], tenant: Tenant | None, during: Period, created_by: str) -> Job:
    """Queues a replay of the scope under these rules, which are checked already. Blocking. Raises RateLimited (one is
    under way), StoreUnavailable (the broker is away; the job then says so)."""
    with transaction.atomic():
        _check_room(tenant)
        job = jobs.queue_job(
            tenant_id=tenant.pk if tenant is not None else None,
            kind=replaying.KIND,
            arguments=replaying.arguments(rules, during),
            created_by=created_by,
        )
    try:
        replay_rules.delay(job.pk)
    except OperationalError as error:
        jobs.fail_job(job_id=job.pk, error="No worker could be told of it: the broker is away.")
        raise StoreUnavailable() from error
    return job


def _check_room(tenant: Tenant | None) -> None:
    """Two that ask at the same time wait for each other."""
    if tenant is not None:
        Tenant.objects.select_for_update().filter(pk=tenant.pk).first()
    mine = Job.objects.filter(tenant__isnull=True) if tenant is None else Job.objects.for_tenant(tenant.pk)
    open_ones = mine.filter(kind=replaying.KIND, state__in=jobs.OPEN, created_at__gt=timezone.now() - FORGOTTEN)
    if open_ones.exists():
        raise RateLimited("A replay is under way already. Wait for it to end.", retry_after=PAUSE)
