"""Rows of the isolation matrix: alerts."""

from __future__ import annotations

from tests.product.running import Product

# For who manages the tenant.
MANAGED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/alerts": [("GET", "/api/alerts", None)],
    "/api/alerts/{alert_id}/acknowledge": [("POST", "/api/alerts/{alert}/acknowledge", {})],
}
MADE = """
from tenants.models import Alert
acme = Tenant.objects.get(slug='acme')
value = Alert.objects.create(tenant=acme, kind='error_rate', subject='secret', since=1.0, state='firing').pk
"""


def names(gateway: Product) -> dict[str, str]:
    """Ids of acme's own rows, all of them called `secret`."""
    return {"alert": str(gateway.operate(MADE))}
