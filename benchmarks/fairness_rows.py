"""The rows of `benchmarks.fairness`: `python -m benchmarks.fairness_rows MOCK_URL` fills the databases of VAR_DIR and
prints the keys. Two tenants without limits of their own share two instances: `limited` takes a few calls at a time,
`open` any number."""

from __future__ import annotations

import json
import sys

from benchmarks import rows  # first: it sets Django up
from routing.models import ModelInstance
from routing.services import save_instance
from tenants.services import create_api_key, create_tenant

PLACES = 8


def main() -> None:
    rows.migrate()
    for name, places in (("limited", PLACES), ("open", None)):
        instance = ModelInstance(
            name=name, endpoint=sys.argv[1], upstream_model="mock", allow_private=True, max_concurrency=places
        )
        save_instance(instance=instance, api_key="sk-of-the-mock")
    keys = {}
    for slug in ("quiet", "busy"):
        keys[slug] = create_api_key(tenant=create_tenant(slug=slug, name=slug), name="benchmark")[1]
    print(json.dumps(keys))


if __name__ == "__main__":
    main()
