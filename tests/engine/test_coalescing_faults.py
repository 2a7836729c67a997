"""A call that several turns share: who leaves it, what fails, and what each of the others is told."""

import asyncio
import random
from contextlib import aclosing

import pytest

from engine.errors import AuditUnavailable, RateLimited, UpstreamBusy, UpstreamError, UpstreamRejected
from engine.types import CachePolicy, Delta, Done, Start, Usage
from tests.engine.parts import ALICE, ScriptedModel, nothing_left
from tests.engine.sharing import BOB, CHARLIE, asking, calls, gated, question, sharing, until

# Whoever leaves ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [[], ["one "]])
async def test_the_call_goes_on_when_its_turn_leaves(said):
    gate, model = gated("two", before=said)
    engine, parts = sharing(model, policy=CachePolicy(ttl=60, coalesce=True))
    leading = asking(engine)
    await until(lambda: parts.journal.intents)
    other = asking(engine, BOB)
    await until(lambda: len(parts.journal.intents) == 2)
    leading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leading
    await asyncio.sleep(0.01)
    assert model.closed == 0 and parts.routes[0].outcomes == [] and parts.limiter.reserved[0].used is None
    assert parts.limiter.open == 1
    joined = asking(engine, BOB)
    await until(lambda: len(parts.journal.intents) == 3)
    gate.set()
    assert {done.message.content for done in await asyncio.gather(other, joined)} == {"".join([*said, "two"])}
    assert len(model.calls) == 1
    assert [slot.used for slot in parts.limiter.reserved] == [Usage(3, 5)]
    assert parts.routes[0].outcomes[0] is None
    assert parts.routes[0].first_tokens == 1, "it was timed, though nobody is left who waited for it from the start"
    await nothing_left(engine, parts)
    assert parts.journal.states.count("cancelled") == 1
    [kept] = parts.answers.kept.values()
    assert kept.choices[0].message.content == "".join([*said, "two"]), "whoever reads all of it keeps it"
    assert parts.answers.puts == 1


@pytest.mark.parametrize("said", [[], ["one "]])
async def test_what_is_paid_for_is_recorded_and_counted(said):
    """Also what was read when the turn that pays had left."""
    gate, model = gated("two", before=said)
    engine, parts = sharing(model)
    leading = asking(engine)
    await until(lambda: parts.journal.intents)
    other = asking(engine, BOB)
    await until(lambda: len(parts.journal.intents) == 2)
    leading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leading
    assert parts.limiter.open == 1, "who leaves is not held up"
    gate.set()
    await other
    await engine.drain()
    [own] = [entry for entry in parts.journal.completions if entry.source == "model"]
    assert (own.state, own.usage) == ("cancelled", Usage(3, 5))
    assert parts.meter.tokens == sum(slot.used.total_tokens for slot in parts.limiter.reserved) == 8
    assert sorted(parts.meter.states) == ["cancelled", "completed"]


async def test_what_is_read_after_a_word_list_stopped_its_turn_is_counted():
    begin, gate = asyncio.Event(), asyncio.Event()
    engine, parts = sharing(ScriptedModel([begin, "a bomb ", gate, "end"]))
    parts.guard.words = ["bomb"]
    blocked = asking(engine)
    await until(lambda: parts.journal.intents)
    parts.guard.words = []
    other = asking(engine, BOB)
    await until(lambda: len(parts.journal.intents) == 2)
    begin.set()
    assert (await blocked).finish_reason == "content_filter"
    gate.set()
    await other
    await engine.drain()
    assert parts.meter.tokens == sum(slot.used.total_tokens for slot in parts.limiter.reserved) == 8


async def test_a_call_that_outlives_its_turn_pays_as_far_as_it_came():
    gate, model = gated(UpstreamError(), before=["12345678"])
    engine, parts = sharing(model)
    async with aclosing(engine.stream(ALICE, question())) as leading:
        await anext(leading)
        other = asking(engine, BOB)
        await until(lambda: len(parts.journal.intents) == 2)
    gate.set()
    with pytest.raises(UpstreamError):
        await other
    assert parts.limiter.reserved[0].used == Usage(3, 2, estimated=True)
    assert type(parts.routes[0].outcomes[0]) is UpstreamError
    await nothing_left(engine, parts)


@pytest.mark.parametrize("said", [[], ["one "]])
@pytest.mark.parametrize("readers", [1, 3])
async def test_the_last_reader_closes_the_call_before_it_is_gone(readers, said):
    _, model = gated(before=said)
    engine, parts = sharing(model)
    turns = [asking(engine) for _ in range(readers)]
    await until(lambda: len(parts.journal.intents) == readers and model.calls)
    for turn in turns:
        assert model.closed == 0
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
    assert model.closed == 1 and len(engine.caller.shared) == 0
    assert parts.journal.completions == [] or parts.journal.states[0] == "cancelled"
    await nothing_left(engine, parts)
    assert isinstance(parts.routes[0].outcomes[0], asyncio.CancelledError)


async def test_the_last_reader_closes_the_call_within_its_aclose():
    _, model = gated(before=["one"])
    engine, parts = sharing(model)
    events = engine.stream(ALICE, question())
    assert [type(await anext(events)) for _ in range(2)] == [Start, Delta]
    await events.aclose()
    assert model.closed == 1
    await nothing_left(engine, parts)


async def test_nobody_joins_a_call_that_is_being_closed():
    _, model = gated()
    engine, parts = sharing(model)
    leaving = asking(engine)
    await until(lambda: model.calls)
    leaving.cancel()
    model.pieces = ["Hello"]
    assert (await asking(engine, BOB)).message.content == "Hello"
    assert len(model.calls) == 2
    await nothing_left(engine, parts)


async def test_a_reader_whose_intent_fails_leaves_the_others_alone():
    gate, model = gated("Hello")
    engine, parts = sharing(model)
    leading = asking(engine)
    await until(lambda: parts.journal.intents and model.calls)
    parts.journal.broken = True
    with pytest.raises(AuditUnavailable):
        await asking(engine, BOB)
    parts.journal.broken = False
    gate.set()
    assert (await leading).message.content == "Hello"
    await nothing_left(engine, parts)


async def test_others_go_on_when_the_intent_of_the_first_fails():
    gate, model = gated("Hello")
    engine, parts = sharing(model)
    parts.journal.gate = asyncio.Event()
    leading = asking(engine)
    await until(lambda: model.calls)
    commit, parts.journal.gate = parts.journal.gate, None
    other = asking(engine, BOB)
    await until(lambda: parts.journal.intents)
    parts.journal.broken = True
    commit.set()
    with pytest.raises(AuditUnavailable):
        await leading
    parts.journal.broken = False
    gate.set()
    assert (await other).message.content == "Hello"
    assert len(model.calls) == 1
    await nothing_left(engine, parts)


# Failures ---------------------------------------------------------------------------------------------------------


async def test_all_go_on_and_share_one_call_again():
    gate, failing = gated(UpstreamBusy(retry_after=3))
    again, second = gated("second")
    engine, parts = sharing(failing, second)
    turns = [asking(engine) for _ in range(5)]
    await until(lambda: len(parts.journal.intents) == 5)
    gate.set()
    await until(lambda: second.calls)
    again.set()
    assert {done.message.content for done in await asyncio.gather(*turns)} == {"second"}
    assert calls(parts) == [1, 1]
    assert sorted(entry.source for entry in parts.journal.completions) == ["model"] + ["shared"] * 4
    for entry in parts.journal.completions:
        assert [(retry.instance_id, retry.error) for retry in entry.retries] == [(0, "upstream_rate_limited")]
    assert [type(route.outcomes[0]) for route in parts.routes if route.outcomes] == [UpstreamBusy, type(None)]
    assert sorted(slot.used.total_tokens for slot in parts.limiter.reserved) == [0, 8]
    await nothing_left(engine, parts)


async def test_it_says_what_failed_where_it_may_not_pay_for_another_call():
    engine, parts = sharing(ScriptedModel([UpstreamBusy()]), ScriptedModel())
    parts.limiter.refusals = [None, RateLimited()]
    with pytest.raises(UpstreamBusy):
        await asking(engine)
    assert calls(parts) == [1, 0] and parts.journal.states == ["failed"]
    assert engine.caller.retries.running == 0
    await nothing_left(engine, parts)


async def test_each_is_told_a_failure_of_its_own():
    gate, model = gated(UpstreamRejected("you said bomb", param="messages"))
    engine, parts = sharing(model)
    turns = [asking(engine), asking(engine, BOB)]
    await until(lambda: len(parts.journal.intents) == 2)
    allows, parts.guard.allows = parts.guard.allows, lambda principal, text: principal is not BOB
    gate.set()
    one, other = await asyncio.gather(*turns, return_exceptions=True)
    parts.guard.allows = allows
    assert type(one) is type(other) is UpstreamRejected and one is not other
    assert (one.message, one.param) == ("you said bomb", "messages")
    assert (other.message, other.param) == (UpstreamRejected.text, None)
    await nothing_left(engine, parts)


@pytest.mark.parametrize("end", [[UpstreamError()], []])
async def test_all_hear_of_a_death_after_the_first_word(end):
    gate, model = gated(*end, before=["half"])
    model.finish = None
    engine, parts = sharing(model, ScriptedModel(["another"]))
    turns = [asking(engine) for _ in range(3)]
    await until(lambda: len(parts.journal.intents) == 3)
    gate.set()
    ended = await asyncio.gather(*turns, return_exceptions=True)
    assert all(type(one) is UpstreamError for one in ended)
    assert parts.journal.states == ["failed"] * 3
    assert {entry.choices[0].message.content for entry in parts.journal.completions} == {"half"}
    assert calls(parts) == [1, 0]
    assert type(parts.routes[0].outcomes[0]) is UpstreamError
    await nothing_left(engine, parts)


async def test_a_bug_is_nobodys_but_everybodys(caplog):
    gate, model = gated(ValueError("a bug"))
    engine, parts = sharing(model, ScriptedModel())
    turns = [asking(engine) for _ in range(2)]
    await until(lambda: len(parts.journal.intents) == 2)
    gate.set()
    ended = await asyncio.gather(*turns, return_exceptions=True)
    assert all(type(one) is ValueError for one in ended)
    await nothing_left(engine, parts)
    assert {entry.error for entry in parts.journal.completions} == {"internal_error"}
    assert calls(parts) == [1, 0]
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_everybody_gets_all_or_leaves_nothing(seed):
    chance = random.Random(seed)
    models = []
    for _ in range(3):
        pieces = ["a", 0.001, "b", 0.001, "c"]
        if chance.random() < 0.5:
            pieces.insert(chance.randint(0, 5), UpstreamError())
        models.append(ScriptedModel(pieces))
    engine, parts = sharing(*models, policy=CachePolicy(ttl=60, coalesce=True))

    async def one(number):
        await asyncio.sleep(chance.random() * 0.006)
        leaves = chance.random() < 0.4
        text = ""
        try:
            async with asyncio.timeout(chance.random() * 0.005 if leaves else None):
                async for event in engine.stream(chance.choice([ALICE, BOB, CHARLIE]), question(chance.choice("xy"))):
                    if type(event) is Delta:
                        text += event.content
                    if type(event) is Done:
                        assert text == event.message.content == "abc"
        except (TimeoutError, UpstreamError):
            assert "abc".startswith(text)

    await asyncio.gather(*map(one, range(30)))
    await nothing_left(engine, parts)
    assert len(parts.journal.intents) == len(parts.journal.completions) == 30
    assert all(answer.choices[0].message.content == "abc" for answer in parts.answers.kept.values())
