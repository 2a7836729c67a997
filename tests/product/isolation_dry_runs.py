"""Dry runs of plugins in the matrix of `tests.product.test_isolation`, in the same form."""

from __future__ import annotations

# For who manages the tenant.
MANAGED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/plugins/dry-run": [("POST", "/api/plugins/dry-run", {"plugin": "canned_answers"})],
}
