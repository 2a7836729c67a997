"""Streams that are left and come back to: here, at another worker, from the store or from the journal."""

from __future__ import annotations

import asyncio
import json
import random
import time
from urllib.parse import quote

import msgspec
import pytest

from access import frames, generations, resuming
from access.generations import Generations
from engine.entries import Completion
from engine.errors import UpstreamError
from engine.snapshots import Cell
from engine.types import Delta
from sessions_app.streams import EventStore
from tenants.isolation import Stores
from tests.access.parts import Recorded, build
from tests.cast import ALICE, BOB, CHARLIE, tenant_table
from tests.conformance.edges import FRAGMENTS, HI, within
from tests.engine.parts import ScriptedModel

ANSWER = ["Hel", "lo, ", Delta(reasoning="嗯"), "世界", "\n\nid: 5\n", *FRAGMENTS, Delta("b", index=1), "!"]


@pytest.fixture
async def shelf(valkey_url):
    stores = Stores([valkey_url], Cell(tenant_table()))
    yield EventStore(stores)
    await stores.close()


@pytest.fixture
def soon(monkeypatch):
    """The journal is asked again and again."""
    monkeypatch.setattr(resuming, "FIRST_QUESTION", 0.05)
    monkeypatch.setattr(resuming, "QUESTIONS", 0.05)


def begin(site, **fields):
    return site.alice.begin("POST", "/api/chat", {"messages": HI, "stream": True, **fields})


def elsewhere(site, shelf):
    """Another worker: it shares the store, the journal and the bus, and runs nothing itself."""

    def tell(kind, text):
        {"reader": site.parts.generations.heard, "cancel": site.parts.canceller.heard}[kind](text)

    return build(shelf=shelf, read_turn=Recorded(site.behind.journal), tell=tell)


async def events(client, turn_id, after=None):
    headers = {"Last-Event-ID": f"{turn_id}.{after}"} if after is not None else {}
    return await client.get(f"/api/turns/{turn_id}/events", headers)


async def whole(site):
    """A stream without an interruption, frame by frame, and its turn's id."""
    answer = await begin(site).rest()
    return frames.split(answer.body), answer.headers["x-clawdbot-decision"]


async def left(site, count=1):
    """A turn whose reader leaves after so many frames, and what it had."""
    exchange = begin(site)
    had = b""
    while len(frames.split(had)) < count:
        had += await exchange.piece()
    exchange.leave()
    await exchange.task
    return had, exchange.headers["x-clawdbot-decision"]


@pytest.mark.parametrize("kept", [True, False], ids=["store", "journal"])
async def test_every_event_can_be_the_last_one_that_was_seen(shelf, kept):
    site = build(ScriptedModel(ANSWER), shelf=shelf if kept else None)
    said, turn_id = await whole(site)
    assert len(said) == len(ANSWER) + 2
    await within(2, lambda: not len(site.parts.generations))
    for worker in (site, elsewhere(site, shelf)):
        assert (await events(worker.alice, turn_id)).body == b"".join(said)
        for after in range(len(said) - 1):
            assert (await events(worker.alice, turn_id, after)).body == b"".join(said[after + 1 :])
        nothing = await events(worker.alice, turn_id, len(said) - 1)
        assert (nothing.status, nothing.body) == (204, b"")


async def test_it_takes_the_id_from_the_query_too():
    site = build(ScriptedModel(ANSWER))
    said, turn_id = await whole(site)
    answer = await site.alice.get(f"/api/turns/{turn_id}/events/?last_event_id={turn_id}.3")
    assert answer.body == b"".join(said[4:])


@pytest.mark.parametrize("wrong", ["x", "5", "{}.-1", "{}.x", "{}.1.2", "{}." + "9" * 10, "0" * 32 + ".1", "{}.\xb2"])
async def test_it_refuses_an_id_that_is_none_of_the_turns(wrong):
    site = build()
    _, turn_id = await whole(site)
    given = wrong.replace("{}", turn_id)
    answer = await site.alice.get(f"/api/turns/{turn_id}/events", {"Last-Event-ID": given})
    assert (answer.status, answer.json["error"]["param"]) == (400, "last_event_id")
    assert (await site.alice.get(f"/api/turns/{turn_id}/events?last_event_id={quote(given)}")).status == 400


async def test_nobody_else_follows_a_turn(shelf):
    gate = asyncio.Event()
    site = build(ScriptedModel(["a", gate]), shelf=shelf, grace=5)
    exchange = begin(site)
    await exchange.piece()
    turn_id = exchange.headers["x-clawdbot-decision"]
    auditor = BOB.key_principal
    site.keys.people[BOB.key] = msgspec.structs.replace(auditor, scopes=auditor.scopes | {"audit", "manage"})
    for worker in (site, elsewhere(site, shelf)):
        for person in (BOB, CHARLIE):
            answer = await events(worker.client(person.key), turn_id)
            assert (answer.status, answer.json["error"]["code"]) == (404, "turn_not_found")
    for unknown in ("0" * 32, "nonsense"):
        assert (await events(site.alice, unknown)).status == 404
    gate.set()
    await exchange.rest()
    for person in (BOB, CHARLIE):
        assert (await events(site.client(person.key), turn_id)).status == 404


@pytest.mark.parametrize("worker", ["here", "elsewhere"])
async def test_a_reader_that_left_finds_the_rest(shelf, worker):
    gate = asyncio.Event()
    site = build(ScriptedModel(["a", gate, "b", "c"]), shelf=shelf, grace=5)
    had, turn_id = await left(site, 2)
    other = site if worker == "here" else elsewhere(site, shelf)
    exchange = other.alice.begin("GET", f"/api/turns/{turn_id}/events", headers={"Last-Event-ID": f"{turn_id}.1"})
    await within(2, lambda: exchange.status)  # it is told that it may wait before there is anything new
    gate.set()
    rest = (await exchange.rest()).body
    assert (had + rest).count(b"id: ") == 5 and b'"content":"abc"' in rest
    assert site.behind.journal.states == ["completed"]
    assert site.behind.sessions.kept  # it is part of its session


async def test_a_turn_that_nobody_comes_back_to_is_cancelled(shelf):
    model = ScriptedModel(["a", asyncio.Event()])
    site = build(model, shelf=shelf, grace=0.2)
    had, turn_id = await left(site, 2)
    assert not model.closed
    await within(2, lambda: model.closed)
    await within(1, lambda: site.behind.journal.states == ["cancelled"])
    await within(2, lambda: not len(site.parts.generations))
    for worker in (site, elsewhere(site, shelf)):
        rest = (await events(worker.alice, turn_id, 1)).body
        assert rest.startswith(b"id: %b.2\nevent: error\n" % turn_id.encode()) and b'"cancelled"' in rest


async def test_a_reader_elsewhere_counts(shelf, monkeypatch):
    gate = asyncio.Event()
    site = build(ScriptedModel(["a", gate]), shelf=shelf, grace=0.15)
    _, turn_id = await left(site, 2)
    exchange = elsewhere(site, shelf).alice.begin("GET", f"/api/turns/{turn_id}/events")
    await exchange.piece()
    await asyncio.sleep(0.4)
    assert not site.behind.journal.completions
    exchange.leave()
    await exchange.task
    await within(2, lambda: site.behind.journal.states == ["cancelled"])


async def test_a_worker_that_tells_nothing_more_counts_for_a_while(shelf, monkeypatch):
    monkeypatch.setattr(generations, "REMOTE", 0.3)
    site = build(ScriptedModel(["a", asyncio.Event()]), shelf=shelf, grace=0.1)
    _, turn_id = await left(site, 2)
    site.parts.generations.heard(f"{turn_id} somebody 1")
    await asyncio.sleep(0.2)
    assert not site.behind.journal.completions
    await within(2, lambda: site.behind.journal.states == ["cancelled"])


async def test_a_reader_whose_worker_died_has_the_whole_grace(shelf, monkeypatch):
    monkeypatch.setattr(generations, "REMOTE", 0.2)
    site = build(ScriptedModel(["a", asyncio.Event()]), shelf=shelf, grace=0.6)
    _, turn_id = await left(site, 2)
    await asyncio.sleep(0.4)
    site.parts.generations.heard(f"{turn_id} somebody 1")
    heard = time.monotonic()
    await within(3, lambda: site.behind.journal.states == ["cancelled"])
    assert time.monotonic() - heard > 0.5


async def test_two_readers_are_sent_the_same(shelf):
    gate = asyncio.Event()
    site = build(ScriptedModel(["a", gate, "b", 0.01, "c"]), shelf=shelf)
    exchange = begin(site)
    had = await exchange.piece()
    turn_id = exchange.headers["x-clawdbot-decision"]
    others = [
        worker.alice.begin("GET", f"/api/turns/{turn_id}/events") for worker in (site, site, elsewhere(site, shelf))
    ]
    first = [await other.piece() for other in others]
    gate.set()
    bodies = [(begun + (await other.rest()).body) for begun, other in zip(first, others, strict=True)]
    assert {had + (await exchange.rest()).body} == set(bodies)


async def test_the_journal_tells_what_the_store_lost(shelf, soon, valkey_url):
    site = build(ScriptedModel(ANSWER), shelf=shelf)
    said, turn_id = await whole(site)
    await within(2, lambda: not len(site.parts.generations))
    await shelf._stores.platform().call("FLUSHALL")
    assert (await events(elsewhere(site, shelf).alice, turn_id, 2)).body == b"".join(said[3:])


async def test_the_store_gets_back_what_it_lost_of_a_running_turn(shelf):
    gate = asyncio.Event()
    site = build(ScriptedModel(["a", "b", gate, "c"]), shelf=shelf, grace=5)
    had, turn_id = await left(site, 3)
    other = elsewhere(site, shelf)
    await asyncio.sleep(2 * generations.FLUSH)
    await shelf._stores.platform().call("FLUSHALL")
    exchange = other.alice.begin("GET", f"/api/turns/{turn_id}/events")
    await asyncio.sleep(0.1)
    gate.set()
    assert (await exchange.rest()).body.startswith(had)


async def test_an_aborted_turn_ends_with_an_error(shelf, soon):
    """Its worker is gone: the store has what was sent there, and the journal says that nothing more will come."""
    site = build(ScriptedModel(["a", "b", asyncio.Event()]), shelf=shelf, grace=60)
    had, turn_id = await left(site, 3)
    record = await Recorded(site.behind.journal)(1, turn_id)

    async def read_turn(tenant_id, turn_id):
        return record

    other = build(shelf=shelf, read_turn=read_turn)
    await asyncio.sleep(2 * generations.FLUSH)
    exchange = other.alice.begin("GET", f"/api/turns/{turn_id}/events")
    assert await exchange.piece() == had
    dead = Completion(turn_id=turn_id, tenant_id=1, at=record.intent.at, state="aborted")
    record = msgspec.structs.replace(record, completion=dead)
    end = (await exchange.rest()).body
    assert end.startswith(b"id: %b.%d\nevent: error\n" % (turn_id.encode(), frames.END)) and b'"code":"aborted"' in end
    assert (await events(other.alice, turn_id, frames.END)).status == 204
    await site.parts.generations.stop()


async def test_a_turn_that_was_no_stream_is_told_whole():
    site = build(ScriptedModel(["Hel", Delta(reasoning="hm"), "lo"]))
    turn_id = (await site.alice.post("/api/chat", {"messages": HI})).json["id"]
    said = frames.split((await events(site.alice, turn_id)).body)
    assert [b"start" in said[0], b'{"content":"Hello","reasoning":"hm"}' in said[1]] == [True, True]
    assert b"event: done" in said[2] and f"{turn_id}.{frames.END}".encode() in said[2]
    assert (await events(site.alice, turn_id, 1)).body == said[2]
    assert (await events(site.alice, turn_id, frames.END)).status == 204


async def test_an_error_is_told_again():
    site = build(ScriptedModel(["a", UpstreamError()]))
    said, turn_id = await whole(site)
    assert b'"code":"upstream_error"' in said[-1]
    await within(2, lambda: not len(site.parts.generations))
    assert (await events(site.alice, turn_id, 0)).body == b"".join(said[1:])


async def test_a_turn_elsewhere_is_stopped(shelf):
    model = ScriptedModel(["a", asyncio.Event()])
    site = build(model, shelf=shelf)
    other = elsewhere(site, shelf)
    exchange = begin(site)
    await exchange.piece()
    turn_id = exchange.headers["x-clawdbot-decision"]
    for person in (BOB, CHARLIE):
        assert (await other.client(person.key).post(f"/api/turns/{turn_id}/cancel")).status == 404
    assert not model.closed
    assert (await other.alice.post(f"/api/turns/{turn_id}/cancel")).json == {"id": turn_id, "state": "cancelling"}
    await within(0.5, lambda: model.closed)
    assert b'"code":"cancelled"' in (await exchange.rest()).body
    assert (await other.alice.post(f"/api/turns/{turn_id}/cancel")).status == 404


async def test_a_word_of_the_bus_stops_only_what_its_sender_may(shelf):
    site = build(ScriptedModel(["a", asyncio.Event()]))
    exchange = begin(site)
    await exchange.piece()
    stop = {"turn_id": exchange.headers["x-clawdbot-decision"], "tenant_id": 1, "subject": "key:1", "manages": False}
    for wrong in ({"subject": "key:2"}, {"tenant_id": 2}, {"tenant_id": 2, "manages": True}, {"turn_id": "0" * 32}):
        site.parts.canceller.heard(json.dumps({**stop, **wrong}))
    await asyncio.sleep(0.05)
    assert not site.behind.journal.completions
    site.parts.canceller.heard(json.dumps({**stop, "subject": "key:9", "manages": True}))
    assert b'"cancelled"' in (await exchange.rest()).body


async def test_nothing_is_left_in_memory(shelf):
    site = build(ScriptedModel(ANSWER), shelf=shelf)
    for _ in range(5):
        await whole(site)
    await begin(site, model="missing").rest()
    mine: Generations = site.parts.generations
    await within(2, lambda: (len(mine), mine.total, len(site.parts.running)) == (0, 0, 0))


async def test_it_is_offered_again_to_a_store_that_was_away(valkey_url, monkeypatch):
    monkeypatch.setattr(generations, "RETRY", 0.05)
    stores = Stores([valkey_url], Cell(tenant_table()))

    class Away(EventStore):
        refusals = 2

        def put(self, owner, turn_id, place, events, landed):
            self.refusals -= 1
            if self.refusals >= 0:
                landed(False)
            else:
                super().put(owner, turn_id, place, events, landed)

    shelf = Away(stores)
    site = build(ScriptedModel(ANSWER), shelf=shelf)
    said, turn_id = await whole(site)
    await within(2, lambda: not len(site.parts.generations))
    assert await shelf.get(site.keys.people[ALICE.key], turn_id, 0) == b"".join(said)
    await stores.close()


async def test_stopping_cancels_and_records_what_runs(shelf):
    site = build(ScriptedModel(["a", asyncio.Event()]), shelf=shelf, grace=60)
    _, turn_id = await left(site, 2)
    await site.parts.generations.stop()
    await site.parts.engine.drain()
    assert site.behind.journal.states == ["cancelled"]
    rest = await events(elsewhere(site, shelf).alice, turn_id, 1)
    assert b'"cancelled"' in rest.body


async def test_random_cuts_make_the_same_bytes(shelf):
    chance = random.Random(5)
    pieces = []
    for piece in "Hello 世界 and all the others, 你好，再见! 🙂".split():
        pieces += [chance.choice([Delta(reasoning=piece), piece, piece]), chance.choice([0.0, 0.001, 0.01])]
    site = build(ScriptedModel(pieces), shelf=shelf, grace=5)
    workers = [site, elsewhere(site, shelf)]
    for _ in range(10):
        had, turn_id = await left(site, chance.randint(1, 4))
        while not frames.is_last(frames.split(had)[-1]):
            worker = chance.choice(workers)
            headers = {"Last-Event-ID": f"{turn_id}.{len(frames.split(had)) - 1}"}
            exchange = worker.alice.begin("GET", f"/api/turns/{turn_id}/events", headers=headers)
            for _ in range(chance.randint(1, 3)):
                piece = await exchange.piece()
                if piece is None:
                    break
                had += piece
            exchange.leave()
            await exchange.task
        await within(2, lambda: not len(site.parts.generations))
        assert had == (await events(build(read_turn=Recorded(site.behind.journal)).alice, turn_id)).body


async def test_a_repeated_answer_is_told_in_the_same_pieces_and_kept_once(shelf):
    site = build(ScriptedModel(ANSWER), shelf=shelf)
    key = {"Idempotency-Key": "k"}
    body = {"messages": HI, "stream": True}
    said = frames.split((await site.alice.post("/api/chat", body, key)).body)
    await within(2, lambda: not len(site.parts.generations))
    again = await site.alice.post("/api/chat", body, key)
    assert again.headers["idempotent-replayed"] == "true" and b'"replayed":true' in again.body
    assert frames.split(again.body)[1:] == said[1:]
    await within(2, lambda: (len(site.parts.generations), site.parts.generations.total) == (0, 0))
    assert (await events(site.alice, again.headers["x-clawdbot-decision"])).body == b"".join(said)
