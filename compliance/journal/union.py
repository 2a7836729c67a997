"""Readers see one table over all slot files: SQLite attaches them and a temporary view takes the table's name.

SQLite looks a name up among the temporary objects first, so the ORM needs to know nothing. Migrations must see the real
table: they set the views aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from compliance.database import ALIAS, JOURNAL_MODELS, first_file
from compliance.journal import slots, tables


def see_all_slots(connection: BaseDatabaseWrapper) -> None:
    """Makes the connection read every slot file that has tables by now. Cheap when it already does.

    Raises slots.NoSlot when there are more than SQLite can read as one."""
    first = first_file() if connection.alias == ALIAS else None
    if first is None:
        return
    numbers = [number for number in slots.existing(first) if number]
    if not numbers:
        return
    with connection.cursor() as cursor:
        attached = _attached(cursor)
        missing = [n for n in numbers if n not in attached and _has_tables(slots.slot_path(first, n))]
        if not missing:
            return
        if len(attached) + len(missing) > slots.SLOTS:  # beside the first: the other writers' and the sequencer's
            raise slots.NoSlot(f"more than {slots.SLOTS} journal files beside {first}: SQLite cannot read them as one")
        for number in missing:
            cursor.execute(f"ATTACH DATABASE %s AS slot_{number}", [str(slots.slot_path(first, number))])
        _drop_views(cursor)
        _make_views(cursor, sorted(attached + missing))


def _has_tables(path: Path) -> bool:
    """All of them: a file is there before its migrations are over."""
    return all(tables.migrated(path, _table(name)) for name in JOURNAL_MODELS)


def _table(name: str) -> str:
    return str(apps.get_model("compliance", name)._meta.db_table)


def _attached(cursor: Any) -> list[int]:
    names = [row[1] for row in cursor.execute("PRAGMA database_list").fetchall()]
    return [int(name.removeprefix("slot_")) for name in names if name.startswith("slot_")]


def _make_views(cursor: Any, numbers: list[int]) -> None:
    for name in JOURNAL_MODELS:
        options = apps.get_model("compliance", name)._meta
        columns = ", ".join(f'"{field.column}"' for field in options.concrete_fields)
        schemas = ["main", *(f"slot_{number}" for number in numbers)]
        selects = [f'SELECT {columns} FROM {schema}."{options.db_table}"' for schema in schemas]  # noqa: S608  # our names
        cursor.execute(f'CREATE TEMP VIEW "{options.db_table}" AS {" UNION ALL ".join(selects)}')


def _drop_views(cursor: Any) -> None:
    for name in JOURNAL_MODELS:
        cursor.execute(f'DROP VIEW IF EXISTS temp."{_table(name)}"')


def on_connection_created(connection: BaseDatabaseWrapper, **_: object) -> None:
    see_all_slots(connection)


def on_pre_migrate(using: str, **_: object) -> None:
    """The real tables come forward for as long as this process migrates."""
    if using == ALIAS and first_file() is not None:
        with connections[using].cursor() as cursor:
            _drop_views(cursor)
            for number in _attached(cursor):
                cursor.execute(f"DETACH DATABASE slot_{number}")


def on_post_migrate(using: str, **_: object) -> None:
    """The files of the other slots follow the first."""
    first = first_file() if using == ALIAS else None
    if first is not None:
        for number in slots.existing(first):
            if number:
                tables.migrate_slot(first, number)
        see_all_slots(connections[using])
