"""The same tables in every slot file, by the same migrations."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from compliance.database import ALIAS
from compliance.journal import slots


def migrate_slot(first: Path, number: int) -> None:
    """Makes the file of a further slot, or brings it to the state of the code. Blocking; safe to repeat.

    A new one takes the tables of the first: to make them step by step costs most of a worker's first start."""
    alias = f"{ALIAS}-{number}"
    connections.databases[alias] = {**connections[ALIAS].settings_dict, "NAME": str(slots.slot_path(first, number))}
    connection = connections[alias]
    try:
        executor = MigrationExecutor(connection)
        targets = executor.loader.graph.leaf_nodes("compliance")
        if not connection.introspection.table_names() and _take_tables(first, connection, targets):
            executor = MigrationExecutor(connection)
        if executor.migration_plan(targets):
            executor.migrate(targets)
    finally:
        connection.close()
        del connections[alias]
        del connections.databases[alias]


def _take_tables(first: Path, into: BaseDatabaseWrapper, state: list[tuple[str, str]]) -> bool:
    """All of them, empty but for the list of migrations; False: the first file is not (yet) in this state."""
    try:
        with closing(sqlite3.connect(f"{first.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as file:
            file.execute("BEGIN")  # both are of the same moment
            made = file.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
                "ORDER BY type != 'table', rowid"
            ).fetchall()
            done = file.execute("SELECT app, name, applied FROM django_migrations ORDER BY id").fetchall()
    except sqlite3.DatabaseError:
        return False
    if not {(app, name) for app, name, _ in done}.issuperset(state):
        return False
    with transaction.atomic(using=into.alias), into.cursor() as cursor:
        for (statement,) in made:
            cursor.execute(statement)
        cursor.executemany("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)", done)
    return True


def migrated(path: Path, *tables: str) -> bool:
    """Whether the file is there and has these tables; none named: the journal's own."""
    wanted = tables or ("compliance_auditentry",)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            found = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError:
        return False
    return found.issuperset(wanted)
