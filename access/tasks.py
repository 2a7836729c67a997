"""Background work that tenants and operators ask for."""

from __future__ import annotations

from typing import Final

from celery import shared_task

from access import auditing, replaying

REPLAYS: Final = "replays"  # a queue of their own: they take minutes, and other work is not to wait for them


@shared_task(queue=REPLAYS)  # type: ignore[untyped-decorator]  # celery ships no types
def replay_rules(job_id: int) -> None:
    """Does the replay of this job."""
    replaying.run(job_id)


@shared_task(queue=REPLAYS)  # type: ignore[untyped-decorator]  # celery ships no types
def read_journal(job_id: int) -> None:
    """Does the search or the export of this job."""
    auditing.run(job_id)
