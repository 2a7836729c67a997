"""Background work of plugins."""

from __future__ import annotations

from celery import shared_task

from plugins.intents import learning


@shared_task  # type: ignore[untyped-decorator]  # celery ships no types
def train_intents(tenant_id: int) -> bool:
    """Learns the tenant's intents anew, if they changed since. Safe to run twice. Whether there was anything to do."""
    return learning.learn(tenant_id)


@shared_task  # type: ignore[untyped-decorator]
def train_stale() -> int:
    """What no worker was told of, and what was learnt with word vectors that are not here, or without those that are.
    How many tenants."""
    return sum(learning.learn(tenant_id) for tenant_id in learning.stale())
