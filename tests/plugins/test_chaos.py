"""Whatever plugins, models and readers do: every turn and round ends once on record, and nothing is left behind."""

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import EngineError, UpstreamError
from engine.types import CachePolicy
from plugins.base import PluginBase, PluginSettings
from tests.engine.parts import ALICE, ScriptedModel, ask, build, nothing_left
from tests.plugins.turns import active, chain

PRE = st.sampled_from(["go", "go", "go", "fail", "answer", "leave", "wait", "tell"])
DELTA = st.sampled_from([None, None, "go", "fail", "drop", "hold", "odd"])
POST = st.sampled_from([None, None, "go", "fail", "ask", "ask for ever", "wait", "look", "odd", "tell"])
PLUGIN = st.tuples(PRE, DELTA, POST, st.booleans())
MODEL = st.lists(st.sampled_from(["text", "text", "bomb", "", UpstreamError, 0.001]), min_size=1, max_size=4)


def made(number, before, during, after):
    async def pre_process(self, context):
        await act(before, context)

    async def post_process(self, response):
        if after == "ask for ever" or (after == "ask" and not response.round):
            if not response.sent:
                response.ask(["And?"])
        elif after == "odd":
            response.choices = [object()]
        else:
            await act(after, response.context)

    def process_delta(self, delta):
        treat(during, delta)

    hooks = {"name": f"p{number}", "timeout": 0.05, "pre_process": pre_process}
    if after is not None:
        hooks["post_process"] = post_process
        hooks["needs_full_response"] = False if after == "look" else None
    if during is not None:
        hooks["process_delta"] = process_delta
    return type("Plugin", (PluginBase,), hooks)(PluginSettings())


def treat(what, delta):
    if what == "fail" and delta.content:
        raise LookupError
    if what == "drop":
        delta.drop()
    if what == "odd":
        delta.content = 5
    if what == "hold":
        held = delta.context.state.get("held", "") + (delta.content or "")
        delta.content, delta.context.state["held"] = (held, "") if delta.last else (None, held)


async def act(what, context):
    if what == "fail":
        raise LookupError
    if what == "wait":
        await asyncio.sleep(0.01)
    if what == "answer":
        context.answer("canned")
    if what == "leave":
        context.leave()
    if what in ("tell", "look"):
        context.metadata["told"] = ["fine"]


async def one(engine, fields, pieces):
    """A turn whose reader leaves after so many events."""
    with suppress(EngineError):
        stream = engine.stream(ALICE, ask(**fields))
        try:
            async for _ in stream:
                pieces -= 1
                if not pieces:
                    break
        finally:
            await stream.aclose()


@settings(max_examples=60, deadline=None)
@given(
    plugins=st.lists(PLUGIN, max_size=4),
    model=MODEL,
    turns=st.lists(st.tuples(st.booleans(), st.integers(1, 6), st.floats(0.0, 0.03)), min_size=1, max_size=3),
    policy=st.sampled_from([CachePolicy(), CachePolicy(ttl=60), CachePolicy(coalesce=True)]),
)
def test_it_always_comes_to_an_end(plugins, model, turns, policy):
    async def all_of_it():
        pieces = [piece() if isinstance(piece, type) else piece for piece in model]
        seats = [active(made(number, *acts), required=required) for number, (*acts, required) in enumerate(plugins)]
        engine, parts = build(ScriptedModel(pieces), words=["bomb"], plugins=chain(*seats))
        parts.answers.chosen = policy

        async def turn(remember, left_after, cancelled_after):
            task = asyncio.ensure_future(one(engine, {"remember": remember, "temperature": 0}, left_after))
            await asyncio.wait([task], timeout=cancelled_after or None)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None

        await asyncio.wait_for(asyncio.gather(*(turn(*each) for each in turns)), 60)
        await nothing_left(engine, parts)
        begun = sorted(entry.turn_id for entry in parts.journal.intents)
        assert begun == sorted(entry.turn_id for entry in parts.journal.completions)
        assert len(begun) == len(set(begun))
        assert all(seat.loaded.uses == 0 for seat in seats)
        for entry in parts.journal.completions:
            assert "bomb" not in str(entry.choices) and len(entry.skipped) <= 32
        ids = {entry.turn_id for entry in parts.journal.intents if not entry.parent_turn}
        assert {entry.parent_turn for entry in parts.journal.intents} <= ids | {""}

    asyncio.run(all_of_it())
