"""A recorded answer is taken apart as it was put together."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cuts import MAX_MARKS, Cuts, pieces
from engine.entries import Completion
from engine.folding import Fold
from engine.types import Delta
from tests.engine.parts import ALICE, ScriptedModel, ask, build

TEXT = st.text(max_size=6)
CALLS = st.lists(
    st.fixed_dictionaries({"index": st.integers(0, 2), "function": st.fixed_dictionaries({"arguments": TEXT})}),
    min_size=1,
    max_size=2,
)
DELTAS = st.lists(
    st.builds(
        Delta,
        content=st.none() | TEXT,
        reasoning=st.none() | TEXT,
        refusal=st.none() | TEXT,
        tool_calls=st.none() | CALLS,
        index=st.integers(0, 2),
    ),
    max_size=12,
)


def recorded(deltas):
    """Marks and choices, as the journal gives them back."""
    cuts, fold = Cuts(), Fold()
    for delta in deltas:
        cuts.add(delta)
        fold.add(delta)
    said = Completion(turn_id="t", tenant_id=1, at=0, state="completed", cuts=cuts.marks, choices=fold.choices({}, "s"))
    back = msgspec.json.decode(msgspec.json.encode(said), type=Completion)
    return back.cuts, back.choices


@given(DELTAS)
def test_it_gives_back_every_delta(deltas):
    assert pieces(*recorded(deltas)) == deltas


def test_plain_pieces_are_numbers():
    marks, _ = recorded([Delta("Hello"), Delta("，世界"), Delta(reasoning="hm"), Delta(reasoning=""), Delta("!")])
    assert marks == [5, 3, "reasoning", 2, 0, "content", 1]


@pytest.mark.parametrize(
    "deltas", [[Delta("Hello")], [Delta(reasoning="hm")], [Delta(tool_calls=[{"index": 0, "id": "c"}])]]
)
def test_it_knows_that_the_marks_are_another_answers(deltas):
    marks, choices = recorded(deltas)
    for wrong in ([], [1], [9], ["reasoning", 9]):
        if wrong != marks:
            with pytest.raises(ValueError):
                pieces(wrong, choices)


def test_it_keeps_nothing_of_a_very_long_stream():
    cuts = Cuts()
    for _ in range(MAX_MARKS + 1):
        cuts.add(Delta("x"))
    assert cuts.marks is None


@pytest.mark.parametrize("resumable", [True, False])
async def test_the_journal_has_the_cuts_of_what_can_be_resumed(resumable):
    engine, parts = build(ScriptedModel(["Hel", "lo"]))
    await engine.complete(ALICE, ask(resumable=resumable))
    assert parts.journal.completions[0].cuts == ([3, 2] if resumable else [])
