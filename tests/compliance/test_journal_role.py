"""The writer's own role adds entries and does nothing else; turns work with it, and so do sweeping and the spool."""

import io
import time

import psycopg
import pytest
from django.core.management import call_command

from compliance.journal.granting import grant_writer
from compliance.journal.opening import open_journal, sweeper
from compliance.journal.postgres import PostgresStore, Sweeper
from compliance.journal.records import intent_row
from compliance.journal.spool import SpoolStore
from compliance.journal.store import StoreAway
from engine.turn import new_turn_id
from tests.compliance.journals import completion, intent, kinds, on_postgres, rows, run, sealer, store_on, writer_on


@pytest.fixture(scope="module")
def role(postgres):
    run(postgres.url, "CREATE ROLE writer LOGIN")
    return "writer"


@pytest.fixture
def as_writer(journal_database, role, django_db_blocker, monkeypatch):
    """The address as the role; what it was given it was given by the command."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with django_db_blocker.unblock(), on_postgres(journal_database):
        call_command("audit", "grant", "--role", role, stdout=io.StringIO(), skip_checks=True)
        yield journal_database.replace("clawdbot@", f"{role}@")


async def test_turns_work_with_it(as_writer, journal_database, settings):
    settings.JOURNAL_WRITER = {"NAME": as_writer.rpartition("/")[2], "USER": "writer", "HOST": "127.0.0.1"}
    settings.JOURNAL_WRITER["PORT"] = as_writer.rpartition(":")[2].partition("/")[0]
    writer = open_journal(sealer())
    await writer.start()
    asked = intent()
    old = intent(new_turn_id(1_650_000_000))  # whose month has no partition yet
    await writer.intent(asked)
    await writer.intent(old)
    await writer.completion(completion(asked))
    await writer.completion(completion(old))
    assert run(journal_database, "SELECT usename FROM pg_stat_activity WHERE application_name = 'clawdbot-journal'")
    assert all(
        name == "writer"
        for (name,) in run(
            journal_database,
            "SELECT usename FROM pg_stat_activity WHERE application_name = 'clawdbot-journal' "
            "AND datname = current_database()",
        )
    )
    await writer.stop()
    assert set(map(tuple, kinds(journal_database).values())) == {("intent", "completed")}


def test_it_stores_keys_and_what_may_be_there_already(as_writer, journal_database):
    store = PostgresStore(as_writer, "w1")
    row = intent_row(intent(), "w1")
    store.append([row], [("k1", 1, "someone", b"sealed", 1.0)])
    assert store.restore([row], [("k1", 1, "someone", b"sealed", 1.0)]) == []
    assert len(rows(journal_database)) == 1
    store.close(finished=True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE compliance_auditentry SET state = 'completed'",
        "DELETE FROM compliance_auditentry",
        "TRUNCATE compliance_auditentry",
        "SELECT body FROM compliance_auditentry",
        'SELECT "user" FROM compliance_auditentry',
        "SELECT * FROM compliance_auditentry",
        "COPY compliance_auditentry TO STDOUT",
        "DROP TABLE compliance_auditentry",
        "ALTER TABLE compliance_auditentry DISABLE TRIGGER ALL",
        "SELECT wrapped FROM compliance_subjectkey",
        "UPDATE compliance_subjectkey SET wrapped = ''",
        "DELETE FROM compliance_subjectkey",
        "UPDATE compliance_journalworker SET spool = true",
        "SELECT setval('compliance_auditentry_number', 1)",
        "CREATE TABLE mine (id int)",
        "SELECT body FROM {partition}",
        "DELETE FROM {partition}",
        "TRUNCATE {partition}",
    ],
)
def test_it_may_do_nothing_else(as_writer, journal_database, statement):
    store = store_on(journal_database)
    store.open()
    store.append([intent_row(intent(), "w1")])
    (partition,) = run(journal_database, "SELECT tableoid::regclass::text FROM compliance_auditentry")[0]
    with psycopg.connect(as_writer) as database, pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.execute(statement.format(partition=partition))
    store.close(finished=True)
    assert len(rows(journal_database)) == 1


async def test_it_loses_what_it_could_do_before(as_writer, journal_database):
    run(journal_database, "GRANT ALL ON ALL TABLES IN SCHEMA public TO writer")
    grant_writer("writer")
    with psycopg.connect(as_writer) as database, pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.execute("DELETE FROM compliance_auditentry")


async def test_it_ends_the_turns_of_the_dead(as_writer, journal_database):
    writer = writer_on(as_writer, "dead")
    await writer.start()
    await writer.intent(intent())
    await writer.stop()
    run(journal_database, "UPDATE compliance_journalworker SET heartbeat = heartbeat - 60")
    sweeping = Sweeper(as_writer, "w2", dead_after=0.0)
    assert sweeping.sweep() == 1
    sweeping.close()
    assert list(kinds(journal_database).values()) == [["intent", "aborted"]]


def test_it_replays_a_spool(as_writer, journal_database, tmp_path):
    row = intent_row(intent(), "w1")
    store = SpoolStore(PostgresStore(as_writer, "w1"), tmp_path, limit=1 << 20)
    store.open()
    store.beat(row[0])
    store._lost(StoreAway("away"))
    store.append([row])
    store.close(finished=False)
    store = SpoolStore(PostgresStore(as_writer, "w2"), tmp_path, limit=1 << 20)
    store.open()
    store.close(finished=True)
    assert kinds(journal_database) == {row[0]: ["intent", "aborted"]}


def test_its_command_says_what_is_wrong(as_writer, journal_alias_of_files):
    err = io.StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("audit", "grant", "--role", "nobody", stderr=err, skip_checks=True)
    assert left.value.code == 2
    assert "nobody" in err.getvalue()
    with journal_alias_of_files, pytest.raises(SystemExit) as left:
        call_command("audit", "grant", "--role", "writer", stderr=err, skip_checks=True)
    assert left.value.code == 2
    assert "files have no roles" in err.getvalue()


@pytest.fixture
def journal_alias_of_files(monkeypatch):
    """While entered, the journal is what it is on a fresh machine."""
    from unittest.mock import patch

    return patch("compliance.journal.granting.connections", {"journal": type("Files", (), {"vendor": "sqlite"})()})


async def test_a_process_without_turns_sweeps_too(place_alias):
    writer = writer_on(place_alias, "dead")
    await writer.start()
    await writer.intent(intent())
    await writer.stop()
    run(place_alias, "UPDATE compliance_journalworker SET heartbeat = heartbeat - 60")
    sweep = sweeper("sequencer")
    until = time.monotonic() + 1
    while not sweep():
        if isinstance(place_alias, str):  # there the sweeper waits for who may only have lost its connection
            sweep.func.__self__._dead_after = 0.0
        assert time.monotonic() < until
    assert list(kinds(place_alias).values()) == [["intent", "aborted"]]
