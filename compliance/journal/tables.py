"""The same tables in every slot file, by the same migrations."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from compliance.database import ALIAS
from compliance.journal import slots


def migrate_slot(first: Path, number: int) -> None:
    """Makes the file of a further slot, or brings it to the state of the code. Blocking; safe to repeat."""
    alias = f"{ALIAS}-{number}"
    connections.databases[alias] = {**connections[ALIAS].settings_dict, "NAME": str(slots.slot_path(first, number))}
    connection = connections[alias]
    try:
        executor = MigrationExecutor(connection)
        targets = executor.loader.graph.leaf_nodes("compliance")
        if executor.migration_plan(targets):
            executor.migrate(targets)
    finally:
        connection.close()
        del connections[alias]
        del connections.databases[alias]


def migrated(path: Path, *tables: str) -> bool:
    """Whether the file is there and has these tables; none named: the journal's own."""
    wanted = tables or ("compliance_auditentry",)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            found = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError:
        return False
    return found.issuperset(wanted)
