"""Background work for tenants: telling them of their budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from celery import shared_task

from tenants import warning
from tenants.limits.notices import Notice
from tenants.webhooks import AddressRefused

AGAIN: Final = {"retry_backoff": 10, "retry_backoff_max": 3600, "retry_jitter": True, "max_retries": 12}


@shared_task  # type: ignore[untyped-decorator]  # celery ships no types
def deliver_warnings() -> int:
    """Takes what the web workers left to be told. How much."""
    return warning.hand_over(_spread)


def _spread(notice: dict[str, Any]) -> None:
    """Each way by itself: one that fails must not repeat the other."""
    warn_by_mail.delay(notice)
    if notice["tenant_id"] is not None:
        warn_by_webhook.delay(notice)


@shared_task(bind=True, autoretry_for=(OSError,), **AGAIN)  # type: ignore[untyped-decorator]
def warn_by_mail(self: Any, notice: dict[str, Any], had: Sequence[int] = ()) -> int:
    """How many mails were sent. `had`: users who had one when it was tried before."""
    with remembered(self, had) as reached:
        return warning.send_mails(msgspec.convert(notice, Notice), reached)


@contextmanager
def remembered(task: Any, had: Sequence[int]) -> Iterator[set[int]]:
    """Users who have had a mail: where it is tried again, the task is given them as `had`, and mails them no second
    one."""
    reached = set(had)
    try:
        yield reached
    finally:
        if task.request.kwargs is not None:  # None: called as a function
            task.request.kwargs = {**task.request.kwargs, "had": sorted(reached)}


@shared_task(autoretry_for=(OSError,), **AGAIN)  # type: ignore[untyped-decorator]
def warn_by_webhook(notice: dict[str, Any]) -> bool | str:
    """Whether there was one to be told, or why it is not called."""
    try:
        return warning.call_webhook(msgspec.convert(notice, Notice))
    except AddressRefused as error:
        return f"refused: {error}"
