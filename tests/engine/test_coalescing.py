"""Identical requests at the same time: one call upstream, and each turn its own in all else."""

import asyncio
from contextlib import aclosing

import pytest

from engine.types import CachePolicy, Choice, End, Message, StoredAnswer, Usage
from tests.engine.parts import ALICE, Run, ScriptedModel, nothing_left
from tests.engine.sharing import BOB, CHARLIE, asking, calls, gated, question, sharing, until


async def test_identical_requests_share_one_call():
    gate, model = gated("Hel", "lo")
    engine, parts = sharing(model)
    turns = [asking(engine, principal, stream=stream) for principal in (ALICE, BOB) for stream in (True, False)]
    await until(lambda: len(parts.journal.intents) == 4)
    gate.set()
    done = await asyncio.gather(*turns)
    assert calls(parts) == [1]
    assert [one.message.content for one in done] == ["Hello"] * 4
    assert len({one.id for one in done}) == 4
    assert len(parts.journal.intents) == len(parts.journal.completions) == 4
    assert sorted(entry.source for entry in parts.journal.completions) == ["model", "shared", "shared", "shared"]
    assert {entry.user for entry in parts.journal.intents} == {"key:1", "bob"}
    first = next(entry for entry in parts.journal.completions if entry.source == "model")
    others = [entry for entry in parts.journal.completions if entry.source == "shared"]
    assert {entry.decision["shared_with"] for entry in others} == {first.turn_id}
    assert (first.attempts, first.decision) == (1, {}) and {entry.attempts for entry in others} == {0}
    await nothing_left(engine, parts)


async def test_it_is_paid_for_once_and_told_once():
    gate, model = gated("Hello")
    engine, parts = sharing(model)
    turns = [asking(engine) for _ in range(3)]
    await until(lambda: len(parts.journal.intents) == 3)
    gate.set()
    await asyncio.gather(*turns)
    assert sorted(slot.used.total_tokens for slot in parts.limiter.reserved) == [8]
    called, *unused = parts.routes
    assert (called.outcomes, called.first_tokens, called.unused_calls) == ([None], 1, 0)
    assert all((route.outcomes, route.first_tokens, route.unused_calls) == ([], 0, 1) for route in unused)


async def test_those_that_set_tokens_aside_at_the_same_time_share_a_call_too():
    gate, model = gated("Hello")
    engine, parts = sharing(model)
    parts.limiter.gate = asyncio.Event()
    turns = [asking(engine) for _ in range(3)]
    await until(lambda: len(parts.journal.intents) == 3)
    parts.limiter.gate.set()
    gate.set()
    assert len({done.id for done in await asyncio.gather(*turns)}) == 3 and len(model.calls) == 1
    assert sorted(slot.used.total_tokens for slot in parts.limiter.reserved) == [0, 0, 8]
    await nothing_left(engine, parts)


async def test_nothing_is_shared_without_being_told():
    gate, model = gated("Hello")
    engine, parts = sharing(model, policy=CachePolicy(ttl=60))
    turns = [asking(engine) for _ in range(2)]
    await until(lambda: len(model.calls) == 2)
    gate.set()
    await asyncio.gather(*turns)
    await nothing_left(engine, parts)


@pytest.mark.parametrize("fields", [{"temperature": 1}, {"text": "Ho"}, {"cache": "no-store"}, {"cache": "no-cache"}])
async def test_what_is_not_the_same_is_not_shared(fields):
    gate, model = gated("Hello")
    engine, parts = sharing(model)
    turns = [asking(engine), asking(engine, **fields)]
    await until(lambda: len(model.calls) == 2)
    gate.set()
    await asyncio.gather(*turns)
    await nothing_left(engine, parts)


async def test_another_tenant_never_joins():
    gate, model = gated("Hello")
    engine, parts = sharing(model)
    turns = [asking(engine, principal) for principal in (ALICE, CHARLIE, ALICE, CHARLIE)]
    await until(lambda: len(parts.journal.intents) == 4)
    gate.set()
    await asyncio.gather(*turns)
    assert len(model.calls) == 2
    shared = {entry.decision["shared_with"]: entry.tenant_id for entry in parts.journal.completions if entry.decision}
    own = {entry.turn_id: entry.tenant_id for entry in parts.journal.completions if not entry.decision}
    assert shared == own and sorted(own.values()) == [1, 2]


async def test_a_call_with_no_cache_may_be_joined():
    gate, model = gated("Hello")
    engine, parts = sharing(model)
    turns = [asking(engine, cache="no-cache"), asking(engine)]
    await until(lambda: len(parts.journal.intents) == 2)
    gate.set()
    await asyncio.gather(*turns)
    assert len(model.calls) == 1


async def test_who_comes_late_catches_up_from_the_first_word():
    gate, model = gated("three", before=["one ", "two "])
    engine, parts = sharing(model)
    async with aclosing(engine.stream(ALICE, question())) as leading:
        heard = [await anext(leading) for _ in range(3)]
        async with aclosing(engine.stream(BOB, question())) as late:
            caught_up = [await anext(late) for _ in range(3)]
            assert [event.content for event in caught_up[1:]] == [event.content for event in heard[1:]]
            assert (heard[0].source, caught_up[0].source) == ("model", "shared")
            gate.set()
            rest = [event async for event in late]
        assert [event.content for event in rest[:-1]] == ["three"]
        assert [event async for event in leading][-1].message == rest[-1].message
    await nothing_left(engine, parts)


async def test_who_comes_after_the_end_makes_a_call_of_its_own():
    engine, parts = sharing()
    for _ in range(2):
        await engine.complete(ALICE, question())
    assert calls(parts) == [2]


async def test_each_has_its_own_guard():
    gate, model = gated("a bomb")
    engine, parts = sharing(model)
    plain = asking(engine)
    await until(lambda: parts.journal.intents)
    parts.guard.words = ["bomb"]
    guarded = asking(engine, BOB)
    await until(lambda: len(parts.journal.intents) == 2)
    gate.set()
    assert (await plain).finish_reason == "stop"
    assert (await guarded).finish_reason == "content_filter"
    assert len(model.calls) == 1
    await nothing_left(engine, parts)


async def test_a_guard_that_stops_one_reader_stops_nobody_else():
    begin, gate = asyncio.Event(), asyncio.Event()
    model = ScriptedModel([begin, "a bomb ", gate, "end"])
    engine, parts = sharing(model)
    parts.guard.words = ["bomb"]
    blocked = asking(engine)
    await until(lambda: parts.journal.intents)
    parts.guard.words = []
    other = asking(engine, BOB)
    await until(lambda: len(parts.journal.intents) == 2)
    begin.set()
    assert (await blocked).finish_reason == "content_filter"
    assert model.closed == 0 and parts.routes[0].outcomes == [] and parts.limiter.reserved[0].used is None
    gate.set()
    assert (await other).message.content == "a bomb end"
    assert parts.limiter.reserved[0].used == Usage(3, 5) and parts.routes[0].outcomes[0] is None
    await nothing_left(engine, parts)


async def test_each_has_its_own_hooks():
    gate, model = gated("Hello")
    engine, parts = sharing(model, run=Run(needs_full_response=True, prefix="> "))
    turns = [asking(engine) for _ in range(3)]
    await until(lambda: len(parts.journal.intents) == 3)
    gate.set()
    assert {done.message.content for done in await asyncio.gather(*turns)} == {"> Hello"}
    assert len(model.calls) == 1


class Batching(ScriptedModel):
    """Answers several prompts in one call, each with itself."""

    def batch_key(self, call):
        return call.model

    async def answer_all(self, calls):
        self.calls.append(calls)
        self.closed += 1
        said = [call.messages[-1].content for call in calls]
        return [
            StoredAnswer([Choice(Message("assistant", text), "stop")], End({0: "stop"}, Usage(1, 2))) for text in said
        ]


async def test_a_shared_call_may_have_a_part_in_a_batch():
    """The same twice and another: two prompts in one call upstream, three turns."""
    model = Batching()
    engine, parts = sharing(model)
    parts.router.settings = {"batch_size": 2, "batch_window": 60.0}
    done = await asyncio.gather(asking(engine, text="a"), asking(engine, text="a"), asking(engine, text="b"))
    assert [one.message.content for one in done] == ["a", "a", "b"]
    assert [[call.messages[-1].content for call in calls] for calls in model.calls] == [["a", "b"]]
    assert [slot.used for slot in parts.limiter.reserved] == [Usage(1, 2), Usage(1, 2)]
    assert [route.outcomes[:1] for route in parts.routes] == [[], [], [], [None]]
    assert [route.unused_calls for route in parts.routes] == [1, 1, 1, 0]
    await nothing_left(engine, parts)
