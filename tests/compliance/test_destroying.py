"""The bytes of a destroyed key are in no file, and the journal's writer goes on."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from compliance.journal import reader, slots, tables
from compliance.journal.store import StoreAway
from compliance.sealing import destroying
from compliance.sealing.destroying import destroy
from engine.entries import Partial
from engine.types import Delta
from tests.compliance.journals import KEYS, intent, rows, run, writer_on

ALICE = KEYS[1].pseudonym("alice")


def holding(folder, text: bytes) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file() and text in path.read_bytes())


def wrapped(path) -> dict[str, bytes]:
    with closing(sqlite3.connect(path)) as database:
        return dict(database.execute("SELECT subject, wrapped FROM compliance_subjectkey").fetchall())


async def test_it_destroys_a_subjects_keys_in_every_file(journal_alias):
    tables.migrate_slot(journal_alias, 1)
    writers = [writer_on(journal_alias, f"w{number}") for number in range(2)]
    turns = []
    for writer in writers:
        await writer.start()
        for user, tenant_id in (("alice", 1), ("bob", 1), ("alice", 2)):
            asked = intent(user=user, tenant_id=tenant_id)
            await writer.intent(asked)
            turns.append((tenant_id, asked.turn_id, (user, tenant_id) == ("alice", 1)))
    paths = [slots.slot_path(journal_alias, number) for number in range(2)]
    secrets = [wrapped(path)[ALICE] for path in paths]
    assert all(holding(journal_alias.parent, secret) for secret in secrets)
    assert destroy(1, ALICE, before=0.0) == []
    gone = destroy(1, ALICE, before=time.time())
    assert len(set(gone)) == 2 and destroy(1, ALICE, before=time.time()) == []
    assert [holding(journal_alias.parent, secret) for secret in secrets] == [[], []]
    assert [len(wrapped(path)) for path in paths] == [2, 2]
    assert [reader.turn(tenant_id, turn).erased for tenant_id, turn, _ in turns] == [erased for *_, erased in turns]
    for writer in writers:
        await writer.intent(intent(user="bob"))
        await writer.stop()


async def test_the_writer_is_not_held_up_by_who_waits_for_a_reader(journal_alias, monkeypatch):
    monkeypatch.setattr(destroying, "PATIENCE", 1.0)
    writer = writer_on(journal_alias)
    await writer.start()
    await writer.intent(intent(user="alice"))
    with closing(sqlite3.connect(journal_alias, isolation_level=None)) as database:
        database.execute("BEGIN")
        database.execute("SELECT COUNT(*) FROM compliance_auditentry").fetchone()
        failed: list[Exception] = []

        def work() -> None:
            try:
                destroy(1, ALICE, before=time.time())
            except StoreAway as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        written = 0
        while thread.is_alive():
            await writer.intent(intent(user="bob"))
            written += 1
        database.execute("ROLLBACK")
    assert written > 3 and writer.healthy
    assert [str(error).partition(": ")[2][:8] for error in failed] == ["somebody"]
    assert ALICE not in wrapped(journal_alias)
    destroy(1, ALICE, before=time.time())
    await writer.stop()


def test_it_says_so_when_a_file_cannot_be_read(journal_alias):
    second = slots.slot_path(journal_alias, 1)
    tables.migrate_slot(journal_alias, 1)
    with closing(sqlite3.connect(second)) as database:
        database.execute("DROP TABLE compliance_subjectkey")
    with pytest.raises(StoreAway, match="journal-1"):
        destroy(1, ALICE, before=time.time())


async def test_it_destroys_keys_on_either_database(place_alias):
    writer = writer_on(place_alias)
    await writer.start()
    for user in ("alice", "bob"):
        await writer.intent(intent(user=user))
    assert len(destroy(1, ALICE, before=time.time() + 1)) == 1
    assert destroy(1, ALICE, before=time.time() + 1) == []
    assert run(place_alias, "SELECT subject FROM compliance_subjectkey") == [(KEYS[1].pseudonym("bob"),)]
    await writer.stop()


async def test_what_was_partly_sent_is_sealed_and_erased_too(place_alias):
    writer = writer_on(place_alias)
    await writer.start()
    asked = intent(user="alice")
    await writer.intent(asked)
    sent = {"turn_id": asked.turn_id, "tenant_id": 1, "at": time.time(), "user": "alice"}
    writer.partial(Partial(number=1, deltas=[Delta("canary-text")], **sent))
    while len(rows(place_alias)) < 2:
        await asyncio.sleep(0.01)
    assert not any(b"canary" in bytes(body) for (body,) in rows(place_alias, "body"))
    assert reader.turn(1, asked.turn_id).sent[0].message.content == "canary-text"
    destroy(1, ALICE, before=time.time() + 1)
    record = reader.turn(1, asked.turn_id)
    assert (record.erased, record.sent) == (True, [])
    await writer.stop()
