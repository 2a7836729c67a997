"""Which sinks there are: what plugins declare that tenants have switched on, and the tenants' webhooks."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import msgspec
from django.db import transaction

from plugins import registry
from plugins.base import PluginBase
from plugins.models import DeliveryAttempt, HeldEvent, PluginActivation, SinkState, Webhook
from plugins.outbox.signing import secrets_of
from plugins.outbox.sinks import SinkSpec
from plugins.outbox.webhook_sink import WebhookSink

log = logging.getLogger(__name__)

WEBHOOK_PATIENCE = 300.0


@dataclass(frozen=True)
class Declared:
    """`since`: events from that time on (Unix seconds), None: from when it is seen first."""

    tenant_id: int
    slug: str
    sink: str
    spec: SinkSpec
    since: float | None = None
    webhook: int | None = None


def declared() -> list[Declared]:
    """Of all tenants that are not suspended or closed; one whose plugin cannot be made is left out, and logged."""
    return [*_of_plugins(), *_of_webhooks()]


def _of_plugins() -> list[Declared]:
    rows = PluginActivation.objects.everywhere().filter(enabled=True, tenant__is_active=True)
    found = []
    for row in rows.select_related("tenant").order_by("tenant_id", "id"):
        try:
            cls = registry.get(row.plugin)
            if cls.sinks is PluginBase.sinks:
                continue
            given = row.opened_settings()
            specs = list(cls(registry.read_settings(cls, given)).sinks())
            settings = msgspec.json.encode(given, order="sorted")
            for spec in specs:
                known = replace(spec, key=(settings, spec.key), label=spec.label or f"{cls.label or cls.name}")
                found.append(Declared(row.tenant_id, row.tenant.slug, f"plugin:{row.plugin}:{spec.name}", known))
        except Exception:  # noqa: BLE001 - border: one company's plugin must not keep the others' events
            log.exception("the sinks of the plugin %s of tenant %s cannot be made", row.plugin, row.tenant_id)
    return found


def _of_webhooks() -> list[Declared]:
    rows = Webhook.objects.everywhere().filter(enabled=True, tenant__is_active=True).select_related("tenant")
    return [_webhook(row) for row in rows.order_by("tenant_id", "id")]


def _webhook(row: Webhook) -> Declared:
    keys = secrets_of(row)
    spec = SinkSpec(
        name=str(row.pk),
        open=lambda: WebhookSink(row.url, keys),
        events=tuple(row.events),
        content=row.content,
        patience=WEBHOOK_PATIENCE,
        label=row.name,
        key=(row.url, keys),
    )
    return Declared(row.tenant_id, row.tenant.slug, row.sink, spec, row.since.timestamp(), row.pk)


@transaction.atomic
def forget_webhook(row: Webhook) -> None:
    """With where it was and what was held for it."""
    for model in (SinkState, HeldEvent, DeliveryAttempt):
        model.objects.for_tenant(row.tenant_id).filter(sink=row.sink).delete()
    row.delete()
