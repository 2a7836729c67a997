import time

import pytest

from compliance.guard import GuardTable, WordGuard
from engine.snapshots import Cell
from engine.types import Delta
from tests.cast import ALICE
from tests.compliance.wordlists import guard


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the guard's clock says, one for each time it is read."""
    readings: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: readings.pop(0))
    return readings


def feed(output, *deltas):
    for delta in deltas:
        output.feed(delta)
    return output


def test_it_tells_the_most_characters_and_the_longest_time(clock):
    output = guard(block=["abcd", "xy"]).output(ALICE.principal)
    clock += [10.0, 10.5, 12.0, 13.0, 13.25]
    feed(output, Delta(content="so a"), Delta(content="bc"), Delta(content="e so x"))
    assert output.held == (3, 2.0)
    feed(output, Delta(content="a"), Delta(content=" a"))
    assert output.held == (3, 2.0)
    clock += [13.5]
    output.flush()
    assert (output.held, clock) == ((3, 2.0), [])


def test_it_reads_no_clock_while_nothing_is_held(clock):
    output = guard(block=["abcd"]).output(ALICE.principal)
    feed(output, Delta(content="fine. "), Delta(content="good. "))
    output.flush()
    assert output.held == (0, 0.0)


def test_it_counts_each_text_for_itself(clock):
    output = guard(block=["abcd"]).output(ALICE.principal)
    clock += [1.0, 2.0, 6.0, 6.5, 7.0]  # what is held of others leaves before a call
    feed(output, Delta(content="a"), Delta(reasoning="ab"))
    call = {"index": 0, "function": {"arguments": "abc"}}
    feed(output, Delta(tool_calls=[call]), Delta(content="-"))
    assert (output.held, clock) == ((3, 5.5), [])


def test_it_says_nothing_without_words():
    assert WordGuard(Cell(GuardTable())).output(ALICE.principal).held is None
