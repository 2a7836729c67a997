"""What the journal knows of one session, on both kinds of database."""

from __future__ import annotations

import asyncio
import time

import pytest
from django.db import connections
from django.db.backends.signals import connection_created

from compliance.database import ALIAS
from compliance.journal import records
from compliance.journal.session_past import JournalPast
from compliance.sealing.destroying import destroy
from engine.entries import PastTurn, SessionEntry
from engine.errors import StoreUnavailable
from engine.turn import new_turn_id
from engine.types import Answerer, Message
from sessions_app.layout import Home
from sessions_app.recovery import SessionRecovery
from tests.compliance.journals import KEYS, completion, intent, run, store_on, writer_on
from tests.compliance.test_session_entries import changed


@pytest.fixture
async def writer(place_alias):
    writer = writer_on(place_alias)
    await writer.start()
    yield writer
    await writer.stop()


@pytest.fixture
def past(place_alias):
    """In its own threads, as in a worker."""
    past = JournalPast(KEYS.get)
    yield past
    past.close()


async def talk(writer, text, *, parent=0, state="completed", user="ann", session_id="s-1", **fields):
    asked = intent(user=user, session_id=session_id, parent=parent, messages=[Message("user", text)], **fields)
    await writer.intent(asked)
    if state:
        await writer.completion(completion(asked, state, f"To {text}", answerer=Answerer("m", 1, "v1")))
    return asked


def told(events):
    return [event.said[0].content if isinstance(event, PastTurn) else event.action for event in events]


async def test_it_tells_completed_turns_and_what_else_was_done_in_order(writer, past):
    first = await talk(writer, "one", profile={"name": "Ada"})
    await writer.session(changed("patched", parent=1, detail={"name": "n"}))
    await talk(writer, "three", parent=3)
    await talk(writer, "two", parent=2)
    for state in ("failed", "refused", "cancelled", ""):
        await talk(writer, f"not {state}", parent=4, state=state)
    await talk(writer, "elsewhere", session_id="s-2")
    await talk(writer, "foreign", tenant_id=2)
    await talk(writer, "of ben", user="ben")
    events = await past.events(1, "s-1", user="ann")
    assert told(events) == ["one", "patched", "two", "three"]
    turn, patch = events[:2]
    assert (turn.turn_id, turn.parent, turn.user, turn.profile) == (first.turn_id, 0, "ann", {"name": "Ada"})
    assert [message.content for message in turn.said] == ["one", "To one"]
    assert turn.answerer == Answerer("m", 1, "v1") and turn.at >= first.at
    assert isinstance(patch, SessionEntry) and patch.detail == {"name": "n"}


async def test_it_tells_only_what_came_after_a_version(writer, past):
    for parent in range(5):
        await talk(writer, str(parent), parent=parent)
    await writer.session(changed("patched", parent=1))
    await writer.session(changed("deleted", parent=5))
    assert told(await past.events(1, "s-1", user="ann", after=3)) == ["3", "4", "deleted"]


async def test_it_knows_nobody_elses_session(writer, past):
    await talk(writer, "one")
    assert await past.events(1, "s-1", user="ben") == []
    assert await past.events(2, "s-1", user="ann") == []
    assert await past.events(1, "no such session", user="ann") == []


async def test_it_finds_the_user_for_a_key_that_names_nobody(writer, past):
    await talk(writer, "of ann", user="key:7:ann", key_id=7)
    await talk(writer, "of ben", user="key:7:ben", key_id=7)
    await talk(writer, "by another key", user="key:8", key_id=8)
    events = await past.events(1, "s-1", key_id=7)
    assert told(events) == ["of ben"] and events[0].user == "key:7:ben"
    await writer.session(changed("patched", user="key:7:ann", key_id=7))
    assert told(await past.events(1, "s-1", key_id=7)) == ["of ann", "patched"]
    assert await past.events(1, "s-1", key_id=9) == []


async def test_of_an_erased_user_there_is_at_most_that_it_ended(writer, past):
    await talk(writer, "one", user="key:7:ann", key_id=7)
    await writer.session(changed("patched", user="key:7:ann", key_id=7, parent=1))
    await writer.session(changed("deleted", user="key:7:ann", key_id=7, parent=2))
    assert destroy(1, KEYS[1].pseudonym("key:7:ann"), before=time.time())
    (ended,) = await past.events(1, "s-1", user="key:7:ann")
    assert (ended.action, ended.parent, ended.detail) == ("deleted", 2, {})
    assert await past.events(1, "s-1", key_id=7) == []


async def test_it_reads_what_was_written_before_anything_was_sealed(place_alias, past):
    asked = intent(user="ann", session_id="s-1", messages=[Message("user", "old")])
    store = store_on(place_alias, "w0")
    store.open()
    store.append([records.intent_row(asked, "w0"), records.completion_row(completion(asked), "w0")])
    store.close(finished=True)
    assert told(await past.events(1, "s-1", user="ann")) == ["old"]


async def test_what_was_altered_is_left_out(writer, past, place_alias):
    broken = await talk(writer, "one")
    await talk(writer, "two", parent=1)
    swapped = f"(SELECT body FROM compliance_auditentry WHERE turn_id <> '{broken.turn_id}' AND kind = 'intent')"
    run(
        place_alias,
        f"UPDATE compliance_auditentry SET body = {swapped} WHERE turn_id = '{broken.turn_id}' AND kind = 'intent'",
    )
    assert told(await past.events(1, "s-1", user="ann")) == ["two"]


async def test_it_says_so_where_the_journal_or_the_key_is_away(writer, place_alias):
    await talk(writer, "one")
    past = JournalPast(lambda tenant_id: None)
    with pytest.raises(StoreUnavailable):
        await past.events(1, "s-1", user="ann")
    assert await past.events(1, "nobodys", user="ann") == []
    past.close()


async def test_many_may_ask_at_once(writer, past):
    for number in range(5):
        await talk(writer, str(number), parent=number, session_id=f"s-{number % 2}")
    found = await asyncio.gather(*(past.events(1, f"s-{number % 2}", user="ann") for number in range(40)))
    assert [told(events) for events in found[:2]] == [["0", "2", "4"], ["1", "3"]]
    assert all(found[number] == found[number % 2] for number in range(40))


async def test_a_session_of_an_erased_user_cannot_be_rebuilt(writer, past):
    await talk(writer, "one")
    await writer.session(changed("patched", parent=1, detail={"name": "n"}))
    recovery = SessionRecovery(None, past)
    home = Home(1, "ann")
    rebuilt = await recovery.rebuild(home, "s-1")
    assert (rebuilt.record.name, rebuilt.version, len(rebuilt.record.turns)) == ("n", 2, 1)
    assert destroy(1, KEYS[1].pseudonym("ann"), before=time.time())
    assert (await recovery.rebuild(home, "s-1")).record is None


async def test_it_knows_which_sessions_a_user_has(writer, past):
    await talk(writer, "one", session_id="s-1")
    latest = await talk(writer, "two", parent=1, session_id="s-1")
    await talk(writer, "gone", session_id="s-2")
    await writer.session(changed("deleted", session_id="s-2", parent=1))
    await talk(writer, "again", session_id="s-3")
    await writer.session(changed("deleted", session_id="s-3", parent=1))
    await talk(writer, "back", session_id="s-3", parent=2)
    await writer.session(changed("branched", session_id="s-4", detail={"record": {}}))
    await talk(writer, "of nobody's", session_id=None)
    await talk(writer, "of ben", user="ben", session_id="s-5")
    await talk(writer, "foreign", tenant_id=2, session_id="s-6")
    known = dict(await past.known(1, "ann"))
    assert sorted(known) == ["s-1", "s-3", "s-4"]
    assert known["s-1"] == int(latest.turn_id[:12], 16) / 1000
    assert [name for name, _ in await past.known(1, "ben")] == ["s-5"]
    assert await past.known(1, "nobody") == []


async def test_it_knows_a_session_whose_first_turn_waited_while_the_one_before_was_deleted(writer, past):
    """The turn's id is older than the deletion's."""
    before = new_turn_id(time.time() - 20)
    await talk(writer, "old")
    await writer.session(changed("deleted", parent=1))
    await talk(writer, "ran on", parent=1, session_id="s-2", turn_id=new_turn_id(time.time() - 10))
    await writer.session(changed("deleted", parent=1, session_id="s-2"))
    assert await past.known(1, "ann") == []
    await talk(writer, "new", parent=2, turn_id=before)
    assert [name for name, _ in await past.known(1, "ann")] == ["s-1"]


async def test_a_file_is_opened_once(writer, past):
    """With all the slots' files it took eight milliseconds for each question."""
    if connections[ALIAS].vendor != "sqlite":
        return
    await talk(writer, "one")
    await asyncio.gather(*(past.events(1, "s-1", user="ann") for _ in range(4)))
    opened = []

    def noted(connection, **_):
        opened.append(connection.alias)

    connection_created.connect(noted)
    for session_id in ("s-1", "nobody's", "s-1"):
        await past.events(1, session_id, user="ann")
    connection_created.disconnect(noted)
    assert len(opened) <= 1  # by the other thread, if only one had all of the first questions


async def test_it_tells_whether_an_id_was_ever_anybodys(writer, past):
    await talk(writer, "one", state="")
    await writer.session(changed("deleted", parent=1, session_id="s-2"))
    assert await past.seen([(1, "s-1"), (1, "s-3"), (1, "s-2"), (2, "s-1")]) == {(1, "s-1"), (1, "s-2")}
