"""Intents in the matrix of `tests.product.test_isolation`, in the form of its other rows."""

from __future__ import annotations

from tests.product.running import Product

# Each caller's own tenant answers, or says that it has none.
ANYBODYS: dict[str, tuple[str, dict | None]] = {"/api/intents/classify": ("POST", {"text": "secret"})}
ANSWERED: dict[str, tuple[int, ...]] = {"/api/intents/classify": (200, 409)}
# For who manages the tenant.
MANAGED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/intents": [("GET", "/api/intents", None)],
    "/api/intents/settings": [("GET", "/api/intents/settings", None)],
    "/api/intents/training": [("GET", "/api/intents/training", None)],
    "/api/intents/{intent_id}": [
        ("GET", "/api/intents/{intent}", None),
        ("PUT", "/api/intents/{intent}", {"name": "mine-now"}),
        ("PATCH", "/api/intents/{intent}", {"enabled": False}),
        ("DELETE", "/api/intents/{intent}", None),
    ],
}
NAMELESS = {"/api/intents/settings"}
SOMETIMES = {"/api/intents/training"}  # names intents with few examples, once they were learnt
MADE = """
from plugins.models import Intent
acme = Tenant.objects.get(slug='acme')
intent = Intent.objects.create(tenant=acme, name='secret', utterances='a secret wish')
value = {'intent': str(intent.pk)}
"""


def names(gateway: Product) -> dict[str, str]:
    """Ids of acme's own rows, all of them called `secret`."""
    made: dict[str, str] = gateway.operate(MADE)
    return made
