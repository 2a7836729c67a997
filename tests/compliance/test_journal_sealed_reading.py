"""Listings, searches and exports over what is sealed, and over users who were erased."""

from __future__ import annotations

import io
import json
import time
from types import SimpleNamespace

import pytest
from msgspec.json import encode

from access import audit_files, auditing
from compliance.journal import changes as change_listing
from compliance.journal import listing
from compliance.journal.changes import ChangeFilters
from compliance.journal.listing import Filters
from compliance.journal.records import change_row
from compliance.models import AuditEntry
from compliance.sealing.destroying import destroy
from compliance.sealing.opening import Opener
from engine.entries import Change
from engine.types import Message, Verdict
from tests.compliance.journals import KEYS, completion, intent, sealer, store_on, writer_on


@pytest.fixture
async def told(place_alias):
    """A turn of Ann's with a hit in its answer, one of Ben's."""
    writer = writer_on(place_alias)
    await writer.start()
    ann = intent(user="ann", edge="grpc", messages=[Message("user", "where is the gold?")])
    ben = intent(user="ben", messages=[Message("user", "no gold here")])
    for asked, words in ((ann, [Verdict("house", 1, "bad", "mask", "output")]), (ben, [])):
        await writer.intent(asked)
        await writer.completion(completion(asked, verdicts=words))
    yield ann, ben
    await writer.stop()


def ids(filters: Filters, tenant_id: int | None = 1) -> list[str]:
    return [turn.turn_id for turn in listing.page(tenant_id, filters).turns]


def erase(user: str) -> None:
    assert destroy(1, KEYS[1].pseudonym(user), before=time.time())


def every() -> list[list[AuditEntry]]:
    return [entries for turns, _ in listing.every(1, Filters()) for entries in turns]


async def test_it_finds_users_by_name_and_words_without_a_key(told):
    ann, ben = told
    assert ids(Filters(user="ann")) == [ann.turn_id]
    assert ids(Filters(user="ben", verdict="any")) == []
    assert ids(Filters(verdict="mask", word_list="house")) == [ann.turn_id]
    assert ids(Filters(edge="grpc")) == [ann.turn_id]
    lines = {turn.turn_id: turn for turn in listing.page(1, Filters()).turns}
    assert [lines[each.turn_id].user for each in told] == ["ann", "ben"]
    assert lines[ann.turn_id].verdicts == [listing.Judged("house", "mask", "output")]


async def test_an_erased_user_has_no_name_and_no_text_but_still_a_line(told):
    ann, ben = told
    erase("ann")
    lines = {turn.turn_id: turn for turn in listing.page(1, Filters()).turns}
    assert [lines[each.turn_id].user for each in told] == ["", "ben"]
    assert lines[ann.turn_id].verdicts == [listing.Judged("house", "mask", "output")]
    assert ids(Filters(verdict="mask")) == [ann.turn_id]  # no text is needed for that


async def test_searches_and_exports_say_what_nobody_can_read(told):
    ann, ben = told
    erase("ann")
    file, job = io.BytesIO(), SimpleNamespace(arguments={"text": "gold", "filters": {}})
    auditing._search(job, iter(every()), file)
    found = json.loads(file.getvalue())
    assert (found["read"], found["unreadable"], [hit["id"] for hit in found["found"]]) == (2, 1, [ben.turn_id])
    file, job = io.BytesIO(), SimpleNamespace(arguments={"format": "jsonl"})
    auditing._export(job, iter(every()), file)
    lines = {line["id"]: line for line in map(json.loads, file.getvalue().splitlines())}
    assert (lines[ann.turn_id]["erased"], lines[ben.turn_id]["erased"]) == (True, False)
    assert b"where is the gold" not in file.getvalue()
    assert [entry["kind"] for entry in lines[ann.turn_id]["entries"]] == ["intent", "completion"]
    opener = Opener()
    rows = {turn[0].turn_id: audit_files.csv_line(turn, auditing._record(turn, opener)) for turn in every()}
    assert rows[ann.turn_id].strip().endswith(b",yes")
    assert b"no gold here" in rows[ben.turn_id]


async def test_changes_are_sealed_with_their_tenants_key(place_alias):
    told = Change(
        turn_id="0" * 11 + "1" + "a" * 20, tenant_id=1, at=0.001, actor="operator:1", action="changed",
        model="routing.routingrule", row="7", before={"weight": 1}, after={"weight": 2},
    )  # fmt: skip
    store = store_on(place_alias)
    store.open()
    store.append(*sealer().seal([change_row(told, "w1")], {}))
    store.close(finished=True)
    [entry] = AuditEntry.objects.for_tenant(1).filter(kind="change")
    assert encode(told) not in bytes(entry.body) and b"weight" not in bytes(entry.body)
    assert change_listing.page(1, ChangeFilters(actor="operator:1")).changes == [told]
    assert destroy(1, KEYS[1].pseudonym(""), before=time.time())
    [bare] = change_listing.page(1, ChangeFilters()).changes
    assert (bare.erased, bare.row, bare.actor, bare.after) == (True, "7", "", {})
