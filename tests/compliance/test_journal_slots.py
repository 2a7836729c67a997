"""A file a writer: claimed by a lock, swept when its writer is dead, read as one."""

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connections
from django.db.utils import DatabaseError

from compliance.database import JOURNAL_MODELS
from compliance.journal import slots, tables
from compliance.journal.opening import open_journal
from compliance.journal.reader import entries
from compliance.journal.sqlite import SqliteStore
from compliance.models import AuditEntry, JournalWorker
from tests.compliance.journals import KEYS, completion, intent, kinds, rows, sealer, writer_on

# Writes one intent (and no end), then says so; `hang` keeps it alive.
WRITER = """
import asyncio, sys
from pathlib import Path
from tests.compliance.journals import intent, writer_on

async def main():
    writer = writer_on(Path(sys.argv[1]), sys.argv[2])
    await writer.start()
    asked = intent()
    await writer.intent(asked)
    print(asked.turn_id, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def other_process(journal_file):
    """Starts writers in processes of their own: `other_process("w2")` is (process, id of the turn it opened)."""
    started = []

    def start(worker):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(journal_file), worker], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        turn_id = process.stdout.readline().strip()
        assert turn_id
        return process, turn_id

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def grow_old(path, seconds=60):
    """As if the workers of this file had been silent for so long."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE compliance_journalworker SET heartbeat = heartbeat - ?", (seconds,))


def test_it_gives_every_claimant_its_own_file(tmp_path):
    first = tmp_path / "journal.sqlite3"
    held = [slots.claim(first) for _ in range(3)]
    assert [slot.path.name for slot in held] == ["journal.sqlite3", "journal-1.sqlite3", "journal-2.sqlite3"]
    held[1].release()
    assert slots.claim(first).number == 1


def test_it_says_so_when_every_file_has_a_writer(tmp_path):
    held = [slots.claim(tmp_path / "journal.sqlite3") for _ in range(slots.SLOTS)]
    with pytest.raises(slots.NoSlot, match="JOURNAL_URL"):
        slots.claim(tmp_path / "journal.sqlite3", patience=0)
    for slot in held:
        slot.release()


async def test_it_ends_what_a_killed_worker_left_open_when_the_next_one_starts(journal_file, other_process):
    process, turn_id = other_process("w1")
    process.kill()
    process.wait()
    writer = writer_on(journal_file, "w2")
    await writer.start()
    await writer.stop()
    assert kinds(journal_file) == {turn_id: ["intent", "aborted"]}
    assert rows(journal_file, "worker") == [("w1",), ("w2",)]


async def test_it_sweeps_the_file_of_a_dead_worker_nobody_replaces(journal_alias, journal_file, other_process):
    writer = writer_on(journal_file, "w0")
    await writer.start()
    tables.migrate_slot(journal_file, 1)
    process, turn_id = other_process("w1")
    other = slots.slot_path(journal_file, 1)
    process.send_signal(signal.SIGSTOP)
    grow_old(other)
    assert writer._store.sweep() == 0  # it only sleeps: the lock is held
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    grow_old(other)
    assert writer._store.sweep() == 1
    assert writer._store.sweep() == 0
    assert kinds(other) == {turn_id: ["intent", "aborted"]}
    await writer.stop()


async def test_it_leaves_a_dead_worker_alone_until_it_was_silent_for_a_while(
    journal_alias, journal_file, other_process
):
    tables.migrate_slot(journal_file, 1)
    blocker = slots.claim(journal_file)
    process, turn_id = other_process("w1")
    process.kill()
    process.wait()
    store = SqliteStore(blocker, "w0")
    assert store.sweep() == 0
    grow_old(slots.slot_path(journal_file, 1))
    assert store.sweep() == 1
    store.close(finished=False)


async def test_it_sweeps_an_open_turn_that_is_older_than_the_last_heartbeat_said(journal_file):
    """A turn that waited long before its intent: `oldest_open` is lowered before the intent is written."""
    writer = writer_on(journal_file, "w1")
    await writer.start()
    old = intent(f"{int((time.time() - 3600) * 1000):012x}" + "0" * 20)
    await writer.intent(old)
    with closing(sqlite3.connect(journal_file)) as database:
        (bound,) = database.execute("SELECT oldest_open FROM compliance_journalworker").fetchone()
    assert bound <= old.turn_id
    await writer.stop()  # with the turn open, so the worker stays known
    successor = writer_on(journal_file, "w2")
    await successor.start()
    await successor.stop()
    assert kinds(journal_file) == {old.turn_id: ["intent", "aborted"]}


async def test_it_sweeps_more_than_one_chunk(journal_file):
    writer = writer_on(journal_file, "w1")
    await writer.start()
    for _ in range(3):
        for future in [writer.intent(intent()) for _ in range(200)]:
            await future
    await writer.stop()
    successor = writer_on(journal_file, "w2")
    await successor.start()
    await successor.stop()
    assert set(map(tuple, kinds(journal_file).values())) == {("intent", "aborted")}
    assert len(kinds(journal_file)) == 600


async def test_it_forgets_a_worker_that_left_nothing_open(journal_file):
    writer = writer_on(journal_file, "w1")
    await writer.start()
    asked = intent()
    await writer.intent(asked)
    await writer.completion(completion(asked))
    await writer.stop()
    with closing(sqlite3.connect(journal_file)) as database:
        assert database.execute("SELECT COUNT(*) FROM compliance_journalworker").fetchone() == (0,)
    assert slots.claim(journal_file).number == 0


async def test_it_reads_all_files_as_one_table(journal_alias):
    writers, turns = [], []
    for number in range(3):
        writer = open_journal(sealer())
        await writer.start()
        writers.append(writer)
        asked = intent(user=f"u{number}")
        turns.append(asked.turn_id)
        await writer.intent(asked)
        await writer.completion(completion(asked))
    found = list(entries().for_tenant(1).filter(kind="intent").order_by("turn_id"))
    assert [entry.turn_id for entry in found] == sorted(turns)
    assert {entry.user for entry in found} == {KEYS[1].pseudonym(f"u{number}") for number in range(3)}
    assert len({entry.pk for entry in entries().everywhere()}) == 6
    assert [bytes(entry.body)[:1] for entry in found] == [b"\x01"] * 3
    assert {worker.slot for worker in JournalWorker.objects.all()} == {0, 1, 2}
    assert AuditEntry.objects.for_tenant(2).count() == 0
    for writer in writers:
        await writer.stop()


async def test_it_reads_with_the_index_of_every_file(journal_alias):
    tables.migrate_slot(journal_alias, 1)
    tables.migrate_slot(journal_alias, 2)
    plan = entries().for_tenant(1).filter(kind="intent").order_by("-turn_id")[:50].explain()
    assert plan.count("audit_by_tenant") == 3
    assert "TEMP B-TREE FOR ORDER BY" not in plan
    plan = entries().for_tenant(1).filter(kind="intent", session_id="s").order_by("-turn_id")[:50].explain()
    assert plan.count("audit_by_session") == 3


def test_a_further_file_has_what_its_own_migrations_would_make(journal_alias, tmp_path):
    def shape(path):
        tables.migrate_slot(path, 1)
        with closing(sqlite3.connect(slots.slot_path(path, 1))) as file:
            made = set(file.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))
            assert file.execute("SELECT count(*) FROM compliance_auditentry").fetchone() == (0,)
            return made, set(file.execute("SELECT name FROM django_migrations WHERE app = 'compliance'"))

    writer_on_first = sqlite3.connect(journal_alias)  # a worker is in the midst of a write
    writer_on_first.execute("BEGIN IMMEDIATE")
    taken = shape(journal_alias)
    writer_on_first.close()
    (tmp_path / "alone").mkdir()
    alone = tmp_path / "alone" / "journal.sqlite3"
    assert taken == shape(alone)  # no first file there: step by step
    assert len(taken[0]) > 20
    with closing(sqlite3.connect(alone)) as half, half:  # being migrated right now
        half.execute("CREATE TABLE django_migrations (id integer PRIMARY KEY, app text, name text, applied text)")
        half.execute("CREATE TABLE compliance_auditentry (id integer)")
    slots.slot_path(alone, 1).unlink()
    assert taken == shape(alone)


async def test_it_migrates_every_file_with_the_first(journal_alias):
    tables.migrate_slot(journal_alias, 1)
    assert entries().everywhere().count() == 0
    call_command("migrate", "compliance", "zero", database="journal", verbosity=0, skip_checks=True)
    call_command("migrate", database="journal", verbosity=0, skip_checks=True)
    assert entries().everywhere().count() == 0
    with connections["journal"].cursor() as cursor:
        views = cursor.execute("SELECT name FROM sqlite_temp_master WHERE type = 'view'").fetchall()
    assert len(views) == len(JOURNAL_MODELS)


def test_it_opens_only_a_migrated_journal(journal_alias):
    journal_alias.unlink()
    with pytest.raises(ImproperlyConfigured, match="migrate --database journal"):
        open_journal(sealer())


def test_it_refuses_to_read_more_files_than_one_connection_holds(journal_alias):
    for number in range(1, slots.SLOTS + 2):
        journal_alias.with_name(f"journal-{number}.sqlite3").write_bytes(journal_alias.read_bytes())
    with pytest.raises((slots.NoSlot, DatabaseError), match="more than 8"):
        entries()
