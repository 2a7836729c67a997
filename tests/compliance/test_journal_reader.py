"""What consoles and requests read back, each tenant its own."""

import asyncio

import pytest
from django.db import DatabaseError, transaction

from compliance.journal import reader
from compliance.models import AuditEntry
from compliance.models.journal import AppendOnly
from engine.entries import Retry
from engine.errors import StoreUnavailable, TurnNotFound
from engine.turn import new_turn_id
from engine.types import Verdict
from tenants.scoping import Unscoped
from tests.compliance.journals import completion, intent, writer_on


@pytest.fixture
async def told(place_alias):
    """Five turns of tenant 1 (users and sessions alternate), one of tenant 2, oldest first; the last has no end."""
    writer = writer_on(place_alias)
    await writer.start()
    asked = []
    for number in range(5):
        turn_id = new_turn_id(1_700_000_000 + number)
        asked.append(intent(turn_id, user=f"u{number % 2}", session_id=f"s{number % 2}", at=1_700_000_000.0 + number))
    other = intent(new_turn_id(1_700_000_100), tenant_id=2)
    for one in [*asked, other]:
        await writer.intent(one)
    for one in [*asked[:4], other]:
        await writer.completion(completion(one, "completed", model="m", instance="i"))
    yield [*asked, other]
    await writer.stop()


def test_the_decision_that_counts_is_the_last_one():
    asked = intent(decision={"instance": "first"})
    retries = [Retry(1, "first", "upstream_error", 0.1)]
    plain = completion(asked, "completed")
    retried = completion(asked, "completed", retries=retries, decision={"instance": "second"})
    told = [reader.TurnRecord(asked.turn_id, asked, end) for end in (None, plain, retried)]
    assert [record.decision["instance"] for record in told] == ["first", "first", "second"]
    assert [record.retries for record in told] == [[], [], retries]


async def test_it_reads_a_turn_as_it_was_recorded(place_alias, journal):
    verdicts = [Verdict(list="l", version=1, word="w", action="mask", where="input")]
    asked = intent(verdicts=verdicts, params={"temperature": 0.5})
    await journal.intent(asked)
    assert reader.turn(1, asked.turn_id) == reader.TurnRecord(asked.turn_id, asked)
    ended = completion(asked, "failed", error="upstream_error")
    await journal.completion(ended)
    assert reader.turn(1, asked.turn_id) == reader.TurnRecord(asked.turn_id, asked, ended)
    assert [entry.kind for entry in reader.entries_of(1, asked.turn_id)] == ["intent", "completion"]


async def test_it_reads_from_the_event_loop_through_a_thread(told, monkeypatch):
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE")
    journal_reader = reader.JournalReader()
    record = await journal_reader.turn(1, told[0].turn_id)
    assert record.intent == told[0]
    with pytest.raises(TurnNotFound):
        await journal_reader.turn(1, "0" * 32)
    await asyncio.to_thread(journal_reader.close)


async def test_it_shows_no_tenant_the_turn_of_another(told):
    with pytest.raises(TurnNotFound):
        reader.turn(2, told[0].turn_id)
    assert reader.entries_of(2, told[0].turn_id) == []


async def test_it_does_not_read_unscoped_nor_write_through_the_orm(told):
    with pytest.raises(Unscoped):
        list(AuditEntry.objects.all())
    row = AuditEntry.objects.everywhere().first()
    for write in (
        row.save,
        row.delete,
        AuditEntry.objects.everywhere().delete,
        lambda: AuditEntry.objects.everywhere().update(state="completed"),
        lambda: AuditEntry.objects.create(turn_id="x"),
        lambda: AuditEntry.objects.bulk_create([row]),
    ):
        with pytest.raises(AppendOnly):
            write()
    assert AuditEntry.objects.everywhere().count() == 11


async def test_it_reads_in_a_transaction_without_holding_the_writer_up(journal_alias):
    """The admin wraps its pages in one: on the journal that must not take the write lock."""
    journal = writer_on(journal_alias)
    await journal.start()
    await journal.intent(intent())
    with transaction.atomic(using="journal"):
        assert AuditEntry.objects.everywhere().count() == 1
        await journal.intent(intent())
        assert AuditEntry.objects.everywhere().count() == 1
    assert AuditEntry.objects.everywhere().count() == 2
    await journal.stop()


async def test_it_says_so_when_the_journal_cannot_be_read(journal_alias):
    journal_reader = reader.JournalReader()
    journal_alias.write_bytes(b"this is not a database, and long enough to be taken for one " * 100)
    with pytest.raises(StoreUnavailable) as caught:
        await journal_reader.turn(1, "x")
    assert isinstance(caught.value.__cause__, DatabaseError)
    await asyncio.to_thread(journal_reader.close)
