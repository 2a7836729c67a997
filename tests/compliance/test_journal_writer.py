"""Durable before it is acknowledged, in any number, and alone in its misfortune."""

import asyncio
import gc
import json

import msgspec
import pytest

from compliance.journal.writer import CUT_ROWS
from engine.entries import Completion, Intent
from engine.errors import AuditUnavailable, InvalidRequest
from tests.compliance.journals import KEYS, completion, intent, kinds, rows, writer_on
from tests.compliance.sealed import opened, stored


async def test_it_resolves_only_when_others_can_read_the_entry(journal, place):
    asked = intent(session_id="s-1", key_id=7, model="auto", instance="mock")
    await journal.intent(asked)
    columns = 'turn_id, kind, tenant_id, worker, session_id, "user", key_id, model, instance, state'
    user = KEYS[1].pseudonym("key:1")
    assert rows(place, columns) == [(asked.turn_id, "intent", 1, "w1", "s-1", user, 7, "auto", "mock", "")]
    ended = completion(asked, model="mock", instance="mock")
    await journal.completion(ended)
    assert kinds(place) == {asked.turn_id: ["intent", "completed"]}


async def test_it_stores_the_entries_sealed(journal, place):
    asked = intent()
    ended = completion(asked, text="a\u0000b 你好")
    await asyncio.gather(journal.intent(asked), journal.completion(ended))
    assert all(entry.body[:1] == b"\x01" and "你好".encode() not in entry.body for entry in stored(place))
    bodies = [each.json for each in opened(place)]
    assert msgspec.json.decode(bodies[0], type=Intent) == asked
    assert msgspec.json.decode(bodies[1], type=Completion) == ended


async def test_it_keeps_every_entry_of_many_writers_at_once(journal, place):
    async def client() -> list[str]:
        turns = []
        for _ in range(20):
            asked = intent()
            await journal.intent(asked)
            await journal.completion(completion(asked))
            turns.append(asked.turn_id)
        return turns

    answered = {turn for turns in await asyncio.gather(*(client() for _ in range(64))) for turn in turns}
    found = kinds(place)
    assert set(found) == answered
    assert {tuple(entries) for entries in found.values()} == {("intent", "completed")}


async def test_it_takes_more_than_a_batch_in_one_tick_and_keeps_the_order(journal, place):
    asked = [intent() for _ in range(2 * CUT_ROWS + 10)]
    await asyncio.gather(*(journal.intent(one) for one in asked))
    assert [turn for turn, _, _ in rows(place)] == [one.turn_id for one in asked]


async def test_it_cuts_batches_of_large_bodies(journal, place):
    asked = [intent(params={"text": "x" * (1 << 20)}) for _ in range(12)]
    await asyncio.gather(*(journal.intent(one) for one in asked))
    assert len(rows(place)) == 12


async def test_it_records_what_a_cancelled_waiter_left_behind(journal, place):
    asked, other = intent(), intent()
    future, kept = journal.intent(asked), journal.intent(other)
    future.cancel()
    await kept
    await journal.completion(completion(asked, "cancelled"))
    assert kinds(place) == {asked.turn_id: ["intent", "cancelled"], other.turn_id: ["intent"]}


async def test_it_refuses_what_cannot_be_encoded_and_nothing_else(journal, place):
    good, surrogate, foreign = intent(), intent(user="\ud800"), intent(params={"n": object()})
    results = await asyncio.gather(*(journal.intent(one) for one in (good, surrogate, foreign)), return_exceptions=True)
    assert results[0] is None
    assert [type(result) for result in results[1:]] == [InvalidRequest, InvalidRequest]
    assert list(kinds(place)) == [good.turn_id]


async def test_it_lets_a_record_the_database_refuses_fail_alone(journal, place):
    before, poison, after = intent(), intent(tenant_id=1 << 63), intent()
    futures = [
        journal.intent(before),
        journal.intent(poison),
        journal.completion(completion(before)),
        journal.completion(completion(poison, "refused", tenant_id=1)),
        journal.intent(after),
    ]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), InvalidRequest, type(None), InvalidRequest, type(None)]
    assert kinds(place) == {before.turn_id: ["intent", "completed"], after.turn_id: ["intent"]}
    assert journal.healthy


async def test_it_has_nothing_to_end_for_a_turn_whose_intent_was_refused(journal, place):
    asked = intent(user="\ud800")
    with pytest.raises(InvalidRequest):
        await journal.intent(asked)
    await journal.completion(completion(asked, "refused"))
    with pytest.raises(AuditUnavailable):
        await journal.completion(completion(asked, "completed"))
    assert kinds(place) == {}


async def test_it_ends_a_turn_whose_own_completion_cannot_be_stored(journal, place):
    asked = intent()
    await journal.intent(asked)
    with pytest.raises(InvalidRequest):
        await journal.completion(completion(asked, text="\udfff"))
    await journal.intent(intent())
    assert kinds(place)[asked.turn_id] == ["intent", "failed"]
    (body,) = [body for _, kind, body in rows(place, "turn_id, kind, body") if kind == "completion"]
    assert json.loads(body)["error"] == "unrecordable"


async def test_it_does_not_try_for_ever_to_end_what_cannot_be_ended(journal, place):
    asked = intent()
    await journal.intent(asked)
    with pytest.raises(InvalidRequest):
        await journal.completion(completion(asked, tenant_id=1 << 63))
    for _ in range(3):
        await journal.intent(intent())
    assert kinds(place)[asked.turn_id] == ["intent"]
    assert journal.healthy


async def test_it_says_nothing_about_failures_nobody_waits_for(journal):
    seen = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
    journal.intent(intent(user="\ud800"))
    gc.collect()
    await asyncio.sleep(0)
    assert seen == []


async def test_it_commits_what_waits_before_it_stops(place):
    writer = writer_on(place)
    await writer.start()
    asked = intent()
    futures = [writer.intent(asked), writer.completion(completion(asked))]
    await writer.stop()
    assert all(future.done() and future.exception() is None for future in futures)
    assert kinds(place) == {asked.turn_id: ["intent", "completed"]}
    assert len(rows(place)) == 2
    with pytest.raises(AuditUnavailable):
        await writer.intent(intent())


async def test_it_is_not_healthy_before_it_starts(place):
    writer = writer_on(place)
    assert not writer.healthy
    await writer.start()
    assert writer.healthy
    await writer.stop()


async def test_it_starts_only_on_a_journal_that_is_there(tmp_path):
    writer = writer_on(tmp_path / "journal.sqlite3")
    with pytest.raises(AuditUnavailable, match="unable to open"):
        await writer.start()
    assert not (tmp_path / "journal.sqlite3").exists()
