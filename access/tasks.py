"""Background work that tenants and operators ask for."""

from __future__ import annotations

from typing import Final

from celery import shared_task

from access import archiving, auditing, dry_running, erasing, exporting, replaying
from access.offboarding import deleting
from access.offboarding import exporting as leaving

REPLAYS: Final = "replays"  # a queue of their own: they take minutes, and other work is not to wait for them


@shared_task(queue=REPLAYS)  # type: ignore[untyped-decorator]  # celery ships no types
def replay_rules(job_id: int) -> None:
    """Does the replay of this job."""
    replaying.run(job_id)


@shared_task(queue=REPLAYS)  # type: ignore[untyped-decorator]  # celery ships no types
def dry_run_plugin(job_id: int) -> None:
    """Does the dry run of this job."""
    dry_running.run(job_id)


@shared_task  # type: ignore[untyped-decorator]
def erase_user(job_id: int) -> None:
    """Does the erasure of this job."""
    erasing.run(job_id)


@shared_task  # type: ignore[untyped-decorator]
def destroy_erased_keys() -> int:
    """Destroys keys of erased users that came back, from a backup or the disk of a worker that was away. How many."""
    return erasing.keys_again()


@shared_task(queue=REPLAYS)  # type: ignore[untyped-decorator]  # celery ships no types
def read_journal(job_id: int) -> None:
    """Does the search or the export of this job."""
    auditing.run(job_id)


@shared_task(queue=REPLAYS)  # type: ignore[untyped-decorator]  # celery ships no types
def export_tenant(job_id: int) -> None:
    """Does the export of this job."""
    exporting.run(job_id)


@shared_task  # type: ignore[untyped-decorator]
def archive_sessions() -> int:
    """Puts idle sessions into the archive and ends those past their retention. How many were put there."""
    return archiving.archive().archived


@shared_task  # type: ignore[untyped-decorator]
def repair_archive() -> int:
    """Finds what the archive's index does not know, and objects that no row names. How many sessions were found."""
    return archiving.repair().archived


@shared_task(queue=REPLAYS)  # type: ignore[untyped-decorator]
def export_everything(job_id: int) -> None:
    """Does the full export of this job."""
    leaving.run(job_id)


@shared_task  # type: ignore[untyped-decorator]
def delete_closed_tenants() -> int:
    """Deletes closed tenants whose days are over, and those an old backup brought back. How many."""
    back = deleting.came_back()
    found = [*back, *(tenant for tenant in deleting.due() if tenant not in back)]
    return sum(deleting.try_to_delete(tenant, back=tenant in back) for tenant in found)
