"""That a worker keeps nothing of what it has answered: turns of every kind by the thousand, judged by what is left."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import allocations, memory
from tests.benchmarks.test_commands import python


def counts(**grown: int) -> list[Counter]:
    """Three counts of things, each `grown` by as much as the one before."""
    return [Counter({name: 1000 + more * time for name, more in grown.items()}) for time in range(3)]


def test_what_grows_with_every_turn_of_a_kind_is_kept():
    assert allocations.kept(counts(Turn=100, blocks=100), turns=100) == {"Turn": 200, "blocks": 200}


def test_what_grows_by_less_than_one_a_turn_or_only_once_is_a_cache():
    assert allocations.kept(counts(Turn=20, blocks=70), turns=100) == {}
    once = [Counter(Turn=0), Counter(Turn=1000), Counter(Turn=1000)]
    assert allocations.kept(once, turns=100) == {}


@pytest.mark.parametrize(("slope", "held"), [(0.0, True), (0.9, True), (1.1, False), (-3.0, True)])
def test_the_slope_of_the_second_half_is_judged(slope, held):
    """`slope` MiB per 100,000 requests on about 100; the first half is a cache that fills."""
    first = [(count * 25_000, 50.0 + count * 2.5) for count in range(20)]
    second = [(count * 25_000, 100.0 + (count - 20) * slope / 4) for count in range(20, 40)]
    grown = memory.growth([*first, *second])
    assert (grown < memory.MOST) is held
    assert grown == pytest.approx(slope / 100, abs=0.003)


@pytest.mark.server
@pytest.mark.timeout(300)
def test_nothing_of_an_answered_turn_stays(tmp_path):
    ended = python("-m", "benchmarks.memory", "--objects", "--requests", "0", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "blocks more a turn" in ended.stdout
