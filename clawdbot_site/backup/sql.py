"""SQL in a backup: SQLite's files by its online backup, PostgreSQL's tables by COPY in one snapshot.

On PostgreSQL the journal's column `xid` says in which order entries became visible (`compliance.tree.sources`), and
means nothing in another cluster. So entries go in two parts, those that the tree has and the later ones; on the way
back each part is a transaction of its own, and the tree's place is put between them."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from django.apps import apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from clawdbot_site.backup.packing import CHUNK, Broken, Pack
from compliance.database import ALIAS, first_file
from compliance.journal import slots
from compliance.models import AuditEntry

ALIASES: Final = (ALIAS, "default")  # in this order: what seals comes after what is sealed by it
ENTRIES: Final = "compliance_auditentry"
CURSOR: Final = "compliance_treecursor"


def dump(pack: Pack, alias: str, folder: Path) -> None:
    """`folder` has room for a copy of the largest file. Raises OSError, sqlite3.Error, psycopg.Error, DatabaseError."""
    connection = connections[alias]
    about: dict[str, Any] = {"vendor": connection.vendor, "migrations": _applied(connection)}
    if connection.vendor == "sqlite":
        about["files"] = []
        for path in _files(alias):
            copy = folder / path.name
            _copy_file(path, copy)
            pack.add_file(f"sql/{alias}/{path.name}", copy)
            about["files"].append(path.name)
            copy.unlink()
    else:
        about["parts"] = _dump_tables(pack, alias, connection)
    pack.manifest.about.setdefault("sql", {})[alias] = about


def _files(alias: str) -> list[Path]:
    """The sequencer's first: what is in its tree then is in the others' files."""
    first = first_file() if alias == ALIAS else None
    if first is None:
        return [Path(connections[alias].settings_dict["NAME"])]
    return [slots.slot_path(first, number) for number in sorted(slots.existing(first), reverse=True)]


def _copy_file(source: Path, target: Path) -> None:
    """In one step: a copy in many begins anew whenever somebody writes. Who writes waits for nothing meanwhile."""
    target.touch(mode=0o600)
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new, pages=-1)
        new.execute("PRAGMA journal_mode = DELETE")


def _applied(connection: BaseDatabaseWrapper) -> list[str]:
    return sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())


# PostgreSQL ----------------------------------------------------------------------------------------------------------


def _tables(alias: str) -> list[str]:
    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    mine = {model._meta.db_table for model in models if router.allow_migrate_model(alias, model)}
    there = set(connections[alias].introspection.table_names())
    return sorted(
        mine & there, key=lambda table: (table == ENTRIES, table)
    )  # entries come when the tree's place is there


def _columns(alias: str, table: str) -> list[str]:
    model = next(each for each in apps.get_models(include_auto_created=True) if each._meta.db_table == table)
    with connections[alias].cursor() as cursor:
        there = {column.name for column in connections[alias].introspection.get_table_description(cursor, table)}
    return [field.column for field in model._meta.local_concrete_fields if field.column in there]


def _dump_tables(pack: Pack, alias: str, connection: BaseDatabaseWrapper) -> list[list[Any]]:
    """What is where: member, table, columns."""
    parts: list[list[Any]] = []
    described = [(table, _columns(alias, table)) for table in _tables(alias)]
    connection.ensure_connection()
    with connection.connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            place = _place(cursor) if alias == ALIAS else None
            for table, columns in described:
                conditions = [""]
                if place is not None and table == ENTRIES:
                    folded = f"(xid, id) <= ('{int(place[0])}'::xid8, {int(place[1])})"
                    conditions = [f"WHERE {folded}", f"WHERE NOT {folded}"]
                for number, condition in enumerate(conditions):
                    name = f"sql/{alias}/{table}.{number}"
                    names = ", ".join(f'"{column}"' for column in columns)
                    statement = f'COPY (SELECT {names} FROM "{table}" {condition}) TO STDOUT'  # noqa: S608  # our names
                    _copy_out(pack, name, cursor, statement)
                    parts.append([name, table, columns])
        finally:
            cursor.execute("ROLLBACK")
    return parts


def _place(cursor: Any) -> tuple[int, int] | None:
    """How far the tree has read the table; None: it has nothing of it."""
    cursor.execute(f"SELECT xid, entry_id FROM {CURSOR} WHERE source = 0")  # noqa: S608  # our names
    found: tuple[int, int] | None = cursor.fetchone()
    return found


def _copy_out(pack: Pack, name: str, cursor: Any, statement: str) -> None:
    with tempfile.NamedTemporaryFile() as file:
        with cursor.copy(statement) as copy:
            for content in copy:
                file.write(content)
        file.flush()
        pack.add_file(name, Path(file.name))


# The way back --------------------------------------------------------------------------------------------------------


def empty(alias: str, holds: Callable[[], bool]) -> bool:
    """Whether nobody's data is there: no tables yet, or `holds` finds nothing in them."""
    connection = connections[alias]
    if connection.vendor == "sqlite":
        path = Path(connection.settings_dict["NAME"])
        if not path.exists() or path.stat().st_size == 0:
            return True
    return not connection.introspection.table_names() or not holds()


def journal_holds() -> bool:
    with connections[ALIAS].cursor() as cursor:
        if ENTRIES not in connections[ALIAS].introspection.table_names(cursor):
            return False
    return AuditEntry.objects.everywhere().exists()


def check(about: dict[str, Any]) -> None:
    """Raises Broken: these databases cannot be restored here."""
    for alias in ALIASES:
        vendor, here = about["sql"][alias]["vendor"], connections[alias].vendor
        if vendor != here:
            raise Broken(f"the backup's database {alias} is {vendor}, here it is {here}: they cannot be changed over")
        known = set(_known())
        unknown = [name for name in about["sql"][alias]["migrations"] if name not in known]
        if unknown:
            raise Broken(f"the backup is of a newer version: {unknown[0]} is not known here")


def _known() -> Iterator[str]:
    for app, name in MigrationLoader(None).disk_migrations:
        yield f"{app}.{name}"


class Files:
    """SQLite's files beside those that are in use, until all are there."""

    def __init__(self) -> None:
        self._made: list[tuple[Path, Path]] = []

    def take(self, alias: str, name: str, file: IO[bytes]) -> None:
        path = _target(alias, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.restored")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
            while content := file.read(CHUNK):
                target.write(content)
            target.flush()
            os.fsync(target.fileno())
        self._made.append((beside, path))

    def swap(self) -> None:
        """What was there goes, files of the journal that the backup has not too."""
        first = first_file()
        for alias in ALIASES:
            connections[alias].close()
        old = [slots.slot_path(first, number) for number in slots.existing(first)] if first is not None else []
        for path in {*old, *(path for _, path in self._made)}:
            for ending in ("", "-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
        for beside, path in self._made:
            beside.rename(path)


def _target(alias: str, name: str) -> Path:
    """Named as here: `journal-3.sqlite3` is slot 3, whatever the first file is called here."""
    here = Path(connections[alias].settings_dict["NAME"])
    number = Path(name).stem.rpartition("-")[2]
    if alias == ALIAS and number.isdigit() and "-" in Path(name).stem:
        return slots.slot_path(here, int(number))
    return here


def prepare(about: dict[str, Any], alias: str) -> None:
    """PostgreSQL: the tables are there, and empty. Raises Broken."""
    call_command("migrate", database=alias, verbosity=0, interactive=False, skip_checks=True)
    if set(about["sql"][alias]["migrations"]) != set(_applied(connections[alias])):
        raise Broken(
            "on PostgreSQL a backup is restored by the version that made it; upgrade afterwards "
            f"(its {alias} has {len(about['sql'][alias]['migrations'])} migrations, here there are others)"
        )
    tables = [f'"{table}"' for table in _tables(alias)]
    with connections[alias].cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
        for table in tables:  # COPY is refused to whom policies bind; the migration that follows binds the owner again
            cursor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")


class Tables:
    """PostgreSQL: parts as they come, those of a database in one transaction, but the journal's later entries."""

    def __init__(self, about: dict[str, Any]) -> None:
        self._parts = {part[0]: part[1:] for alias in ALIASES for part in about["sql"][alias].get("parts", [])}
        self._alias = ""
        self._open = ExitStack()

    def take(self, alias: str, name: str, file: IO[bytes]) -> None:
        table, columns = self._parts[name]
        later = table == ENTRIES and not name.endswith(".0")
        if alias != self._alias or later:
            self.finish()
            self._open.enter_context(transaction.atomic(using=alias))
            self._alias = alias
        connection = connections[alias]
        names = ", ".join(f'"{column}"' for column in columns)
        with connection.cursor() as cursor:
            content = _with_months(cursor, columns.index("turn_id"), file) if table == ENTRIES else file
            with connection.connection.cursor() as raw, raw.copy(f'COPY "{table}" ({names}) FROM STDIN') as copy:
                while chunk := content.read(CHUNK):
                    copy.write(chunk)
            if table == ENTRIES and not later:
                cursor.execute(_PLACE)

    def finish(self) -> None:
        """What was begun is committed."""
        self._open.close()
        self._alias = ""


_PLACE: Final = f"""
    UPDATE {CURSOR} SET (xid, entry_id) =
        (SELECT pg_current_xact_id()::text::bigint, coalesce(max(id), 0) FROM {ENTRIES}) WHERE source = 0"""  # noqa: S608  # our names


def renumber(alias: str) -> None:
    """PostgreSQL: new rows get numbers behind those that came."""
    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.db_table in _tables(alias)]
    with connections[alias].cursor() as cursor:
        for statement in connections[alias].ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)


def _with_months(cursor: Any, place: int, file: IO[bytes]) -> IO[bytes]:
    """Sees to it that there are partitions for these entries; the same content again."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115
    months: dict[tuple[int, int], str] = {}
    for line in iter(file.readline, b""):
        turn_id = line.split(b"\t", place + 1)[place].decode()
        at = datetime.fromtimestamp(int(turn_id[:12], 16) / 1000, UTC)
        months.setdefault((at.year, at.month), turn_id)
        spool.write(line)
    for turn_id in months.values():
        cursor.execute("SELECT compliance_journal_month(%s)", [turn_id])
    spool.seek(0)
    return spool
