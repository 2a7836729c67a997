"""What a tenant's queue and webhooks are told of its journal, and what they are not."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from access.journal_events import JournalEvents
from compliance.tree.folding import Folder
from compliance.tree.leading import lead
from compliance.tree.sources import Sources
from engine.entries import SessionEntry
from engine.types import Message, Usage, Verdict
from plugins.outbox import events
from plugins.outbox.events import CONFIGURATION, SESSIONS, STARTED, TURN_TYPES
from tests.compliance.journals import (
    completion,
    empty_database,
    empty_journal,
    intent,
    journal_database,
    journal_file,
    place,
    place_alias,
    postgres,
    run,
    writer_on,
)

__all__ = ["empty_database", "empty_journal", "journal_database", "journal_file", "place", "place_alias", "postgres"]

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs" / "events.schema.json").read_text())
EVERYTHING = (STARTED, *TURN_TYPES, SESSIONS, CONFIGURATION)
SAID = "the secret of the words"


def fold():
    leader = lead()
    assert leader is not None
    with leader, Sources() as sources:
        folder = Folder(leader.alias)
        while folder.fold(sources.all()):
            pass


async def written(place, *entries):
    """Turns, each an intent with its completion, and what was done to sessions."""
    writer = writer_on(place)
    await writer.start()
    for entry in entries:
        if isinstance(entry, SessionEntry):
            await writer.session(entry)
        else:
            await writer.intent(entry[0])
            await writer.completion(entry[1])
    await writer.stop()


def asked(**fields):
    features = {"intent": "refund", "language": "en", "headers": {"x-who": SAID}, "complexity_score": 0.4}
    return intent(
        session_id="s1", user="key:1:alice", key_id=1, decision={"features": features},
        messages=[Message(role="user", content=SAID)], verdicts=[Verdict("rude", 1, SAID, "mask", "input")], **fields,
    )  # fmt: skip


def read(position=0, *, types=EVERYTHING, content=False, most=100, tenant_id=1):
    batch = JournalEvents().read(tenant_id, "acme", position, most, types=types, content=content)
    for placed in batch.events:
        jsonschema.validate(json.loads(placed.event.encoded()), SCHEMA, cls=jsonschema.Draft202012Validator)
    return batch


async def test_it_tells_what_became_of_a_turn_and_not_what_was_said(place_alias):
    turn = asked()
    end = completion(
        turn, text=SAID, cost=1_250_000, usage=Usage(10, 5), ttft=0.25, duration=1.5, session_id="s1",
        verdicts=[Verdict("rude", 1, SAID, "mask", "output")],
    )  # fmt: skip
    await written(place_alias, (turn, end))
    fold()
    batch = read(types=TURN_TYPES)
    (placed,) = batch.events
    event = placed.event
    assert batch.position == 2 and batch.pruned == 0
    assert (event.id, event.type) == (f"{turn.turn_id}.completion", "clawdbot.turn.completed")
    assert (event.source, event.subject, event.partitionkey) == ("/tenants/acme", f"turns/{turn.turn_id}", "s1")
    assert event.time.endswith("Z") and "T" in event.time
    data = event.data
    assert data["usage"] == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert (data["cost"], data["timings"]) == ("1.25", {"first_token": 0.25, "total": 1.5})
    assert data["features"] == {"intent": "refund", "language": "en", "complexity_score": 0.4}
    assert data["user"] == "key:1:alice" and data["finish_reason"] == "stop"
    counts = [(each["list"], each["action"], each["where"], each["count"]) for each in data["verdicts"]]
    assert counts == [("rude", "mask", "input", 1), ("rude", "mask", "output", 1)]
    assert SAID.encode() not in event.encoded()


async def test_it_says_of_a_further_round_which_turn_it_belongs_to(place_alias):
    turn = asked()
    again = asked(parent_turn=turn.turn_id)
    await written(place_alias, (again, completion(again)), (turn, completion(turn)))
    fold()
    assert [placed.event.data.get("parent_turn") for placed in read(types=TURN_TYPES).events] == [turn.turn_id, None]


async def test_it_tells_what_was_said_where_the_sink_says_so(place_alias):
    turn = asked()
    await written(place_alias, (turn, completion(turn, text="An answer", session_id="s1")))
    fold()
    started, ended = (placed.event for placed in read(content=True).events)
    assert (started.type, ended.type) == (STARTED, "clawdbot.turn.completed")
    assert ended.data["messages"] == started.data["messages"] == [{"role": "user", "content": SAID}]
    assert ended.data["choices"][0]["message"]["content"] == "An answer"
    assert "choices" not in started.data


async def test_of_who_was_erased_it_tells_figures_alone(place_alias):
    turn = asked()
    await written(place_alias, (turn, completion(turn, text=SAID, session_id="s1")))
    fold()
    run(place_alias, "DELETE FROM compliance_subjectkey")
    (ended,) = (placed.event for placed in read(content=True, types=TURN_TYPES).events)
    assert ended.data["erased"] is True and ended.data["usage"]["total_tokens"]
    assert not {"messages", "choices", "user", "subject", "features"} & ended.data.keys()
    assert SAID.encode() not in ended.encoded()


async def test_it_tells_of_what_was_done_to_sessions(place_alias):
    entry = SessionEntry(
        turn_id=asked().turn_id, tenant_id=1, at=1_700_000_000.0, session_id="s1", action="patched", parent=3,
        subject="key:1", user="key:1:alice", detail={"name": SAID},
    )  # fmt: skip
    await written(place_alias, entry)
    fold()
    (quiet,) = (placed.event for placed in read(types=(SESSIONS,)).events)
    assert (quiet.type, quiet.subject, quiet.partitionkey) == ("clawdbot.session.patched", "sessions/s1", "s1")
    assert quiet.data["version"] == 4 and quiet.time == "2023-11-14T22:13:20.000Z"
    assert SAID.encode() not in quiet.encoded()
    (full,) = (placed.event for placed in read(types=(SESSIONS,), content=True).events)
    assert full.data["detail"] == {"name": SAID}


async def test_it_reads_a_tenants_own_alone_and_from_any_place(place_alias):
    mine, other = asked(), intent(tenant_id=2)
    await written(place_alias, (mine, completion(mine)), (other, completion(other)))
    fold()
    source = JournalEvents()
    assert source.heads() == {1: 2, 2: 2}
    assert [placed.position for placed in read().events] == [0, 1]
    assert [placed.position for placed in read(1).events] == [1]
    assert read(2).events == [] and read(2).position == 2
    assert all(mine.turn_id in placed.event.id for placed in read().events)
    assert source.position_at(1, 0.0) == 0 and source.position_at(1, 1e11) == 2 and source.position_at(9, 0.0) == 0
    assert source.age(1, 0) >= 0.0 and source.age(1, 99) == 0.0


async def test_what_cannot_be_read_stops_nobody(place_alias, monkeypatch):
    turn = asked()
    await written(place_alias, (turn, completion(turn)))
    fold()
    run(
        place_alias,
        "UPDATE compliance_auditentry SET body = substr(body, 1, length(body) - 3) WHERE kind = 'completion'",
    )
    (ended,) = (placed.event for placed in read(types=TURN_TYPES).events)
    assert ended.type == "clawdbot.turn.completed" and ended.data["turn_id"] == turn.turn_id


def test_a_sink_asks_for_types_there_are():
    for types in ([], None, "clawdbot.turn.completed", ["clawdbot.turn.made"], [3]):
        with pytest.raises(ValueError):
            events.check_types(types)
    events.check_types(["clawdbot.turn.*", SESSIONS])
    assert events.wanted("clawdbot.turn.started", ["clawdbot.turn.*"])
    assert events.wanted("clawdbot.session.deleted", [SESSIONS])
    assert not events.wanted("clawdbot.turn.started", TURN_TYPES)
    assert events.wanted(events.TEST, ())


def test_the_schema_takes_a_test_and_refuses_what_is_none():
    event = events.test_event("test-1", "acme", 0.0)
    jsonschema.validate(json.loads(event.encoded()), SCHEMA, cls=jsonschema.Draft202012Validator)
    wrong = {**json.loads(event.encoded()), "type": "clawdbot.turn.completed"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA, cls=jsonschema.Draft202012Validator)
