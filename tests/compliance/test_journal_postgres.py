"""What PostgreSQL adds: partitions by month, any number of workers in one table, answers that get lost."""

import asyncio
import subprocess
import sys
import time

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from compliance.journal import postgres as module
from compliance.journal.answering import Answering
from compliance.journal.balance import balance
from compliance.journal.opening import open_journal
from compliance.journal.postgres import PostgresStore, Sweeper
from compliance.journal.records import COLUMNS, completion_row, intent_row
from compliance.journal.store import RecordRefused, StoreAway
from compliance.models import AuditEntry
from engine.entries import Partial, SessionEntry
from engine.turn import new_turn_id
from tests.compliance.journals import completion, intent, kinds, on_postgres, rows, run, sealer, writer_on

WRITER = """
import asyncio, sys
from tests.compliance.journals import intent, writer_on

async def main():
    writer = writer_on(sys.argv[1], sys.argv[2])
    await writer.start()
    asked = intent()
    await writer.intent(asked)
    print(asked.turn_id, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


WATCH = (
    "CREATE TABLE statements (text text)",
    "CREATE FUNCTION watched() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN INSERT INTO statements VALUES (current_query()); RETURN NULL; END'",
    "CREATE TRIGGER watched AFTER INSERT ON compliance_auditentry FOR EACH STATEMENT EXECUTE FUNCTION watched()",
)


@pytest.fixture
def store(journal_database):
    store = PostgresStore(journal_database, "w1")
    store.open()
    yield store
    store.close(finished=True)


@pytest.fixture
def journal_on_postgres(journal_database, django_db_blocker, monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with django_db_blocker.unblock(), on_postgres(journal_database):
        yield journal_database


@pytest.fixture
def other_process(journal_database):
    """`other_process("w2")`: a writer elsewhere that holds one open turn; (process, turn id)."""
    started = []

    def start(worker):
        command = [sys.executable, "-c", WRITER, journal_database, worker]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def partitions(address):
    found = run(address, "SELECT relid::regclass::text FROM pg_partition_tree('compliance_auditentry') WHERE isleaf")
    return sorted(name for (name,) in found)


def named(moment):
    return time.strftime("compliance_auditentry_y%Ym%m", time.gmtime(moment))


def grow_old(address, seconds=60):
    run(address, f"UPDATE compliance_journalworker SET heartbeat = heartbeat - {seconds}")


def test_it_has_partitions_for_this_month_and_the_next_two(store, journal_database):
    today = time.gmtime()
    months = [(today.tm_year + (today.tm_mon - 1 + n) // 12, (today.tm_mon - 1 + n) % 12 + 1) for n in range(3)]
    assert partitions(journal_database) == [f"compliance_auditentry_y{year}m{month:02}" for year, month in months]


def test_it_makes_the_partition_of_a_month_that_has_none(store, journal_database):
    moments = [1_700_000_000.0, 1_709_251_199.999, 1_709_251_200.0]  # the last two around 1 March 2024
    store.append([intent_row(intent(new_turn_id(moment)), "w1") for moment in moments])
    places = [name for (name,) in run(journal_database, "SELECT tableoid::regclass::text FROM compliance_auditentry")]
    assert sorted(places) == [
        "compliance_auditentry_y2023m11",
        "compliance_auditentry_y2024m02",
        "compliance_auditentry_y2024m03",
    ]


def test_two_writers_make_the_same_month_at_once(journal_database):
    stores = [PostgresStore(journal_database, f"w{number}") for number in range(8)]

    async def write():
        batches = [[intent_row(intent(new_turn_id(1_600_000_000)), store.worker)] for store in stores]
        for store in stores:
            store.beat("")
        await asyncio.gather(*(asyncio.to_thread(s.append, batch) for s, batch in zip(stores, batches, strict=True)))

    asyncio.run(write())
    assert len(rows(journal_database)) == 8
    for store in stores:
        store.close(finished=True)


def test_a_month_that_another_has_just_made_is_tried_again(journal_database, monkeypatch):
    store = PostgresStore(journal_database, "w1")
    store.beat("")
    copy, stale = store._entries._copy, [1, 2]

    def copied(*given):
        if stale:
            stale.pop()
            raise psycopg.errors.CheckViolation("no partition found for row")
        return copy(*given)

    monkeypatch.setattr(store._entries, "_copy", copied)
    store.append([intent_row(intent(new_turn_id(1_600_000_000)), store.worker)])
    assert len(rows(journal_database)) == 1 and not stale
    store.close(finished=True)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("session_id", "a\0b"),
        ("user", "\ud800"),
        ("model", "x" * 201),
        ("tenant_id", 1 << 63),
        ("number", 1 << 31),
        ("number", -1),
        ("key_id", "seven"),
        ("turn_id", "no time"),
        ("turn_id", None),
        ("at", "now"),
    ],
)
def test_it_refuses_what_the_table_cannot_hold_and_goes_on(store, journal_database, column, value):
    row = list(intent_row(intent(), "w1"))
    row[COLUMNS.index(column)] = value
    with pytest.raises(RecordRefused):
        store.append([intent_row(intent(), "w1"), tuple(row)])
    assert rows(journal_database) == []
    store.append([intent_row(intent(), "w1")])
    assert len(rows(journal_database)) == 1


def append_without_answer(store, address, monkeypatch, row):
    """Everything reaches the server, but for the client the connection breaks."""
    wait, committed = Answering.wait, []

    def lose(connection, gen, *args):
        result = wait(connection, gen, *args)
        if rows(address) and not committed:
            committed.append(True)
            raise psycopg.OperationalError("connection lost")
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Answering, "wait", lose)
        with pytest.raises(StoreAway):
            store.append([row], [("k" * 32, 1, "someone", b"sealed", 1.0)])


def test_it_writes_an_entry_once_when_the_answer_to_a_commit_is_lost(store, journal_database, monkeypatch):
    row = intent_row(intent(), "w1")
    append_without_answer(store, journal_database, monkeypatch, row)
    store.append([row], [("k" * 32, 1, "someone", b"sealed", 1.0)])
    assert len(rows(journal_database)) == 1
    with pytest.raises(RecordRefused):  # that it is there is no answer to whoever sends it again
        store.append([row])


def test_it_ends_a_turn_that_was_given_up_after_the_answer_to_its_commit_was_lost(store, journal_database, monkeypatch):
    asked = intent()
    append_without_answer(store, journal_database, monkeypatch, intent_row(asked, "w1"))
    store.beat(asked.turn_id)  # it may still be sent again
    assert kinds(journal_database) == {asked.turn_id: ["intent"]}
    for _ in range(2):
        store.beat(new_turn_id(time.time() + 1))  # it is not open any more
        assert kinds(journal_database) == {asked.turn_id: ["intent", "aborted"]}


def test_it_does_not_take_the_end_somebody_else_wrote_for_its_own(store, journal_database):
    asked = intent()
    store.append([intent_row(asked, "w1")])
    other = PostgresStore(journal_database, "w2")
    other.append([completion_row(completion(asked, "aborted"), "w2")])
    mine, good = completion_row(completion(asked), "w1"), intent_row(intent(), "w1")
    assert store.restore([mine, good]) == [mine]
    assert rows(journal_database, "state")[1] == ("aborted",)
    assert len(rows(journal_database)) == 3
    other.close(finished=True)


def test_it_gives_up_a_server_that_does_not_answer(journal_database):
    store = PostgresStore(journal_database, "w1", answer=0.3)
    store.open()
    with psycopg.connect(journal_database) as blocker:
        blocker.execute("LOCK TABLE compliance_auditentry IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(StoreAway):
            store.append([intent_row(intent(), "w1")])
        assert time.monotonic() - began < 30
    store.append([intent_row(intent(), "w1")])
    assert len(rows(journal_database)) == 1
    store.close(finished=True)


def test_it_commits_to_the_disk_also_where_the_server_would_not(store, journal_database):
    name = journal_database.rpartition("/")[2]
    run(journal_database, f"ALTER DATABASE {name} SET synchronous_commit = off")
    connection = Answering.to(journal_database)
    assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    connection.close()


async def test_its_workers_share_one_table(journal_on_postgres):
    writers = [open_journal(sealer()) for _ in range(12)]
    for writer in writers:
        await writer.start()
    asked = [intent(user=f"u{number}") for number in range(12)]
    await asyncio.gather(*(writer.intent(one) for writer, one in zip(writers, asked, strict=True)))
    await asyncio.gather(*(w.completion(completion(one)) for w, one in zip(writers, asked, strict=True)))
    counted = balance()
    assert counted.holds
    assert (counted.intents, counted.completed) == (12, 12)
    for writer in writers:
        await writer.stop()
    assert run(journal_on_postgres, "SELECT count(*) FROM compliance_journalworker") == [(0,)]


async def test_it_ends_what_a_killed_worker_left_open_and_nothing_of_the_living(journal_database, other_process):
    dead, dead_turn = other_process("dead")
    _, living_turn = other_process("living")
    sweeper = Sweeper(journal_database, "w0", dead_after=0.0)
    grow_old(journal_database)
    assert sweeper.sweep() == 0  # both hold their locks
    dead.kill()
    dead.wait()
    until = time.monotonic() + 10
    while not sweeper.sweep():
        assert time.monotonic() < until
        grow_old(journal_database)
        await asyncio.sleep(0.05)
    found = kinds(journal_database)
    assert (found[dead_turn], found[living_turn]) == (["intent", "aborted"], ["intent"])
    assert [name for (name,) in run(journal_database, "SELECT worker FROM compliance_journalworker")] == ["living"]
    sweeper.close()


async def test_it_waits_for_those_who_live_when_the_server_was_away(journal_database):
    """Their locks are gone with their connections, and the sweeper may be the first to be back."""
    writer = writer_on(journal_database, "w1")
    await writer.start()
    await writer.intent(intent())
    await writer.stop()
    grow_old(journal_database)
    sweeper = Sweeper(journal_database, "w2", dead_after=1.0)
    assert sweeper.sweep() == 0
    await asyncio.sleep(1.1)
    assert sweeper.sweep() == 1
    sweeper.close()


async def test_it_leaves_those_whose_disk_may_hold_more_to_who_has_it(journal_database):
    writer = writer_on(journal_database, "w1")
    await writer.start()
    await writer.intent(intent())
    await writer.stop()
    run(journal_database, "UPDATE compliance_journalworker SET spool = true")
    sweeper = Sweeper(journal_database, "w2", dead_after=0.0)
    grow_old(journal_database)
    assert sweeper.sweep() == 0
    grow_old(journal_database, module.GIVEN_UP)
    assert sweeper.sweep() == 1
    sweeper.close()


async def test_it_sweeps_more_than_one_chunk(journal_database):
    writer = writer_on(journal_database, "w1")
    await writer.start()
    await asyncio.gather(*(writer.intent(intent()) for _ in range(600)))
    await writer.stop()
    grow_old(journal_database)
    sweeper = Sweeper(journal_database, "w2", dead_after=0.0)
    assert sweeper.sweep() == 600
    assert set(map(tuple, kinds(journal_database).values())) == {("intent", "aborted")}
    sweeper.close()


def test_it_moves_the_entries_of_a_plain_table(postgres, django_db_blocker):
    address = postgres.database("plain")
    with django_db_blocker.unblock(), on_postgres(address):
        call_command("migrate", "compliance", "0002", database="journal", verbosity=0, skip_checks=True)
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        with connections["journal"].cursor() as cursor:
            for moment in (1_700_000_000, time.time()):
                row = intent_row(intent(new_turn_id(moment)), "old")
                cursor.execute(f"INSERT INTO compliance_auditentry ({names}) VALUES ({', '.join(['%s'] * 13)})", row)
        call_command("migrate", database="journal", verbosity=0, skip_checks=True)
        assert [entry.worker for entry in AuditEntry.objects.everywhere().order_by("id")] == ["old", "old"]
        store = PostgresStore(address, "w1")
        store.append([intent_row(intent(), "w1")])
        store.close(finished=True)
        assert [entry.id for entry in AuditEntry.objects.everywhere().order_by("id")] == [1, 2, 3]
        with connections["journal"].cursor() as cursor:
            cursor.execute("SET enable_seqscan = off; SET enable_sort = off")
        plan = AuditEntry.objects.for_tenant(1).filter(kind="intent").order_by("-turn_id")[:50].explain()
        assert plan.count("turn_id_idx") == 2, plan  # the index of each partition, in its order
        assert "Sort  (" not in plan
        call_command("migrate", "compliance", "0002", database="journal", verbosity=0, skip_checks=True)
        call_command("migrate", database="journal", verbosity=0, skip_checks=True)
        assert AuditEntry.objects.everywhere().count() == 3


def test_it_can_be_read_without_missing_one(store, journal_database):
    """`xid` and the snapshot tell what is complete: a transaction that is open hides all that came after it began."""
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    stable = (
        "SELECT turn_id FROM compliance_auditentry WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, id"
    )
    first, slow, fast = (intent_row(intent(), "w1") for _ in range(3))
    store.append([first])
    with psycopg.connect(journal_database) as other:
        other.execute(f"INSERT INTO compliance_auditentry ({names}) VALUES ({', '.join(['%s'] * 13)})", slow)
        store.append([fast])
        assert run(journal_database, stable) == [(first[0],)]
    assert run(journal_database, stable) == [(first[0],), (slow[0],), (fast[0],)]


async def test_it_copies_entries_of_every_kind(journal_database):
    """No INSERT, which costs several times as much a row."""
    for statement in WATCH:
        run(journal_database, statement)
    journal = writer_on(journal_database)
    await journal.start()
    asked, now = intent(), time.time()
    changed = SessionEntry(
        turn_id=new_turn_id(now), tenant_id=1, at=now, session_id="s", action="patched", parent=1, subject="k", user="u"
    )
    await journal.intent(asked)
    journal.partial(Partial(turn_id=asked.turn_id, tenant_id=1, at=now, number=1, user=asked.user))
    await journal.completion(completion(asked))
    await journal.session(changed)
    await journal.stop()
    kinds = run(journal_database, "SELECT DISTINCT kind FROM compliance_auditentry ORDER BY kind")
    assert [kind for (kind,) in kinds] == ["completion", "intent", "partial", "session"]
    begun = {text.split("(")[0].strip() for (text,) in run(journal_database, "SELECT text FROM statements")}
    assert begun == {"COPY compliance_auditentry"}
