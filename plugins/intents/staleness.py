"""A change of intents makes what was learnt from them out of date, in the change's own transaction, and tells a worker
once that holds. Where the worker cannot be told, the schedule finds it (`plugins.tasks.train_stale`)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from kombu.exceptions import OperationalError

from plugins import tasks
from plugins.models import Intent, TrainedIntents
from tenants.live import announce
from tenants.signals import config_changed

log = logging.getLogger(__name__)

LEARNT_FROM = {"name", "utterances", "enabled", "outside"}


def connect() -> None:
    """Called once all models are loaded."""
    config_changed.connect(_on_change, dispatch_uid="plugins.intents")


def _on_change(
    section: str, instance: Any, before: dict[str, Any] | None, after: dict[str, Any] | None, **_: object
) -> None:
    if section != "intents":
        return
    old, new = before or {}, after or {}
    if isinstance(instance, Intent):
        announce("plugins")  # the first intent puts the plugin into the tenant's chain, the last one takes it out
    if any((old.get(name) or "") != (new.get(name) or "") for name in LEARNT_FROM):
        outdate(instance.tenant_id)


def outdate(tenant_id: int) -> None:
    """What the tenant has learnt is to be learnt again."""
    rows = TrainedIntents.objects.for_tenant(tenant_id)
    if not rows.update(wanted=F("wanted") + 1):
        TrainedIntents.objects.get_or_create(tenant_id=tenant_id, defaults={"wanted": 1})
    told = _Telling(tenant_id)
    if all(told != function for _, function, *_ in connection.run_on_commit):
        transaction.on_commit(told)


@dataclass(frozen=True)
class _Telling:
    tenant_id: int

    def __call__(self) -> None:
        try:
            tasks.train_intents.apply_async((self.tenant_id,), retry=False)
        except (OperationalError, OSError) as error:
            log.warning("no worker could be told to train intents, the schedule will: %s", error)
