"""Asking for a dry run. It shows what people said and were answered: that somebody did is journalled too."""

from __future__ import annotations

from access import dry_running
from access.audit_requests import ASKED
from access.dry_running import DryRunReport, Wanted
from access.job_requests import request_job
from access.tasks import dry_run_plugin
from compliance import changes
from compliance.journal import reader
from engine.types import Json
from plugins.models import PluginActivation
from tenants.models import Job, Tenant


def run_now(*, wanted: Wanted, tenant: Tenant, effects: bool) -> DryRunReport:
    """Of at most `dry_running.AT_ONCE` turns. Blocking. Raises StoreUnavailable, and as `dry_running.check_effects` and
    `report` do."""
    dry_running.check_effects(wanted, accepted=effects)
    _record(wanted, tenant)
    return reader.readable(lambda: dry_running.report(wanted, tenant))


def request_dry_run(*, wanted: Wanted, tenant: Tenant, effects: bool, created_by: str) -> Job:
    """Queues it. Blocking. Raises as the checks of `dry_running` do, RateLimited (one is under way), StoreUnavailable
    (the broker is away; the job then says so)."""
    dry_running.check_effects(wanted, accepted=effects)
    dry_running.check(wanted, tenant.pk)
    job = request_job(
        kind=dry_running.KIND,
        task=dry_run_plugin,
        arguments=dry_running.arguments(wanted, tenant.pk),
        tenant=tenant,
        created_by=created_by,
        under_way="A dry run is under way already. Wait for it to end.",
    )
    _record(wanted, tenant, job)
    return job


def _record(wanted: Wanted, tenant: Tenant, job: Job | None = None) -> None:
    which: Json = {"turn": wanted.turn_id} if wanted.turn_id else {"last": wanted.last}
    times = {"from": wanted.since, "to": wanted.until}
    changes.record(
        action=ASKED,
        model=PluginActivation._meta.label_lower,
        row=str(job.pk) if job is not None else "",
        label=f"{dry_running.KIND} {wanted.plugin}",
        tenant_id=tenant.pk,
        after={**which, **{name: value for name, value in times.items() if value is not None}},
    )
