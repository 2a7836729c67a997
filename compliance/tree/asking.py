"""What others ask of the trees: checkpoints, proofs, exports. All of it blocks and opens the tree's database itself."""

from __future__ import annotations

from collections.abc import Iterator

from compliance.tree import checkpoints, exporting, nodes
from compliance.tree.database import tree_database


def heads(tenant_id: int) -> list[dict[str, object]]:
    """The tenant's signed checkpoints, newest first, at most 1,000, as they are written to object storage.

    Raises django.db.Error."""
    with tree_database() as alias:
        return checkpoints.heads(tenant_id, alias)


def inclusion_proofs(tenant_id: int, turn_id: str) -> list[dict[str, object]]:
    """For every entry of the turn that the newest checkpoint covers: `kind number position proof checkpoint`.

    Raises django.db.Error."""
    with tree_database() as alias:
        return nodes.inclusion_proofs(alias, tenant_id, turn_id)


def export_between(tenant_id: int, since: float | None = None, until: float | None = None) -> Iterator[str]:
    """The lines of an export of all signed entries of a time (Unix seconds), and of some of the seconds around it.

    Raises exporting.NothingSigned before the first line; django.db.Error, sqlite3.Error."""
    with tree_database() as alias:
        first, end = exporting.positions(alias, tenant_id, since, until)
        signed = exporting.signed_size(alias, tenant_id)
        yield from exporting.export(alias, tenant_id, min(first, signed), min(end, signed))
