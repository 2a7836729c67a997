"""Dry runs of plugins in the matrix of `tests.product.test_isolation`, in the same form."""

from __future__ import annotations

# It takes two scopes, of which nobody in the matrix has both, so that all are refused like at an operator's door; what
# those who have both are shown is in `tests.access.management.test_plugin_dry_runs`.
OPERATORS: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/plugins/dry-run": [("POST", "/api/plugins/dry-run", {"plugin": "canned_answers"})],
}
