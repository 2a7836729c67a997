"""Background work of plugins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from celery import shared_task

from plugins.intents import learning
from plugins.outbox import notices
from tenants.tasks import remembered

AGAIN: Final = {"retry_backoff": 10, "retry_backoff_max": 3600, "retry_jitter": True, "max_retries": 12}


@shared_task(bind=True, autoretry_for=(OSError,), **AGAIN)  # type: ignore[untyped-decorator]  # celery ships no types
def tell_switched_off(self: Any, tenant_id: int, webhook_id: int, had: Sequence[int] = ()) -> int:
    """Mails those who are to know that a webhook was switched off. How many. `had`: users who had one before."""
    with remembered(self, had) as reached:
        return notices.tell_switched_off(tenant_id, webhook_id, reached)


@shared_task  # type: ignore[untyped-decorator]  # celery ships no types
def train_intents(tenant_id: int) -> bool:
    """Learns the tenant's intents anew, if they changed since. Safe to run twice. Whether there was anything to do."""
    return learning.learn(tenant_id)


@shared_task  # type: ignore[untyped-decorator]
def train_stale() -> int:
    """What no worker was told of, and what was learnt with word vectors that are not here, or without those that are.
    How many tenants."""
    return sum(learning.learn(tenant_id) for tenant_id in learning.stale())
