"""Rows of the isolation matrix: limits."""

OWNED: dict[str, list[tuple[str, str, dict | None]]] = {}
ANYBODYS: dict[str, tuple[str, dict | None]] = {"/api/limits": ("GET", None)}
MANAGED: dict[str, list[tuple[str, str, dict | None]]] = {}
