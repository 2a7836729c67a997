"""Background work that tenants and operators ask for."""

from __future__ import annotations

from celery import shared_task

from access import replaying


@shared_task  # type: ignore[untyped-decorator]  # celery ships no types
def replay_rules(job_id: int) -> None:
    """Does the replay of this job."""
    replaying.run(job_id)
