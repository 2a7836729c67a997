"""An idempotency key has one holder, whatever database the journal is on and whoever asks for it at the same time."""

import asyncio
import fcntl
import shutil
import time

import psycopg
import pytest

from compliance.journal import idempotency, slots
from compliance.journal.claims import Turnstile
from compliance.journal.granting import grant_writer
from compliance.journal.idempotency import IdempotencyReader, forget_old
from compliance.journal.postgres import Sweeper
from compliance.journal.spool import SpoolStore
from compliance.journal.store import StoreAway
from compliance.journal.writer import JournalWriter
from compliance.sealing.destroying import destroy
from engine.entries import Claim
from engine.errors import AuditUnavailable, IdempotencyMismatch, IdempotencyRunning
from engine.idempotency import LIFE, Recorded
from engine.snapshots import Cell
from engine.turn import new_turn_id
from tests.cast import ALICE, BOB, CHARLIE
from tests.compliance.journals import KEYS, completion, intent, kinds, on_postgres, run, sealer, store_on, writer_on

WHO = ALICE.key_principal
ASKED = "fingerprint of the first"


@pytest.fixture
async def known(place_alias, monkeypatch):
    """Reads on a thread of its own, where the event loop needs no leave."""
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE")
    reader = IdempotencyReader(Cell(KEYS))
    yield reader
    await asyncio.to_thread(reader.close)


async def workers(place, count):
    """Started writers; of a journal in files each has one of its own."""
    if not isinstance(place, str):
        for number in range(1, count):
            shutil.copy(place, slots.slot_path(place, number))
    writers = [writer_on(place, f"w{number}") for number in range(count)]
    for writer in writers:
        await writer.start()
    return writers


async def held(known, writer, key="k", who=WHO, asked=ASKED):
    """The intent of a turn that holds the key."""
    turn = intent(tenant_id=who.tenant_id, user=who.user, subject=who.subject)
    await writer.intent(turn, await known.find(who, key, asked))
    return turn


async def test_the_answer_of_its_turn_is_found(known, journal):
    assert isinstance(await known.find(WHO, "k", ASKED), Claim)
    turn = await held(known, journal)
    with pytest.raises(IdempotencyRunning) as running:
        await known.find(WHO, "k", ASKED)
    assert running.value.running == turn.turn_id
    end = completion(turn, "completed")
    await journal.completion(end)
    assert await known.find(WHO, "k", ASKED) == Recorded(turn, end)


async def test_another_request_with_it_is_refused(known, journal):
    turn = await held(known, journal)
    with pytest.raises(IdempotencyMismatch):
        await known.find(WHO, "k", "of another")
    await journal.completion(completion(turn))
    with pytest.raises(IdempotencyMismatch):
        await known.find(WHO, "k", "of another")


async def test_it_is_its_callers_own(known, journal):
    turn = await held(known, journal)
    await journal.completion(completion(turn))
    for other in (BOB.key_principal, ALICE.principal, CHARLIE.key_principal):
        found = await known.find(other, "k", ASKED)
        assert isinstance(found, Claim) and not found.after
    assert isinstance(await known.find(WHO, "K", ASKED), Claim)


@pytest.mark.parametrize("state", ["refused", "failed", "cancelled", "aborted"])
async def test_a_turn_without_an_answer_gives_it_up(known, journal, state):
    turn = await held(known, journal)
    await journal.completion(completion(turn, state))
    found = await known.find(WHO, "k", "of another")
    assert isinstance(found, Claim) and found.after == turn.turn_id
    second = intent()
    await journal.intent(second, found)
    with pytest.raises(IdempotencyMismatch):
        await known.find(WHO, "k", ASKED)
    with pytest.raises(IdempotencyRunning):  # the first gave it up once
        await journal.intent(intent(), found)


async def test_it_lives_for_a_day(known, journal, place_alias):
    turn = await held(known, journal)
    await journal.completion(completion(turn))
    run(place_alias, f"UPDATE compliance_idempotency SET at = at - {LIFE - 60}")
    assert isinstance(await known.find(WHO, "k", ASKED), Recorded)
    run(place_alias, "UPDATE compliance_idempotency SET at = at - 120")
    found = await known.find(WHO, "k", "of another")
    assert isinstance(found, Claim) and found.after == turn.turn_id
    assert not await asyncio.to_thread(forget_old)
    assert len(run(place_alias, "SELECT * FROM compliance_idempotency")) == 1
    await asyncio.to_thread(forget_old, time.time() + 2 * 3600)
    assert run(place_alias, "SELECT * FROM compliance_idempotency") == []


async def test_an_old_one_goes_some_at_a_time(known, journal, place_alias, monkeypatch):
    monkeypatch.setattr(idempotency, "MOST", 2)
    for number in range(3):
        await held(known, journal, key=f"k{number}")
    run(place_alias, f"UPDATE compliance_idempotency SET at = at - {LIFE + 7200}")
    assert await asyncio.to_thread(forget_old)
    assert not await asyncio.to_thread(forget_old)
    assert run(place_alias, "SELECT * FROM compliance_idempotency") == []


async def test_one_that_goes_to_another_turn_meanwhile_stays(known, journal, place_alias):
    if not isinstance(place_alias, str):
        pytest.skip("a file has one writer at a time")
    await held(known, journal)
    run(place_alias, f"UPDATE compliance_idempotency SET at = at - {LIFE + 7200}")
    with psycopg.connect(place_alias) as taker:
        taker.execute("UPDATE compliance_idempotency SET at = %s", [time.time()])
        forgetting = asyncio.create_task(asyncio.to_thread(forget_old))
        while not run(place_alias, "SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert not forgetting.done()
            await asyncio.sleep(0.01)
        taker.commit()
    await forgetting
    assert len(run(place_alias, "SELECT * FROM compliance_idempotency")) == 1


async def test_a_turn_that_is_not_kept_any_more_gives_it_up(known, journal, place_alias):
    turn = await held(known, journal)
    await journal.completion(completion(turn))
    run(place_alias, "DELETE FROM compliance_auditentry")
    assert (await known.find(WHO, "k", ASKED)).after == turn.turn_id


async def test_an_erased_user_gives_it_up_and_nothing_of_them_is_told(known, journal, place_alias):
    turn = await held(known, journal)
    await journal.completion(completion(turn))
    await asyncio.to_thread(destroy, 1, KEYS[1].pseudonym(WHO.user), before=time.time() + 1)
    assert (await known.find(WHO, "k", ASKED)).after == turn.turn_id
    stored = str(run(place_alias, "SELECT * FROM compliance_idempotency"))
    assert WHO.subject not in stored and "fingerprint" not in stored


async def test_what_it_stands_for_cannot_be_read(known, journal, place_alias):
    await held(known, journal, key="order-4711")
    stored = str(run(place_alias, "SELECT * FROM compliance_idempotency"))
    assert "4711" not in stored and ASKED not in stored


async def test_fifty_at_once_in_two_workers_have_one_holder(known, place):
    writers = await workers(place, 2)
    for number in range(10):
        claim = await known.find(WHO, f"k{number}", ASKED)
        turns = [intent() for _ in range(50)]
        futures = [writers[place % 2].intent(turn, claim) for place, turn in enumerate(turns)]
        granted = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(each) for each in granted if each is not None] == [IdempotencyRunning] * 49
        for place_of, turn in enumerate(turns):  # also the turns that were refused are on record and are ended
            await writers[place_of % 2].completion(completion(turn, "refused"))
        winner = turns[granted.index(None)]
        assert (await known.find(WHO, f"k{number}", ASKED)).after == winner.turn_id
    for writer in writers:
        await writer.stop()


async def test_it_changes_hands_between_workers(known, place):
    """The last holder counts, in whatever file it is."""
    writers = await workers(place, 3)
    for number in range(7):
        turn = await held(known, writers[number % 3])
        claim = Claim(digest=(await digest_of(known)), fingerprint="f")
        for writer in writers:
            with pytest.raises(IdempotencyRunning):
                await writer.intent(intent(), claim)
        await writers[number % 3].completion(completion(turn, "failed"))
        assert (await known.find(WHO, "k", ASKED)).after == turn.turn_id
    for writer in writers:
        await writer.stop()


async def digest_of(known):
    return KEYS[1].pseudonym(f"idempotency key\0{WHO.subject}\0k")


async def test_a_dead_worker_gives_it_up_once_its_turn_is_ended(known, place, place_alias):
    dead = writer_on(place, "dead")
    await dead.start()
    turn = await held(known, dead)
    await dead.stop()
    with pytest.raises(IdempotencyRunning):
        await known.find(WHO, "k", ASKED)
    if isinstance(place, str):
        run(place, "UPDATE compliance_journalworker SET heartbeat = heartbeat - 60")
        sweeping = Sweeper(place, "w2", dead_after=0.0)
        assert await asyncio.to_thread(sweeping.sweep) == 1
        sweeping.close()
    else:
        writer = writer_on(place, "w2")  # takes the dead one's file
        await writer.start()
        await writer.stop()
    assert kinds(place)[turn.turn_id] == ["intent", "aborted"]
    assert (await known.find(WHO, "k", ASKED)).after == turn.turn_id


async def test_what_was_written_and_lost_sight_of_is_granted_again(known, place):
    store = store_on(place)
    writer = JournalWriter(store, sealer())
    await writer.start()
    claim, lost = store.claim, []

    def lose(rows, keys, claims):
        denied = claim(rows, keys, claims)
        if not lost:
            lost.extend(rows)
            if isinstance(place, str):
                store._entries._uncertain.update(row[:3] for row in rows)
            else:  # a commit whose answer was lost cannot be told from one that failed: the file was rolled back
                run(place, "DELETE FROM compliance_auditentry")
            raise StoreAway("the answer was lost")
        return denied

    store.claim = lose
    turn = await held(known, writer)
    assert lost and kinds(place) == {turn.turn_id: ["intent"]}
    with pytest.raises(IdempotencyRunning):
        await writer.intent(intent(), Claim(digest=await digest_of(known), fingerprint="f"))
    await writer.stop()


async def test_a_record_the_database_refuses_takes_no_key(known, journal):
    claim = await known.find(WHO, "k", ASKED)
    bad = intent(model="\ud800")
    results = await asyncio.gather(journal.intent(bad, claim), journal.intent(intent(), claim), return_exceptions=True)
    assert [type(each).__name__ for each in results] == ["InvalidRequest", "NoneType"]


async def test_while_only_the_spool_takes_entries_no_key_is_granted(known, place, tmp_path):
    store = SpoolStore(store_on(place), tmp_path / "spool", limit=1 << 20)
    writer = JournalWriter(store, sealer())
    await writer.start()
    claim = await known.find(WHO, "k", ASKED)
    store._stopping.set()  # nobody looks whether the database is back
    store._lost(StoreAway("away"))
    turn, plain = intent(), intent()
    kept = await asyncio.gather(writer.intent(turn, claim), writer.intent(plain), return_exceptions=True)
    assert [type(each) for each in kept] == [AuditUnavailable, type(None)]
    await writer.completion(completion(turn, "failed"))
    await writer.completion(completion(plain))
    await writer.stop()
    writer = JournalWriter(SpoolStore(store_on(place, "w2"), tmp_path / "spool", limit=1 << 20), sealer())
    await writer.start()
    assert sorted(kinds(place).values()) == [["intent", "completed"], ["intent", "failed"]]
    assert not (await known.find(WHO, "k", ASKED)).after
    await writer.stop()


async def test_a_tenant_without_a_key_has_none(known):
    known._keys = Cell({})
    with pytest.raises(AuditUnavailable):
        await known.find(WHO, "k", ASKED)


async def test_a_journal_that_is_away_is_told_as_such(known, place):
    run(place, "ALTER TABLE compliance_idempotency RENAME TO gone")
    with pytest.raises(AuditUnavailable):
        await known.find(WHO, "k", ASKED)


async def test_in_files_who_stands_in_the_turnstile_holds_up_keys_only(journal_alias, monkeypatch):
    monkeypatch.setattr("compliance.journal.claims.PATIENCE", 0.05)
    writer = writer_on(journal_alias)
    await writer.start()
    with Turnstile(journal_alias).passed() as passed:
        assert passed
        turn, plain = intent(), intent()
        claim = Claim(digest="d", fingerprint="f")
        kept = await asyncio.gather(writer.intent(turn, claim), writer.intent(plain), return_exceptions=True)
        assert [type(each) for each in kept] == [AuditUnavailable, type(None)]
    await writer.intent(intent(), claim)
    await writer.stop()


async def test_in_files_a_file_that_cannot_be_read_grants_nothing(journal_alias):
    writer = writer_on(journal_alias)
    await writer.start()
    slots.slot_path(journal_alias, 3).write_bytes(b"no database" * 1000)
    with pytest.raises(AuditUnavailable):
        await writer.intent(intent(), Claim(digest="d", fingerprint="f"))
    await writer.intent(intent())
    await writer.stop()


def test_the_turnstile_is_given_back_by_a_process_that_dies(tmp_path):
    first = tmp_path / "journal.sqlite3"
    with Turnstile(first).passed(), Turnstile(first).passed(0.01) as second:
        assert not second
    with Turnstile(first).passed(0.0) as third:
        assert third
    with open(tmp_path / "journal-claims.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert slots.existing(first) == []


@pytest.fixture
def as_holder(journal_database, postgres, django_db_blocker):
    """The journal's address as a role that `audit grant` made a writer of."""
    run(postgres.url, "CREATE ROLE holder LOGIN")
    with django_db_blocker.unblock(), on_postgres(journal_database):
        grant_writer("holder")
    yield journal_database.replace("clawdbot@", "holder@")
    run(journal_database, "DROP OWNED BY holder")
    run(postgres.url, "DROP ROLE holder")


async def test_on_a_server_it_needs_no_more_rights_than_a_writer_has(journal_database, as_holder):
    writer = writer_on(as_holder)
    await writer.start()
    first, second = intent(new_turn_id(1_650_000_000)), intent()
    await writer.intent(first, Claim(digest="d", fingerprint="f"))
    with pytest.raises(IdempotencyRunning):
        await writer.intent(intent(), Claim(digest="d", fingerprint="f"))
    await writer.intent(second, Claim(digest="d", fingerprint="g", after=first.turn_id))
    await writer.stop()
    found = run(journal_database, "SELECT turn_id, fingerprint, number FROM compliance_idempotency")
    assert found == [(second.turn_id, "g", 2)]
    for statement in (
        "DELETE FROM compliance_idempotency",
        "SELECT fingerprint FROM compliance_idempotency",
        "SELECT tenant_id FROM compliance_idempotency",
        "UPDATE compliance_idempotency SET digest = 'x'",
        "UPDATE compliance_idempotency SET tenant_id = 2",
    ):
        with psycopg.connect(as_holder) as database, pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute(statement)
