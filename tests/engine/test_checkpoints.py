"""What a stream was sent is handed to the journal by size and by the clock, and folds to the same answer."""

import asyncio
from contextlib import aclosing

import pytest

from engine import checkpoints
from engine.errors import UpstreamError
from engine.folding import Fold
from engine.types import Delta
from tests.engine.parts import ALICE, ScriptedModel, ask, build


def folded(journal):
    fold = Fold()
    for partial in journal.partials:
        for delta in partial.deltas:
            fold.add(delta)
    return fold.choices({}, "stop")


async def test_it_writes_every_four_kibibytes_before_they_leave():
    pieces = [f"{number:04}" + "x" * 996 for number in range(10)]
    engine, parts = build(ScriptedModel(pieces))
    recorded_at = []
    async with aclosing(engine.stream(ALICE, ask(stream=True))) as events:
        async for event in events:
            if isinstance(event, Delta):
                recorded_at.append(len(parts.journal.partials))
    assert recorded_at == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2]
    assert [partial.number for partial in parts.journal.partials] == [1, 2]
    assert folded(parts.journal)[0].message.content == "".join(pieces)
    assert {partial.turn_id for partial in parts.journal.partials} == {parts.journal.intents[0].turn_id}
    assert parts.journal.partials[0].user == ALICE.user


async def test_it_counts_what_text_takes_in_bytes():
    engine, parts = build(ScriptedModel(["好" * 700, "人" * 700]))
    await engine.complete(ALICE, ask(stream=True))
    assert len(parts.journal.partials) == 1
    assert folded(parts.journal)[0].message.content == "好" * 700 + "人" * 700


async def test_it_writes_what_a_stalled_stream_was_sent(monkeypatch):
    monkeypatch.setattr(checkpoints, "TICK", 0.01)
    monkeypatch.setattr(checkpoints, "AGE", 0.03)
    stalled = asyncio.Event()
    engine, parts = build(ScriptedModel(["some", " words", stalled, " more"]))
    events = engine.stream(ALICE, ask(stream=True))
    for _ in range(3):
        await anext(events)
    waiting = asyncio.ensure_future(anext(events))
    async with asyncio.timeout(30):
        while not parts.journal.partials:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert [partial.deltas for partial in parts.journal.partials] == [[Delta(content="some words")]]  # and only once
    stalled.set()
    await waiting
    await events.aclose()


async def test_it_writes_all_channels_of_all_choices(monkeypatch):
    monkeypatch.setattr(checkpoints, "SIZE", 1)
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a"'}}
    more = {"index": 0, "function": {"arguments": ":1}"}}
    second = {"index": 1, "id": "c2", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    pieces = [
        Delta(reasoning="think"), Delta(content="one"), Delta(content="two", index=1), Delta(tool_calls=[call]),
        Delta(tool_calls=[more]), Delta(tool_calls=[second]), Delta(refusal="no", index=1), Delta(content=" end"),
    ]  # fmt: skip
    engine, parts = build(ScriptedModel(pieces))
    done = await engine.complete(ALICE, ask(stream=True))
    assert len(parts.journal.partials) == len(pieces)
    assert [choice.message for choice in folded(parts.journal)] == [choice.message for choice in done.choices]


async def test_it_leaves_answers_alone_that_leave_in_one_piece(monkeypatch):
    monkeypatch.setattr(checkpoints, "SIZE", 1)
    engine, parts = build(ScriptedModel(["a", "b"]))
    await engine.complete(ALICE, ask())
    assert parts.journal.partials == []


async def test_it_stops_looking_when_no_stream_runs(monkeypatch):
    monkeypatch.setattr(checkpoints, "TICK", 0.01)
    engine, parts = build(ScriptedModel(["a", UpstreamError()]))
    with pytest.raises(UpstreamError):
        await engine.complete(ALICE, ask(stream=True))
    await asyncio.sleep(0.05)
    assert engine.checkpoints._timer is None
    assert parts.journal.states == ["failed"]
