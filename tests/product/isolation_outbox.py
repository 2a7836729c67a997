"""Rows of the isolation matrix: webhooks, sinks, held events."""

from __future__ import annotations

from tests.product.running import Product

OWNED: dict[str, list[tuple[str, str, dict | None]]] = {}
ANYBODYS: dict[str, tuple[str, dict | None]] = {}
# For who manages the tenant.
MANAGED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/webhooks": [("GET", "/api/webhooks", None)],
    "/api/webhooks/{webhook_id}": [
        ("GET", "/api/webhooks/{webhook}", None),
        ("PATCH", "/api/webhooks/{webhook}", {"content": True}),
        ("DELETE", "/api/webhooks/{webhook}", None),
    ],
    "/api/webhooks/{webhook_id}/rotate": [("POST", "/api/webhooks/{webhook}/rotate", {})],
    "/api/webhooks/{webhook_id}/test": [("POST", "/api/webhooks/{webhook}/test", {})],
    "/api/webhooks/{webhook_id}/attempts": [("GET", "/api/webhooks/{webhook}/attempts", None)],
    "/api/outbox": [("GET", "/api/outbox", None)],
    "/api/outbox/held": [("GET", "/api/outbox/held", None)],
    "/api/outbox/held/{held_id}": [
        ("GET", "/api/outbox/held/{held}", None),
        ("DELETE", "/api/outbox/held/{held}", None),
    ],
    "/api/outbox/held/{held_id}/resend": [("POST", "/api/outbox/held/{held}/resend", {})],
}
MADE = """
from plugins.models import DeliveryAttempt, HeldEvent, SinkState, Webhook
from plugins.outbox.signing import save_webhook
acme = Tenant.objects.get(slug='acme')
webhook = Webhook(tenant=acme, name='secret hook', url='https://secret.example/', enabled=False)
_ = save_webhook(webhook=webhook)
state = SinkState.objects.create(tenant=acme, sink=webhook.sink, label='secret hook')
held = HeldEvent.objects.create(
    tenant=acme, sink=webhook.sink, event='secret', type='clawdbot.test', first_at=1.0, state='dead'
)
_ = DeliveryAttempt.objects.create(tenant=acme, sink=webhook.sink, event='secret', type='clawdbot.test', at=1.0)
value = dict(webhook=str(webhook.pk), held=str(held.pk))
"""


def names(gateway: Product) -> dict[str, str]:
    """Ids of acme's own rows, all of them called `secret`."""
    made: dict[str, str] = gateway.operate(MADE)
    return made
