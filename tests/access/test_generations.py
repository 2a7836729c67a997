"""Streams whose readers are slow, and what may be in memory."""

from __future__ import annotations

import asyncio

from access import frames, generations, readers
from access.shelf import NoShelf
from tests.access.parts import build
from tests.cast import ALICE
from tests.conformance.edges import HI, within
from tests.engine.parts import ScriptedModel


def begin(site):
    return site.alice.begin("POST", "/api/chat", {"messages": HI, "stream": True})


async def whole(site):
    """A stream without an interruption, frame by frame, and its turn's id."""
    answer = await begin(site).rest()
    return frames.split(answer.body), answer.headers["x-clawdbot-decision"]


async def test_a_slow_reader_holds_up_nobody(monkeypatch):
    """The turn ends, and another reader has it all, while the first has not taken its second piece."""
    held = asyncio.Event()
    gate = asyncio.Event()
    site = build(ScriptedModel(["a", gate, *"bcdefgh"]))

    async def slow(scope, receive, send):
        async def sending(event):
            await send(event)
            if b"event: delta" in event.get("body", b""):
                await held.wait()

        await site.app(scope, receive, sending)

    client = type(site.alice)(slow, site.alice.headers)
    exchange = client.begin("POST", "/api/chat", {"messages": HI, "stream": True})
    begun = await exchange.piece()
    gate.set()
    await within(2, lambda: site.behind.journal.states == ["completed"])
    held.set()
    assert frames.split(begun + (await exchange.rest()).body)[-1].startswith(b"id: ")


async def test_a_reader_that_stalls_is_dropped(monkeypatch):
    monkeypatch.setattr(generations, "STALLED", 0.1)
    site = build(ScriptedModel(["a", 0.01, "b", asyncio.Event()]), grace=0)

    async def stuck(scope, receive, send):
        async def sending(event):
            if b'"b"' in event.get("body", b""):
                await asyncio.Event().wait()
            await send(event)

        await site.app(scope, receive, sending)

    client = type(site.alice)(stuck, site.alice.headers)
    exchange = client.begin("POST", "/api/chat", {"messages": HI, "stream": True})
    await asyncio.wait_for(exchange.task, 30)
    await within(1, lambda: site.behind.journal.states == ["cancelled"])


async def test_a_reader_far_behind_is_given_a_part_at_a_time(monkeypatch):
    monkeypatch.setattr(readers, "AT_ONCE", 3)
    site = build(ScriptedModel([*"abcdefghij", asyncio.Event()]))
    first = begin(site)
    had = b""
    while len(frames.split(had)) < 11:
        had += await first.piece()
    second = site.alice.begin("GET", f"/api/turns/{first.headers['x-clawdbot-decision']}/events")
    pieces = [await second.piece() for _ in range(3)]
    assert [len(frames.split(piece)) for piece in pieces] == [3, 3, 3]
    for exchange in (first, second):
        exchange.leave()
        await exchange.task


async def test_too_much_in_memory_is_an_overload(monkeypatch):
    monkeypatch.setattr(generations, "MAX_TOTAL", 0)
    answer = await begin(build()).rest()
    assert (answer.status, answer.json["error"]["code"]) == (503, "overloaded")


async def test_what_is_over_makes_room_while_the_store_is_away(monkeypatch):
    class Away(NoShelf):
        def put(self, owner, turn_id, place, events, landed):
            landed(False)

    site = build(ScriptedModel([*"abc"]), shelf=Away())
    mine = site.parts.generations
    _, turn_id = await whole(site)
    await within(2, lambda: mine.total > 0)
    monkeypatch.setattr(generations, "MAX_TOTAL", mine.total)
    said, _ = await whole(site)
    assert frames.is_last(said[-1]) and mine.find(site.keys.people[ALICE.key], turn_id) is None
    await within(2, lambda: 0 < mine.total <= generations.MAX_TOTAL)


async def test_a_store_that_is_away_holds_up_no_other(monkeypatch):
    monkeypatch.setattr(generations, "RETRY", 60)
    offered = []

    class Away(NoShelf):
        def put(self, owner, turn_id, place, events, landed):
            offered.append(turn_id)
            landed(offered[0] != turn_id)

    site = build(ScriptedModel([*"abc"]), shelf=Away())
    await whole(site)
    await within(2, lambda: len(offered) == 1)
    _, other = await whole(site)
    await within(2, lambda: other in offered)


async def test_an_answer_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(generations, "MAX_BYTES", 10_000)
    model = ScriptedModel(["x" * 1_000] * 100)
    body = (await begin(build(model)).rest()).body
    assert body.count(b"event: delta") < 12 and b'"code":"upstream_error"' in body and model.closed
