"""Asking for an export of a tenant's. That somebody did is journalled too."""

from __future__ import annotations

from typing import Final

from access import exporting
from access.job_requests import request_job
from access.tasks import export_tenant
from compliance import changes
from engine.types import Json
from tenants.models import Job, Tenant

ASKED: Final = "asked"


def request_tenant_export(*, kind: str, tenant: Tenant, arguments: Json, created_by: str) -> Job:
    """`kind` is one of `exporting.KINDS`. Blocking. Raises RateLimited (one is under way), StoreUnavailable (the broker
    is away)."""
    if kind not in exporting.KINDS:
        raise ValueError(kind)
    job = request_job(
        kind=kind,
        task=export_tenant,
        arguments=arguments,
        tenant=tenant,
        created_by=created_by,
        under_way="An export of this kind is under way already. Wait for it to end.",
    )
    changes.record(
        action=ASKED,
        model=Job._meta.label_lower,
        row=str(job.pk),
        label=kind,
        tenant_id=tenant.pk,
        after=arguments,
    )
    return job
