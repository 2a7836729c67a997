"""Indexes on tables that are large and in use: built beside those who write, partition by partition."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import NotSupportedError, migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

_KIND = "SELECT relkind::text FROM pg_class WHERE oid = %s::regclass"
_PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1"
_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"


class AddIndexConcurrently(migrations.AddIndex):
    """`AddIndex` that on PostgreSQL blocks no writer; elsewhere an ordinary one. For a migration with `atomic = False`
    and nothing else in it. What an interrupted run left behind is made anew, so it may run again.

    Unlike Django's operation of this name it does a partitioned table, too: an index of each partition, then theirs."""

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        if schema_editor.connection.vendor != "postgresql":
            schema_editor.add_index(model, self.index)
            return
        if schema_editor.connection.in_atomic_block:
            raise NotSupportedError(f"{self.index.name}: the migration must say atomic = False")
        with _unhurried(schema_editor):
            self._build(schema_editor, model)

    def _build(self, editor: BaseDatabaseSchemaEditor, model: type[models.Model]) -> None:
        table, name = model._meta.db_table, self.index.name
        if _one(editor, _KIND, table) != "p":
            self._create(editor, model, table=editor.quote_name(table), name=name, concurrently=True)
            return
        self._create(editor, model, table=f"ONLY {editor.quote_name(table)}", name=name, concurrently=False)
        for partition in _all(editor, _PARTITIONS, table):
            own = f"{name}_{partition.rpartition('_')[2]}"
            self._create(editor, model, table=partition, name=own, concurrently=True)
            editor.execute(f"ALTER INDEX {editor.quote_name(name)} ATTACH PARTITION {editor.quote_name(own)}")

    def _create(
        self, editor: BaseDatabaseSchemaEditor, model: type[models.Model], *, table: str, name: str, concurrently: bool
    ) -> None:
        valid = _one(editor, _VALID, editor.quote_name(name))
        if valid or (valid is False and not concurrently):  # a parent becomes valid with its last partition
            return
        if valid is False:
            editor.execute(f"DROP INDEX CONCURRENTLY {editor.quote_name(name)}")
        statement: Any = self.index.create_sql(model, editor, concurrently=concurrently)
        statement.parts["table"], statement.parts["name"] = table, editor.quote_name(name)
        editor.execute(statement, params=None)


@contextmanager
def _unhurried(editor: BaseDatabaseSchemaEditor) -> Iterator[None]:
    """Such a build waits for whoever began before it, and nobody waits for it."""
    before = _one(editor, "SHOW lock_timeout")
    editor.execute("SET lock_timeout = 0")
    try:
        yield
    finally:
        editor.execute("SELECT set_config('lock_timeout', %s, false)", [before])


def _one(editor: BaseDatabaseSchemaEditor, statement: str, *parameters: str) -> Any:
    found = _all(editor, statement, *parameters)
    return found[0] if found else None


def _all(editor: BaseDatabaseSchemaEditor, statement: str, *parameters: str) -> list[Any]:
    with editor.connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [row[0] for row in cursor.fetchall()]
