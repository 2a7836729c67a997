"""Asking for a search or an export of the journal. That somebody did is journalled too."""

from __future__ import annotations

from typing import Final

from access import auditing
from access.job_requests import request_job
from access.tasks import read_journal
from compliance import changes
from engine.types import Json
from tenants.models import Job, Tenant

ASKED: Final = "asked"


def request_search(*, arguments: Json, tenant: Tenant | None, created_by: str) -> Job:
    """`arguments` are `auditing.search_arguments`; without a tenant all are searched. Blocking. Raises RateLimited (one
    is under way), StoreUnavailable (the broker is away)."""
    return _request(auditing.SEARCH, arguments, tenant, created_by, "A search is under way already.")


def request_export(*, arguments: Json, tenant: Tenant | None, created_by: str) -> Job:
    """The same with `auditing.export_arguments`."""
    return _request(auditing.EXPORT, arguments, tenant, created_by, "An export is under way already.")


def _request(kind: str, arguments: Json, tenant: Tenant | None, created_by: str, under_way: str) -> Job:
    job = request_job(
        kind=kind,
        task=read_journal,
        arguments=arguments,
        tenant=tenant,
        created_by=created_by,
        under_way=f"{under_way} Wait for it to end.",
    )
    changes.record(
        action=ASKED,
        model=Job._meta.label_lower,
        row=str(job.pk),
        label=kind,
        tenant_id=job.tenant_id or changes.PLATFORM,
        after=arguments,
    )
    return job
