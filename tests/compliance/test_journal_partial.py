"""Partial output: there after a crash, in nobody's way before."""

import asyncio
import subprocess
import sys
import time

from compliance.journal import reader
from compliance.journal.balance import balance
from engine.entries import Partial
from engine.types import Delta
from tests.compliance.journals import KEYS, completion, intent, kinds, rows, run, store_on, writer_on
from tests.compliance.sealed import opened


def partial(of, number, text="", **fields):
    given = {"user": of.user, "deltas": [Delta(content=text)], **fields}
    return Partial(turn_id=of.turn_id, tenant_id=of.tenant_id, at=time.time(), number=number, **given)


async def test_it_tells_what_a_turn_in_flight_was_sent(place_alias, journal):
    asked = intent()
    await journal.intent(asked)
    for number, text in enumerate(["one ", "two ", "three"], 1):
        journal.partial(partial(asked, number, text))
    await journal.intent(intent())
    record = reader.turn(1, asked.turn_id)
    assert [choice.message.content for choice in record.sent] == ["one two three"]
    assert record.completion is None
    assert balance().holds
    await journal.completion(completion(asked, text="one two three four"))
    record = reader.turn(1, asked.turn_id)
    assert record.partial == []
    assert [choice.message.content for choice in record.sent] == ["one two three four"]
    assert (balance().intents, balance().completed, balance().stray) == (2, 1, 0)


async def test_it_stores_what_was_sent_sealed(place, journal):
    asked = intent()
    await journal.intent(asked)
    journal.partial(partial(asked, 1, "whispered"))
    await journal.completion(completion(asked))
    (body,) = [bytes(body) for kind, body in rows(place, "kind, body") if kind == "partial"]
    assert body[:1] == b"\x01"
    assert b"whispered" not in body
    assert b"whispered" in opened(place)[1].json


async def test_it_says_nothing_of_what_an_erased_user_was_sent(place_alias, journal):
    asked = intent()
    await journal.intent(asked)
    journal.partial(partial(asked, 1, "whispered"))
    await journal.intent(intent(user="other"))
    run(place_alias, f"DELETE FROM compliance_subjectkey WHERE subject = '{KEYS[1].pseudonym(asked.user)}'")
    record = reader.turn(1, asked.turn_id)
    assert record.erased
    assert record.sent == []


async def test_it_leaves_out_what_cannot_be_recorded_and_nothing_else(place_alias, journal):
    asked = intent()
    await journal.intent(asked)
    journal.partial(partial(asked, 1, "\ud800"))
    journal.partial(partial(asked, -1 << 70, "two"))
    journal.partial(partial(asked, 3, "three"))
    await journal.completion(completion(asked, "completed"))
    assert kinds(place_alias)[asked.turn_id] == ["intent", "partial", "completed"]
    assert journal.healthy


async def test_it_writes_none_of_a_turn_without_an_intent(place, journal):
    journal.partial(partial(intent(), 1, "stray"))
    await journal.intent(intent())
    assert [kind for _, kind, _ in rows(place)] == ["intent"]


async def test_it_keeps_room_for_intents_and_ends(place):
    writer = writer_on(place, max_waiting=20)
    await writer.start()
    asked = intent()
    await writer.intent(asked)
    writer._kicked = True  # nothing is written for the moment
    for number in range(1, 50):
        writer.partial(partial(asked, number, "x"))
    ends = [writer.intent(intent()), writer.completion(completion(asked))]
    writer._kick()
    await asyncio.gather(*ends)
    assert run(place, "SELECT count(*) FROM compliance_auditentry WHERE kind = 'partial'") == [(10,)]
    await writer.stop()


ENGINE = """
import asyncio, sys
from pathlib import Path
from engine import checkpoints
from tests.compliance.journals import writer_on
from tests.engine.parts import ALICE, ScriptedModel, ask, build

checkpoints.TICK, checkpoints.AGE = 0.02, 0.05

async def main():
    where = Path(sys.argv[1]) if sys.argv[1].startswith("/") else sys.argv[1]
    writer = writer_on(where, "killed")
    await writer.start()
    engine, _ = build(ScriptedModel(["the first part, ", "the second", 60.0, "never"]))
    for user in (engine, engine.caller, engine.endings, engine.checkpoints):
        for name in ("journal", "_journal"):
            if hasattr(user, name):
                setattr(user, name, writer)
    async for event in engine.stream(ALICE, ask(stream=True)):
        print(getattr(event, "id", "-"), flush=True)

asyncio.run(main())
"""


def test_it_has_what_a_killed_stream_was_sent(place_alias):
    process = subprocess.Popen([sys.executable, "-c", ENGINE, str(place_alias)], stdout=subprocess.PIPE, text=True)
    turn_id = process.stdout.readline().strip()
    try:
        until = time.monotonic() + 20
        while not any(kind == "partial" for _, kind, _ in rows(place_alias)):
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    run(place_alias, "UPDATE compliance_journalworker SET heartbeat = heartbeat - 60")
    store = store_on(place_alias, "next")
    store.open()
    if hasattr(store, "_sweeper"):
        store._sweeper._dead_after = 0.0
    store.sweep()
    store.close(finished=True)
    record = reader.turn(1, turn_id)
    assert (record.completion.state, record.completion.error) == ("aborted", "worker_lost")
    assert [choice.message.content for choice in record.sent] == ["the first part, the second"]
    assert balance().holds
