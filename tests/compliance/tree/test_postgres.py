"""The same on PostgreSQL: what is folded when, who leads, what is removed."""

import itertools
import json

import psycopg
import pytest
from django.core.files.storage import FileSystemStorage
from django.core.management import call_command
from django.db import connections

from compliance.journal.records import COLUMNS, KEY_COLUMNS, completion_row, intent_row
from compliance.models import TreeRun
from compliance.tree import exporting, nodes
from compliance.tree.checkpoints import Checkpointer
from compliance.tree.database import tree_database
from compliance.tree.folding import Folder, NotLeading, ids_of
from compliance.tree.leading import LOCK, lead
from compliance.tree.removing import drop_empty_months
from compliance.tree.retention import DAY, Retention, Rules
from compliance.tree.sources import Sources
from compliance.tree.verifier import check_export
from compliance.tree.verifying import verify
from engine.turn import new_turn_id
from tests.compliance.journals import completion, intent, on_postgres
from tests.compliance.tree.trees import SIGNER
from tests.services.postgres import PostgresServer

NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
INSERT = f"INSERT INTO compliance_auditentry ({NAMES}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"
NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = PostgresServer(tmp_path_factory.mktemp("postgres") / "server")
    server.start()
    yield server
    server.stop()


numbers = itertools.count(1)


@pytest.fixture(scope="module")
def template(server, django_db_blocker):
    """A migrated database to copy."""
    with psycopg.connect(server.url, autocommit=True) as database:
        database.execute("CREATE DATABASE tree_template")
    with django_db_blocker.unblock(), on_postgres(server.url.replace("/postgres", "/tree_template")):
        call_command("migrate", database="journal", verbosity=0, skip_checks=True)
        with connections["journal"].cursor() as cursor:
            table = "compliance_auditentry"
            cursor.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS xid xid8 DEFAULT pg_current_xact_id()")
            cursor.execute("SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", [table])
            if cursor.fetchone() == ("p",):  # by month; here any will do
                cursor.execute(f"CREATE TABLE {table}_any PARTITION OF {table} DEFAULT")
    return "tree_template"


@pytest.fixture
def address(server, template, django_db_blocker, monkeypatch):
    """A new journal, which the alias reads."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    name = f"tree_{next(numbers)}"
    with psycopg.connect(server.url, autocommit=True) as database:
        database.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    address = server.url.replace("/postgres", f"/{name}")
    with django_db_blocker.unblock(), on_postgres(address):
        yield address


def turn(tenant_id=1, at=NOW):
    asked = intent(new_turn_id(at), tenant_id=tenant_id, at=at)
    return [intent_row(asked, "w"), completion_row(completion(asked, at=at), "w")]


def write(database, *turns):
    with database.cursor() as cursor:
        cursor.executemany(INSERT, [row for rows in turns for row in rows])


def fold(storage=None):
    with lead() as leader, Sources() as sources:
        folder, count = Folder(leader.alias), 0
        while folded := folder.fold(sources.all()):
            count += folded
        if storage is not None:
            Checkpointer(leader.alias, SIGNER, storage, lambda line: None).work()
    return count


def ids(tenant_id=1):
    with tree_database() as alias:
        runs = TreeRun.objects.using(alias).for_tenant(tenant_id).order_by("position")
        return [number for run in runs for number in ids_of(run)]


def test_it_folds_in_the_order_of_transactions_when_all_before_have_ended(address):
    with psycopg.connect(address) as slow, psycopg.connect(address, autocommit=True) as fast:
        write(slow, turn())  # began first, is not committed
        write(fast, turn())
        assert fold() == 0
        slow.commit()
        assert fold() == 4
        assert ids() == [1, 2, 3, 4]
        write(fast, turn())
        slow.execute("SELECT 1")  # reads only: it holds nothing up
        assert fold() == 2
        slow.rollback()
        slow.execute("SELECT pg_current_xact_id()")
        write(fast, turn())
        write(slow, turn())
        slow.rollback()  # ids 11 and 12 will never be there
        write(fast, turn())
        assert fold() == 6 - 2
    assert ids() == [1, 2, 3, 4, 5, 6, 7, 8, 11, 12]


def test_it_folds_a_lower_id_that_was_committed_later(address):
    with psycopg.connect(address) as slow, psycopg.connect(address, autocommit=True) as fast:
        fast.execute("SELECT 1")
        slow.execute("SELECT nextval(pg_get_serial_sequence('compliance_auditentry', 'id'))")
        reserved = slow.execute("SELECT currval(pg_get_serial_sequence('compliance_auditentry', 'id'))").fetchone()[0]
        slow.commit()
        write(fast, turn())
        assert fold() == 2
        write(slow, turn()[:1])
        slow.execute("UPDATE compliance_auditentry SET id = %s WHERE id > %s", [reserved, reserved + 2])
        slow.commit()
        assert fold() == 1
    assert ids() == [reserved + 1, reserved + 2, reserved]
    assert verify(SIGNER.keys, FileSystemStorage(location="/nonexistent")).holds


def test_it_verifies_and_exports(address, tmp_path):
    storage = FileSystemStorage(location=tmp_path)
    with psycopg.connect(address, autocommit=True) as database:
        write(database, *(turn(1 + number % 2) for number in range(300)))
        assert fold(storage) == 600
        write(database, turn())
        report = verify(SIGNER.keys, storage)
        assert report.findings == []
        assert (report.entries, report.leaves, report.pending, report.checkpoints) == (602, 600, 2, 2)
        assert verify(SIGNER.keys, storage, 2).entries == 300
        with tree_database() as alias:
            lines = list(exporting.export(alias, 1, 10, 290))
            assert nodes.position_of(alias, 1, 5) == 2
            assert nodes.position_of(alias, 1, 601) is None
        assert check_export(lines, SIGNER.keys).holds
        assert json.loads(lines[-2])["position"] == 289
        for statement in (
            "UPDATE compliance_auditentry SET model = 'better' WHERE id = 7",
            "UPDATE compliance_auditentry SET body = body || '\\x20' WHERE id = 7",
            "UPDATE compliance_auditentry SET session_id = '' WHERE id = 7",
            "DELETE FROM compliance_auditentry WHERE id = 7",
            "UPDATE compliance_auditentry SET id = -1 WHERE id = 7",
            "UPDATE compliance_treecursor SET entry_id = entry_id - 1",
        ):
            with database.transaction():
                database.execute("CREATE TABLE kept AS SELECT * FROM compliance_auditentry WHERE id = 7")
                database.execute(statement)
            assert not verify(SIGNER.keys, storage).holds, statement
            database.execute("DELETE FROM compliance_auditentry WHERE id IN (7, -1)")
            database.execute("INSERT INTO compliance_auditentry SELECT * FROM kept")
            database.execute("DROP TABLE kept")
        database.execute("UPDATE compliance_treecursor SET entry_id = entry_id + 1")
        assert verify(SIGNER.keys, storage).holds
        database.execute("UPDATE compliance_auditentry SET xid = '4611686018427387904' WHERE id > 600")
        assert sum("was put in later" in line for line in verify(SIGNER.keys, storage).findings) == 2


def test_one_leads_until_its_connection_is_gone(address):
    with psycopg.connect(address, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        assert lead() is None
        other.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
        leader = lead()
        assert leader.leads()
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        assert not leader.leads()
        leader.close()
    with lead() as leader:
        assert leader.leads()


def test_who_was_overtaken_writes_nothing(address):
    with psycopg.connect(address, autocommit=True) as database, Sources() as sources:
        write(database, turn())
        one, other = Folder("journal"), Folder("journal")
        one.fold(sources.all())
        other.fold(sources.all())
        write(database, turn())
        assert one.fold(sources.all()) == 2
        database.execute("UPDATE compliance_auditentry SET xid = pg_current_xact_id() WHERE id = 4")
        with pytest.raises(NotLeading):
            other.fold(sources.all())


def test_it_removes_what_is_past_its_retention(address, tmp_path):
    storage = FileSystemStorage(location=tmp_path)
    with psycopg.connect(address, autocommit=True) as database:
        write(database, *(turn(at=NOW - 40 * DAY) for _ in range(50)), *(turn(at=NOW) for _ in range(20)))
        fold(storage)
        database.execute(
            f"INSERT INTO compliance_subjectkey ({', '.join(KEY_COLUMNS)}) VALUES ('k', 1, 'nobody', '', %s)",
            [NOW - 40 * DAY],
        )
        with lead() as leader:
            duty = Retention(leader.alias, SIGNER, lambda: Rules(30, {}), now=lambda: NOW)
            while duty.work():
                pass
            duty.remove_keys()
        assert database.execute("SELECT count(*), min(at) FROM compliance_auditentry").fetchone() == (40, NOW)
        assert database.execute("SELECT count(*) FROM compliance_subjectkey").fetchone() == (0,)
    report = verify(SIGNER.keys, storage)
    assert report.findings == []
    assert report.removed == 100


def test_it_drops_past_months_that_are_empty(address):
    part = "CREATE TABLE compliance_auditentry_{} PARTITION OF compliance_auditentry FOR VALUES FROM ('{}') TO ('{}')"
    with psycopg.connect(address, autocommit=True) as database:
        database.execute("DROP TABLE compliance_auditentry CASCADE")
        database.execute("CREATE TABLE compliance_auditentry (turn_id text) PARTITION BY RANGE (turn_id)")
        for name, first, end in (("y2020m01", "a", "b"), ("y2020m02", "b", "c"), ("y9999m01", "c", "d")):
            database.execute(part.format(name, first, end))
        database.execute("INSERT INTO compliance_auditentry VALUES ('b1')")
        assert drop_empty_months() == 1
        left = database.execute("SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY 1").fetchall()
        assert left == [("compliance_auditentry_y2020m02",), ("compliance_auditentry_y9999m01",)]
