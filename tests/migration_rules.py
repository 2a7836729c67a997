"""What a migration may do while the release before it still answers: widen, never narrow (`docs/migrations.md`).

`faults(migration, before)` are the operations that would break the code from before it, or make it wait."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import singledispatch

from django.db import migrations, models
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED

from tenants.indexes import AddIndexConcurrently

# Tables that grow with every turn or every user: to build an index of one takes minutes.
LARGE = {
    ("compliance", name)
    for name in (
        "auditentry", "subjectkey", "usagerow", "usagetotal", "usagetiming", "treenode", "treerun", "checkpoint",
        "changerecord", "idempotency", "insightcount", "insighttiming", "wordhits",
    )
} | {("sessions_app", "archivedsession"), ("tenants", "apikey"), ("tenants", "member"), ("tenants", "user")} | {
    ("plugins", "deliveryattempt"), ("plugins", "heldevent")
}  # fmt: skip

NARROWING = (
    migrations.RemoveField, migrations.RenameField, migrations.DeleteModel, migrations.RenameModel,
    migrations.AlterModelTable, migrations.AlterModelTableComment, migrations.RenameIndex,
)  # fmt: skip
# COLUMN may be left out. DROP NOT NULL, of a constraint, an index or a trigger only widens.
NARROWING_SQL = re.compile(
    r"\b(DROP\s+(TABLE|COLUMN|FUNCTION|VIEW|SCHEMA|DEFAULT)|RENAME|TRUNCATE|REVOKE|SET\s+NOT\s+NULL|ADD\s+CONSTRAINT"
    r"|CREATE\s+UNIQUE\s+INDEX|ALTER\s+(COLUMN\s+)?\S+\s+(SET\s+DATA\s+)?TYPE"
    r"|ALTER\s+TABLE\s[^;]*\bDROP\s+(?!NOT\b|CONSTRAINT\b|DEFAULT\b|COLUMN\b|EXPRESSION\b|IDENTITY\b))\b",
    re.I,
)
LOCKING_SQL = re.compile(r"\bCREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY\b)[^;]*?\bON\s+(ONLY\s+)?\"?(\w+)", re.I)
DIGITS = ("max_digits", "decimal_places")


@dataclass(frozen=True)
class Place:
    """Where an operation stands."""

    migration: Migration
    before: ProjectState
    table: tuple[str, str]

    @property
    def large(self) -> bool:
        return self.table in LARGE


def faults(migration: Migration, before: ProjectState) -> list[str]:
    state, found = before.clone(), []
    made: set[str] = set()  # nobody from before knows these
    for operation in _flat(migration.operations):
        if isinstance(operation, migrations.CreateModel):
            made.add(operation.name_lower)
        name = getattr(operation, "model_name_lower", "")
        if name not in made:
            place = Place(migration, state, (migration.app_label, name))
            found += [f"{operation.describe()}: {fault}" for fault in fault_of(operation, place)]
        operation.state_forwards(migration.app_label, state)
    return found


def _flat(operations: Iterable[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from _flat(operation.database_operations)
        else:
            yield operation


@singledispatch
def fault_of(operation: Operation, place: Place) -> Iterator[str]:
    yield from ()


def _narrows(operation: Operation, place: Place) -> Iterator[str]:
    yield "the release before still uses it"


for kind in NARROWING:
    fault_of.register(kind, _narrows)


@fault_of.register
def _(operation: migrations.AddField, place: Place) -> Iterator[str]:
    if _demands(operation.field):
        yield "it needs null=True or a db_default: who does not know the column leaves it out"
    if (operation.field.db_index or operation.field.unique) and place.large:
        yield "an index of a large table is built by AddIndexConcurrently, in a migration of its own"


@fault_of.register
def _(operation: migrations.AlterField, place: Place) -> Iterator[str]:
    old = place.before.models[place.table].fields[operation.name]
    yield from _altered(old, operation.field)
    if place.large and operation.field.db_index and not old.db_index and not operation.field.unique:
        yield "an index of a large table is built by AddIndexConcurrently, in a migration of its own"


@fault_of.register
def _(operation: AddIndexConcurrently, place: Place) -> Iterator[str]:
    if place.migration.atomic or len(place.migration.operations) > 1:
        yield "it needs a migration of its own, with atomic = False"


@fault_of.register
def _(operation: migrations.AddIndex, place: Place) -> Iterator[str]:
    if place.large:
        yield "a large table would be locked while it is built: AddIndexConcurrently"


@fault_of.register(migrations.AddConstraint)
@fault_of.register(migrations.AlterUniqueTogether)
def _(operation: Operation, place: Place) -> Iterator[str]:
    yield "the release before may write what it forbids"


@fault_of.register
def _(operation: migrations.RunSQL, place: Place) -> Iterator[str]:
    if NARROWING_SQL.search(str(operation.sql)):
        yield "the release before still uses it"
    large = {f"{app}_{model}" for app, model in LARGE}
    if any(table.lower() in large for *_, table in LOCKING_SQL.findall(str(operation.sql))):
        yield "a large table would be locked while it is built: AddIndexConcurrently"


def _demands(field: models.Field) -> bool:
    """Whether a row without it is refused."""
    return not field.null and field.db_default is NOT_PROVIDED and not field.many_to_many


def _altered(old: models.Field, new: models.Field) -> Iterator[str]:
    if old.null and not new.null:
        yield "the release before still writes null"
    if type(old) is not type(new):
        yield "the type of a column does not change: a new one beside it, copied in steps"
    elif (new.max_length or 0) < (old.max_length or 0):
        yield "the release before writes longer ones"
    elif [getattr(old, name, None) for name in DIGITS] != [getattr(new, name, None) for name in DIGITS]:
        yield "the type of a column does not change: a new one beside it, copied in steps"
    if old.db_default is not NOT_PROVIDED and new.db_default is NOT_PROVIDED:
        yield "the release before leaves it to the database, which has no default then"
    if old.db_column != new.db_column:
        yield "the release before still uses it"
    if new.unique and not old.unique:
        yield "the release before may write what it forbids"
