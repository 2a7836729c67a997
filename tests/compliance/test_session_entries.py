"""What was done to sessions, in the journal: sealed with their user's key, no turn's end, given up like an intent."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import closing

import msgspec
import pytest

from compliance.journal import session_changes
from compliance.journal.balance import balance
from compliance.journal.session_changes import SessionFilters
from compliance.sealing.destroying import destroy
from engine.entries import SessionEntry
from engine.errors import AuditUnavailable, InvalidRequest
from engine.turn import new_turn_id
from tests.compliance.journals import KEYS, completion, intent, rows, run, writer_on
from tests.compliance.sealed import opened, stored


def changed(action: str = "patched", *, user: str = "ann", session_id: str = "s-1", **fields: object) -> SessionEntry:
    now = time.time()
    given = {"turn_id": new_turn_id(now), "tenant_id": 1, "at": now, "subject": user, "parent": 1}
    return SessionEntry(action=action, user=user, session_id=session_id, **{**given, **fields})


async def test_it_keeps_what_was_done_sealed_and_what_for_beside_it(journal, place):
    entry = changed(key_id=7, edge="api", request_id="r1", detail={"name": "Secret plans"})
    await journal.session(entry)
    columns = 'turn_id, kind, number, tenant_id, session_id, "user", key_id, model, instance, state'
    user = KEYS[1].pseudonym("ann")
    assert rows(place, columns) == [(entry.turn_id, "session", 0, 1, "s-1", user, 7, "", "", "patched")]
    (body,) = [each.body for each in stored(place)]
    assert b"Secret plans" not in body and b"ann" not in body
    assert b'"action":"patched"' in body and b'"parent":1' in body
    assert msgspec.json.decode(opened(place)[0].json, type=SessionEntry) == entry


async def test_it_is_sealed_with_the_key_of_its_users_turns(journal, place):
    asked = intent(user="ann")
    await asyncio.gather(journal.intent(asked), journal.completion(completion(asked)), journal.session(changed()))
    assert len(run(place, "SELECT id FROM compliance_subjectkey")) == 1


async def test_it_counts_as_no_turn(place_alias):
    writer = writer_on(place_alias)
    await writer.start()
    await writer.session(changed())
    assert balance().holds and balance().intents == balance().in_flight == 0
    assert writer.waiting.entries == 0
    await writer.stop()
    assert run(place_alias, "SELECT worker FROM compliance_journalworker") == []  # it left nothing open


async def test_it_refuses_what_cannot_be_recorded_and_nothing_else(journal, place):
    bad, good = changed(detail={"name": "\ud800"}), changed()
    futures = [journal.session(bad), journal.session(good)]
    with pytest.raises(InvalidRequest):
        await futures[0]
    await futures[1]
    refused = changed(session_id="\ud800")
    with pytest.raises(InvalidRequest):
        await journal.session(refused)
    assert [turn_id for turn_id, *_ in rows(place)] == [good.turn_id]


async def test_it_stores_nothing_that_could_not_be_opened_again(journal, place):
    with pytest.raises(AuditUnavailable):
        await journal.session(changed(tenant_id=999))
    assert rows(place) == []


async def test_it_is_given_up_at_the_deadline(journal_file):
    """Who was told that it failed finds nothing of it when the database is back."""
    writer = writer_on(journal_file, deadline=0.3)
    await writer.start()
    with closing(sqlite3.connect(journal_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(AuditUnavailable):
            await writer.session(changed())
        await asyncio.sleep(0.5)
        other.execute("ROLLBACK")
    later = changed()
    await _until_durable(writer, later)
    assert [turn_id for turn_id, *_ in rows(journal_file)] == [later.turn_id]
    await writer.stop()


async def _until_durable(writer, entry):
    for _ in range(100):
        try:
            return await writer.session(entry)
        except AuditUnavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("the journal did not come back")


async def test_its_parent_is_readable_without_any_key(journal, place):
    asked = intent(user="ann", session_id="s-1", parent=3)
    await journal.intent(asked)
    (body,) = [each.body for each in stored(place)]
    clear = json.loads(body[5 : 5 + int.from_bytes(body[1:5], "big")])
    assert clear["parent"] == 3


async def test_of_an_erased_user_a_listing_says_what_was_done_and_not_who(place_alias):
    writer = writer_on(place_alias)
    await writer.start()
    before = new_turn_id(time.time() - 1)  # two of one millisecond are in no order
    await writer.session(changed(detail={"name": "secret"}, parent=3, turn_id=before))
    await writer.session(changed("deleted", user="ben", session_id="s-2"))
    (newest, *_), (*_, oldest) = [session_changes.page(1, SessionFilters()).changes] * 2
    assert (newest.user, newest.action, oldest.user, oldest.detail) == ("ben", "deleted", "ann", {"name": "secret"})
    assert session_changes.page(1, SessionFilters(user="ann")).changes == [oldest]
    assert session_changes.page(None, SessionFilters(), limit=1).next == newest.id
    assert session_changes.page_after(1, SessionFilters(), after=oldest.id).changes == [newest]
    assert destroy(1, KEYS[1].pseudonym("ann"), before=time.time())
    (*_, erased) = session_changes.page(1, SessionFilters()).changes
    assert (erased.action, erased.parent, erased.session_id, erased.erased) == ("patched", 3, "s-1", True)
    assert (erased.subject, erased.user, erased.detail) == ("", "", {})
    await writer.stop()
