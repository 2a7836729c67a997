"""Insights in the matrix of `tests.product.test_isolation`: each tenant's own, in the same form."""

from __future__ import annotations

from tests.product.running import Product

# For who may see the tenant's overview.
MANAGED: dict[str, list[tuple[str, str, dict | None]]] = {"/api/insights": [("GET", "/api/insights", None)]}
MADE = """
import time
from compliance.models import InsightCount
acme = Tenant.objects.get(slug='acme')
hour = int(time.time() // 3600)
counted = dict(what='intent', name='secret intent', state='completed', count=1)
_ = InsightCount.objects.create(tenant=acme, hour=hour, **counted)
value = 0
"""


def names(gateway: Product) -> dict[str, str]:
    """Something of acme's to be seen."""
    gateway.operate(MADE)
    return {}
