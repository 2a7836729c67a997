"""Rows of the isolation matrix: databases that questions are answered from."""

from __future__ import annotations

from tests.product.running import Product

MANAGED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/data-sources": [("GET", "/api/data-sources", None)],
    "/api/data-sources/{source_id}": [
        ("GET", "/api/data-sources/{source}", None),
        ("PATCH", "/api/data-sources/{source}", {"description": "mine now"}),
        ("DELETE", "/api/data-sources/{source}", None),
    ],
    "/api/data-sources/{source_id}/look": [("POST", "/api/data-sources/{source}/look", None)],
}
MADE = """
from plugins.databases.services import save_source
from plugins.models import DataSource
acme = Tenant.objects.get(slug='acme')
url = 'postgresql://secret:secret@127.0.0.1:1/secret'
value = {'source': str(save_source(source=DataSource(tenant=acme, name='secret-source'), url=url).pk)}
"""


def names(gateway: Product) -> dict[str, str]:
    """The id of a database of acme's."""
    made: dict[str, str] = gateway.operate(MADE)
    return made
