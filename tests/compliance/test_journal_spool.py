"""While the database is away nothing is refused; when it is back it has everything, once, in order."""

import asyncio
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from compliance.journal import spool as module
from compliance.journal.records import completion_row, intent_row
from compliance.journal.spool import SpoolStore
from compliance.journal.spoolfile import SpoolFile
from compliance.journal.store import StoreAway
from compliance.journal.writer import JournalWriter
from compliance.models import Erasure
from compliance.sealing.forgetting import living
from engine.errors import AuditUnavailable, InvalidRequest
from tests.compliance.journals import completion, intent, kinds, rows, run, sealer, store_on

LIMIT = 8 << 20


class Outage:
    """A store whose database is away while `away` is set; with `lost` it writes, but the answer does not come back."""

    def __init__(self, store):
        self.store = store
        self.worker, self.home = store.worker, store.home
        self.away = self.lost = False

    @property
    def backlog(self):
        return self.store.backlog

    @backlog.setter
    def backlog(self, backlog):
        self.store.backlog = backlog

    def __getattr__(self, name):
        method = getattr(self.store, name)

        def call(*args, **options):
            if self.away and name != "close":
                raise StoreAway("away")
            result = method(*args, **options)
            if self.lost and name in ("append", "restore"):
                raise StoreAway("the answer was lost")
            return result

        return call


def spooling(place, folder, worker="w1", limit=LIMIT):
    outage = Outage(store_on(place, worker))
    return outage, SpoolStore(outage, folder, limit=limit)


@pytest.fixture(autouse=True)
def probes_often(monkeypatch):
    monkeypatch.setattr(module, "PROBE", 0.02)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
async def spooled(place, folder):
    """(outage, writer, spool), started."""
    outage, store = spooling(place, folder)
    writer = JournalWriter(store, sealer())
    await writer.start()
    yield outage, writer, store
    outage.away = outage.lost = False
    await writer.stop()


async def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.01)


async def test_it_refuses_nothing_while_the_database_is_away(spooled, place):
    outage, writer, store = spooled
    before = intent()
    await writer.intent(before)
    outage.away = True
    turns = [intent() for _ in range(600)]
    await asyncio.gather(*(writer.intent(one) for one in turns))
    await writer.completion(completion(before))
    await asyncio.gather(*(writer.completion(completion(one)) for one in turns[:300]))
    assert writer.healthy
    assert writer.waiting.spooled == store.spooled == store.waiting() > 0
    assert [kind for _, kind, _ in rows(place)] == ["intent"]
    outage.away = False
    await asyncio.gather(*(writer.completion(completion(one)) for one in turns[300:]))
    await until(lambda: not store.spooled)
    await writer.intent(last := intent())
    found = kinds(place)
    assert found.pop(last.turn_id) == ["intent"]
    assert set(found) == {one.turn_id for one in [before, *turns]}
    assert {tuple(entries) for entries in found.values()} == {("intent", "completed")}
    assert rows(place)[-1][0] == last.turn_id  # nothing newer came before what waited


async def test_it_writes_once_what_the_database_had_already(spooled, place):
    outage, writer, store = spooled
    outage.lost = True
    asked = intent()
    await writer.intent(asked)
    await until(lambda: len(rows(place)) == 1)
    await writer.completion(completion(asked))
    outage.lost = False
    await until(lambda: not store.spooled)
    assert kinds(place) == {asked.turn_id: ["intent", "completed"]}


async def test_it_starts_while_the_database_is_away(place, folder):
    outage, store = spooling(place, folder)
    outage.away = True
    writer = JournalWriter(store, sealer())
    await writer.start()
    asked = intent()
    await writer.intent(asked)
    assert writer.healthy
    outage.away = False
    await until(lambda: not store.spooled)
    await writer.completion(completion(asked))
    await writer.stop()
    assert kinds(place) == {asked.turn_id: ["intent", "completed"]}
    assert list(folder.iterdir()) == []


async def test_it_refuses_what_the_database_would_refuse(spooled, place):
    outage, writer, store = spooled
    outage.away = True
    for poison in (intent(tenant_id=1 << 63), intent(model="m" * 201), intent("no time"), intent(session_id="a\0b")):
        with pytest.raises(InvalidRequest):
            await writer.intent(poison)
    await writer.intent(good := intent())
    outage.away = False
    await until(lambda: not store.spooled)
    assert kinds(place) == {good.turn_id: ["intent"]}


async def test_it_is_full_at_its_limit_and_has_room_again_afterwards(place, folder):
    outage, store = spooling(place, folder, limit=100_000)
    writer = JournalWriter(store, sealer(), deadline=0.5)
    await writer.start()
    outage.away = True
    await writer.intent(intent(params={"text": "x" * 90_000}))
    with pytest.raises(AuditUnavailable):
        await writer.intent(intent(params={"text": "x" * 90_000}))
    assert not writer.healthy
    outage.away = False
    await until(lambda: writer.healthy and not store.spooled)
    await writer.intent(intent())
    assert len(rows(place)) == 2
    await writer.stop()


async def test_it_would_take_an_entry_as_long_as_there_is_room(place, folder):
    outage, store = spooling(place, folder, limit=200_000)
    writer = JournalWriter(store, sealer(), deadline=0.5)
    await writer.start()
    assert await writer.takes()
    outage.away = True
    assert await writer.takes()
    await writer.intent(intent(params={"text": "x" * 150_000}))
    assert not await writer.takes()
    outage.away = False
    await until(lambda: not store.spooled)
    assert await writer.takes()
    await writer.stop()


async def test_it_keeps_data_keys_with_their_entries(place, folder):
    outage, store = spooling(place, folder)
    store.open()
    outage.away = True
    store.append([intent_row(intent(), "w1")], [("k1", 1, "someone", b"sealed", 1.0)])
    outage.away = False
    await until(lambda: not store.spooled)
    assert run(place, "SELECT id, subject FROM compliance_subjectkey") == [("k1", "someone")]
    store.close(finished=True)


async def test_it_keeps_no_key_of_who_was_erased_meanwhile(place, folder):
    """Neither from its own file nor from a dead worker's; the entries themselves stay."""
    asked = []

    def living(keys):
        asked.extend(keys)
        return [key for key in keys if key[2] != "erased"]

    for worker in ("w1", "w2"):
        outage = Outage(store_on(place, worker))
        store = SpoolStore(outage, folder, limit=LIMIT, living=living)
        store.open()
        store.beat("")
        outage.away = True
        for subject in ("erased", "kept"):
            key = (f"{subject}{worker}", 1, subject, b"sealed", 1.0)
            store.append([intent_row(intent(), worker)], [key])
        outage.away = worker == "w1"
        if worker == "w2":
            await until(lambda store=store: not store.spooled)
        store.close(finished=False)
    assert run(place, "SELECT id FROM compliance_subjectkey ORDER BY id") == [("keptw1",), ("keptw2",)]
    assert len([kind for _, kind, _ in rows(place) if kind == "intent"]) == 4
    assert {key[0] for key in asked} == {"erasedw1", "keptw1", "erasedw2", "keptw2"}


def test_it_knows_whose_keys_are_not_to_come_back(cast):
    now = datetime.now(UTC)
    Erasure.objects.create(tenant=cast.acme, subject="a" * 32, erased_at=now)
    Erasure.objects.create(tenant=cast.acme, subject="b" * 32)  # asked for, and not done yet
    given = [
        ("before", cast.acme.id, "a" * 32, b"", now.timestamp() - 10),
        ("after", cast.acme.id, "a" * 32, b"", now.timestamp() + 10),
        ("asked", cast.acme.id, "b" * 32, b"", now.timestamp() - 10),
        ("other", cast.globex.id, "a" * 32, b"", now.timestamp() - 10),
    ]
    assert [key[0] for key in living(given)] == ["after", "other"]
    assert living([]) == []


# Writes turns into a spool (its database is away from the start), says what is durable; killed in the middle.
WRITER = """
import asyncio, sys
from pathlib import Path
from compliance.journal.writer import JournalWriter
from tests.compliance.journals import completion, intent, sealer
from tests.compliance.test_journal_spool import spooling

async def client(writer):
    while True:
        asked = intent()
        await writer.intent(asked)
        print("intent", asked.turn_id, flush=True)
        await writer.completion(completion(asked))
        print("completed", asked.turn_id, flush=True)

async def main():
    place = Path(sys.argv[1]) if sys.argv[1].startswith("/") else sys.argv[1]
    outage, store = spooling(place, Path(sys.argv[2]), sys.argv[3], limit=1 << 30)
    writer = JournalWriter(store, sealer())
    await writer.start()
    await writer.intent(intent())
    outage.away = True
    await asyncio.gather(*(client(writer) for _ in range(16)))

asyncio.run(main())
"""


async def test_it_survives_kill_9_and_is_taken_over(place, folder):
    acknowledged = {"intent": set(), "completed": set()}
    for number in range(2):
        command = [sys.executable, "-c", WRITER, str(place), str(folder), f"w{number}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = [process.stdout.readline() for _ in range(200)]
        process.kill()
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        for line in lines:
            kind, _, turn_id = line.strip().partition(" ")
            if len(turn_id) == 32:
                acknowledged[kind].add(turn_id)
    outage, store = spooling(place, folder, "next")
    store.open()
    store.beat("")
    await until(lambda: (store.sweep(), len(list(folder.iterdir())) == 1)[1])
    found = kinds(place)
    assert len(acknowledged["intent"]) > 150
    assert acknowledged["intent"] <= set(found)
    assert all(found[turn_id] == ["intent", "completed"] for turn_id in acknowledged["completed"])
    assert {tuple(entries) for entries in found.values()} == {("intent", "completed"), ("intent", "aborted")}
    assert run(place, "SELECT worker FROM compliance_journalworker") == [("next",)]
    store.close(finished=True)


async def test_it_takes_nothing_from_the_living(journal_database, folder):
    outage, living = spooling(journal_database, folder, "living")
    living.open()
    outage.away = True
    asked = intent()
    living.append([intent_row(asked, "living")])
    _, other = spooling(journal_database, folder, "other")
    other.open()
    other.sweep()
    assert rows(journal_database) == []
    other.close(finished=True)
    living.close(finished=False)
    _, other = spooling(journal_database, folder, "other")
    other.open()
    assert kinds(journal_database) == {asked.turn_id: ["intent", "aborted"]}
    other.close(finished=True)


def test_it_replays_again_what_a_crash_interrupted(place, folder):
    """The database has half of the file; the one who was putting it there died."""
    asked = [intent() for _ in range(4)]
    batches = [[intent_row(one, "w1"), completion_row(completion(one), "w1")] for one in asked]
    outage, store = spooling(place, folder)
    store.open()
    outage.away = True
    for batch in batches:
        store.append(batch)
    store.close(finished=False)
    plain = store_on(place, "w1")
    plain.open()
    for batch in batches[:2]:
        plain.append(batch)
    plain.append(batches[2][:1])
    plain.close(finished=False)
    _, store = spooling(place, folder, "next")
    store.open()
    store.close(finished=True)
    assert kinds(place) == {one.turn_id: ["intent", "completed"] for one in asked}
    assert list(folder.iterdir()) == []


def test_it_sets_aside_what_somebody_else_has_ended(journal_database, folder):
    asked = intent()
    outage, store = spooling(journal_database, folder)
    store.open()
    store.append([intent_row(asked, "w1")])
    outage.away = True
    store.append([completion_row(completion(asked), "w1")])
    store.close(finished=False)
    other = store_on(journal_database, "w2")
    other.append([completion_row(completion(asked, "aborted"), "w2")])
    other.close(finished=True)
    _, store = spooling(journal_database, folder, "next")
    store.open()
    store.close(finished=True)
    assert kinds(journal_database) == {asked.turn_id: ["intent", "aborted"]}
    (kept,) = folder.iterdir()
    assert kept.suffix == ".refused"
    (((found, _), _),) = SpoolFile.take(kept).batches()
    assert [row[0] for row in found] == [asked.turn_id]


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 30, -1])
def test_it_cuts_off_a_torn_tail(tmp_path, cut):
    path = tmp_path / "a.spool"
    file = SpoolFile.take(path, create=True)
    batches = [[intent_row(intent(), "w1")] for _ in range(3)]
    sizes = [0]
    for batch in batches:
        file.append(batch, [], limit=LIMIT)
        sizes.append(file.size)
    file.close()
    os.truncate(path, sizes[2] + cut if cut > 0 else sizes[3] + cut)
    file = SpoolFile.take(path)
    assert [batch for (batch, _), _ in file.batches()] == batches[:2]
    assert path.stat().st_size == sizes[2]
    file.append(batches[2], [], limit=LIMIT)
    assert [batch for (batch, _), _ in file.batches()] == batches
    file.close()


def test_it_cuts_off_what_is_not_what_was_written(tmp_path):
    path = tmp_path / "a.spool"
    file = SpoolFile.take(path, create=True)
    row = intent_row(intent(), "w1")
    file.append([row], [], limit=LIMIT)
    good = file.size
    file.append([row], [], limit=LIMIT)
    file.close()
    content = bytearray(path.read_bytes())
    content[good + 20] ^= 1
    path.write_bytes(content)
    assert SpoolFile.take(path).size == good


def test_it_takes_no_file_twice(tmp_path):
    path = tmp_path / "a.spool"
    held = SpoolFile.take(path, create=True)
    assert SpoolFile.take(path) is None
    held.close()
    assert SpoolFile.take(path) is not None
    with pytest.raises(FileNotFoundError):
        SpoolFile.take(tmp_path / "none.spool")


def test_it_says_so_when_it_has_no_disk(place, tmp_path):
    (tmp_path / "file").write_text("")
    _, store = spooling(place, tmp_path / "file" / "spool")
    with pytest.raises(StoreAway, match="spool"):
        store.open()
    store.close(finished=False)
