"""The background work of compliance."""

from __future__ import annotations

from celery import shared_task

from compliance.analysis import running


@shared_task  # type: ignore[untyped-decorator]  # celery ships no types
def analyse_journal() -> int:
    """Reads what is new in the journals, for some seconds at most: the rest is the next run's. How many entries. While
    another one runs, nothing is done."""
    return running.run().entries
