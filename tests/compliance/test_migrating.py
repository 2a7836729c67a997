"""Migrations on PostgreSQL beside those who use what they change."""

from __future__ import annotations

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import NotSupportedError, OperationalError, connections, migrations, models
from django.db.migrations.state import ProjectState

from clawdbot_site.migrating import TURN, patiently
from tenants.indexes import AddIndexConcurrently
from tests.compliance.journals import named, on_postgres

CHANGE = "ALTER TABLE compliance_journalworker ADD COLUMN more text"


@pytest.fixture
def journal(journal_database, django_db_blocker):
    """(Django's connection, the address)."""
    with django_db_blocker.unblock(), on_postgres(journal_database):
        yield connections["journal"], journal_database


def execute(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def test_it_lets_those_behind_it_pass_and_tries_again(journal):
    connection, address = journal
    said, passed = [], []
    with psycopg.connect(address) as reader, psycopg.connect(address, autocommit=True) as behind:
        reader.execute("SELECT count(*) FROM compliance_journalworker")  # keeps its lock until its transaction ends

        def pause(seconds):
            passed.append(behind.execute("SELECT count(*) FROM compliance_journalworker").fetchone())
            if len(passed) == 3:
                reader.rollback()

        change = lambda: execute(connection, CHANGE)  # noqa: E731
        patiently(connection, change, lock_timeout=0.05, patience=60, say=said.append, sleep=pause)
    assert len(passed) == len(said) == 3
    assert "trying again" in said[0]
    assert execute(connection, "SELECT count(more) FROM compliance_journalworker") == 0
    assert execute(connection, "SHOW lock_timeout") == "0"


def test_it_gives_up_after_its_patience_and_holds_nothing(journal):
    connection, address = journal
    with psycopg.connect(address) as reader:
        reader.execute("SELECT count(*) FROM compliance_journalworker")
        with pytest.raises(OperationalError, match="lock timeout"):
            patiently(
                connection, lambda: execute(connection, CHANGE), lock_timeout=0.05, patience=0, say=str, sleep=float
            )
        assert reader.execute(f"SELECT pg_try_advisory_lock({TURN})").fetchone() == (True,)


def test_one_migrates_at_a_time(journal):
    connection, address = journal
    ran, other = [], psycopg.connect(address, autocommit=True)
    other.execute(f"SELECT pg_advisory_lock({TURN})")

    def pause(seconds):
        assert ran == []
        other.execute(f"SELECT pg_advisory_unlock({TURN})")

    patiently(connection, lambda: ran.append(1), lock_timeout=0.05, patience=60, say=str, sleep=pause)
    other.close()
    assert ran == [1]


def test_another_error_ends_it_at_once(journal):
    connection, _ = journal

    def pause(seconds):
        raise AssertionError

    with pytest.raises(Exception, match="nobody"):
        patiently(
            connection, lambda: execute(connection, "SELECT * FROM nobody"), lock_timeout=1, patience=9, say=str,
            sleep=pause,
        )  # fmt: skip


def test_the_command_does_so(journal, settings, capsys):
    connection, address = journal
    settings.MIGRATE_LOCK_TIMEOUT, settings.MIGRATE_PATIENCE = 0.05, 0
    with psycopg.connect(address, autocommit=True) as other:
        other.execute(f"SELECT pg_advisory_lock({TURN})")
        with pytest.raises(OperationalError, match="lock timeout"):
            call_command("migrate", database="journal", verbosity=0, skip_checks=True)
        call_command("migrate", database="journal", plan=True, skip_checks=True)  # asks nobody to wait
    assert "No planned" in capsys.readouterr().out
    call_command("migrate", database="journal", verbosity=0, skip_checks=True)


# Indexes beside writers -----------------------------------------------------------------------------------------------

INDEX = models.Index(fields=["model", "at"], name="entry_by_model")
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indexrelid::regclass::text LIKE 'entry_by_model%'"
BUILT = "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid::regclass::text LIKE 'entry_by_model%'"
PARTITIONS = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'compliance_auditentry'::regclass"


def build(connection, name="auditentry", index=INDEX, atomic=False):
    operation = AddIndexConcurrently(name, index)
    state = ProjectState.from_apps(apps)
    after = state.clone()
    operation.state_forwards("compliance", after)
    with connection.schema_editor(atomic=atomic) as editor:
        operation.database_forwards("compliance", editor, state, after)


def test_an_index_is_built_in_every_partition_and_what_was_interrupted_is_made_anew(journal):
    connection, _ = journal
    execute(connection, "SELECT compliance_journal_month('018bcfe56800')")
    partitions = execute(connection, PARTITIONS)
    assert partitions
    build(connection)
    assert execute(connection, BUILT) == partitions + 1
    child = execute(
        connection, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'entry_by_model'::regclass"
    )
    execute(connection, "DROP INDEX entry_by_model")
    table = child.replace("entry_by_model", "compliance_auditentry")
    execute(connection, f"CREATE INDEX {child} ON {table} (model, at)")
    execute(connection, f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{child}'::regclass")
    build(connection)
    assert (execute(connection, BUILT), execute(connection, INVALID)) == (partitions + 1, 0)
    build(connection)


def test_an_index_of_an_ordinary_table_too(journal):
    connection, _ = journal
    build(connection, "treenode", models.Index(fields=["tenant_id"], name="entry_by_model_of_nodes"))
    assert execute(connection, BUILT) == 1


def test_it_refuses_to_be_one_of_many(journal):
    connection, _ = journal
    with pytest.raises(NotSupportedError, match="atomic = False"):
        build(connection, atomic=True)


def test_elsewhere_it_is_an_ordinary_one(journal_file, django_db_blocker):
    with django_db_blocker.unblock(), named(journal_file):
        build(connections["journal"])
        with connections["journal"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM sqlite_master WHERE name = 'entry_by_model'")
            assert cursor.fetchone() == (1,)


def test_it_is_taken_back(journal):
    connection, _ = journal
    build(connection)
    operation = AddIndexConcurrently("auditentry", INDEX)
    before = ProjectState.from_apps(apps)
    after = before.clone()
    operation.state_forwards("compliance", after)
    assert isinstance(operation, migrations.AddIndex)
    with connection.schema_editor() as editor:
        operation.database_backwards("compliance", editor, after, before)
    assert execute(connection, BUILT) == 0
