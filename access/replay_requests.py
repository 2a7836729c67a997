"""Asking for a replay."""

from __future__ import annotations

from collections.abc import Sequence

from access import replaying
from access.job_requests import request_job
from access.replaying import Period
from access.tasks import replay_rules
from routing.models import RoutingRule
from tenants.models import Job, Tenant


def request_replay(*, rules: Sequence[RoutingRule], tenant: Tenant | None, during: Period, created_by: str) -> Job:
    """Queues a replay of the scope under these rules, which are checked already. Blocking. Raises RateLimited (one is
    under way), StoreUnavailable (the broker is away; the job then says so)."""
    return request_job(
        kind=replaying.KIND,
        task=replay_rules,
        arguments=replaying.arguments(rules, during),
        tenant=tenant,
        created_by=created_by,
        under_way="A replay is under way already. Wait for it to end.",
    )
