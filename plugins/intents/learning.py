"""From a tenant's rows to a model in a row: what the worker does."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from plugins.models import Intent, IntentSettings, TrainedIntents
from tenants.live import announce

log = logging.getLogger(__name__)

FAILED = "The training failed. The platform's log says why."


def learn(tenant_id: int) -> bool:
    """Trains until what was learnt is what is wanted. Two at once do the work twice and store the newer one; nothing
    is trained under a lock. False: there was nothing to do."""
    done = False
    while (row := _outdated(tenant_id)) is not None:
        done = True
        if not _learn_once(row):
            break
    return done


def stale() -> list[int]:
    """Tenants whose models are out of date."""
    rows = TrainedIntents.objects.everywhere()
    wanted = _STALE
    if rows.filter(model__isnull=False).exists():
        wanted = _STALE | (_other_vectors() & Q(failed=""))
    return list(rows.filter(wanted).order_by("pk").values_list("tenant_id", flat=True))


_STALE = ~Q(revision=F("wanted"))


def _other_vectors() -> Q:
    return Q(model__isnull=False) & ~Q(vectors=import_module("plugins.intents.vectors").vectors_name())


def _outdated(tenant_id: int) -> TrainedIntents | None:
    rows = TrainedIntents.objects.for_tenant(tenant_id).defer("model")
    row = rows.filter(_STALE).first()
    return row if row is not None else rows.filter(_other_vectors()).first()


def _learn_once(row: TrainedIntents) -> bool:
    """False: it failed, or somebody else was quicker."""
    with transaction.atomic():  # one sight of all: the count was read before
        intents = Intent.objects.for_tenant(row.tenant_id).filter(enabled=True).order_by("name")
        examples = [(text, intent.name) for intent in intents for text in intent.examples]
        settings = IntentSettings.objects.for_tenant(row.tenant_id).first()
    outside = settings.outside.splitlines() if settings is not None else []
    values: dict[str, Any] = {"revision": row.wanted, "failed": "", "trained_at": timezone.now()}
    try:
        values |= _model(examples, outside) if examples else {"model": None, "report": {}, "vectors": ""}
    except Exception:  # noqa: BLE001  # border: the tenant hears of it, and the worker goes on
        log.exception("the intents of tenant %s could not be learnt", row.tenant_id)
        values = {"revision": row.wanted, "failed": FAILED}
    with transaction.atomic():
        newer = TrainedIntents.objects.for_tenant(row.tenant_id).filter(revision__lte=row.wanted)
        stored = newer.update(**values) == 1
        announce("intents")
    return stored and not values["failed"]


def _model(examples: list[tuple[str, str]], outside: list[str]) -> dict[str, Any]:
    """Imports what trains only now: a worker that never trains has none of it in memory."""
    vectors = import_module("plugins.intents.vectors")
    crossing = import_module("plugins.intents.crossing")
    model, report = crossing.trained(examples, outside, vectors.word_vectors())
    return {
        "model": model.to_bytes(),
        "report": msgspec.to_builtins(report),
        "vectors": vectors.vectors_name(),
    }
