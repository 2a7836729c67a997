"""The models of all tenants as the request path has them. One a process; `clawdbot_site/wiring.py` keeps it new.

numpy, and with it the classifier, is imported by the first tenant that has a model."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Final

import msgspec

from engine.snapshots import Cell
from plugins.models import Intent, IntentSettings, TrainedIntents

if TYPE_CHECKING:
    from plugins.intents.model import IntentModel, Recognised

log = logging.getLogger(__name__)


class TenantIntents(msgspec.Struct, frozen=True):
    """What a tenant has: `model` None while it is still being trained. `threshold` None: the model's own."""

    revision: int
    vectors: str
    model: IntentModel | None = None
    threshold: float | None = None

    def classify(self, text: str) -> Recognised | None:
        """Under a millisecond of CPU, no I/O. None: there is no model yet."""
        return None if self.model is None else self.model.classify(text, threshold=self.threshold)


class IntentTable(msgspec.Struct, frozen=True):
    """By tenant; who defines no intents is not in it."""

    tenants: dict[int, TenantIntents] = {}


LIVE: Final[Cell[IntentTable]] = Cell(IntentTable())


def compile_intents(previous: IntentTable | None = None) -> IntentTable:
    """A model that did not change is not read again."""
    before = previous.tenants if previous is not None else {}
    defined = set(Intent.objects.everywhere().filter(enabled=True).values_list("tenant_id", flat=True))
    thresholds = dict(IntentSettings.objects.everywhere().values_list("tenant_id", "threshold"))
    rows = (
        TrainedIntents.objects.everywhere()
        .filter(tenant_id__in=defined)
        .values_list("tenant_id", "revision", "vectors")
    )
    tenants: dict[int, TenantIntents] = {}
    for tenant_id, revision, vectors in rows:
        known = before.get(tenant_id)
        if known is not None and known.model is not None and (known.revision, known.vectors) == (revision, vectors):
            model: IntentModel | None = known.model
        else:
            model = _model(tenant_id) or (known.model if known is not None else None)
        tenants[tenant_id] = TenantIntents(revision, vectors, model, thresholds.get(tenant_id))
    for tenant_id in defined - tenants.keys():
        tenants[tenant_id] = TenantIntents(0, "")
    return IntentTable(tenants)


def _model(tenant_id: int) -> IntentModel | None:
    data = TrainedIntents.objects.for_tenant(tenant_id).values_list("model", flat=True).first()
    if not data:
        return None
    models = import_module("plugins.intents.model")
    vectors = import_module("plugins.intents.vectors").word_vectors()
    try:
        model: IntentModel = models.IntentModel.from_bytes(bytes(data), vectors)
    except models.UnreadableModel as error:
        log.error("the intents of tenant %s cannot be used: %s", tenant_id, error)
        return None
    return model
