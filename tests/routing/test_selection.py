from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from routing.selection import Rotation, Rotations

WEIGHTS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def picks(rotation, count, eligible=None):
    return [rotation.pick(eligible or range(len(rotation.weights))) for _ in range(count)]


def test_it_gives_the_sequence_of_nginx():
    assert "".join("abc"[place] for place in picks(Rotation([5, 1, 1]), 14)) == "aabacaa" * 2


@given(WEIGHTS, st.integers(0, 40))
def test_it_is_exact_in_any_window_of_a_cycle(weights, start):
    rotation = Rotation(weights)
    picks(rotation, start)
    assert Counter(picks(rotation, sum(weights))) == dict(enumerate(weights))


@given(WEIGHTS)
def test_it_picks_the_best_score(weights):
    rotation = Rotation(weights)
    for _ in range(sum(weights)):
        scores = rotation.scores()
        assert rotation.pick(range(len(weights))) == scores.index(max(scores))


def test_it_gives_and_takes_nothing_while_one_is_left_out():
    rotation = Rotation([1, 1, 1])
    assert Counter(picks(rotation, 4, [0, 2])) == {0: 2, 2: 2}
    assert Counter(picks(rotation, 3)) == {0: 1, 1: 1, 2: 1}


def test_it_shares_by_fractions_too():
    counts = Counter(picks(Rotation([0.5, 0.25]), 300))
    assert counts == {0: 200, 1: 100}


def test_it_keeps_the_turn_of_a_pool_and_starts_a_changed_one_anew():
    rotations = Rotations()
    first = rotations.of([(1, 5), (2, 1)])
    picks(first, 3)
    assert rotations.of([(1, 5), (2, 1)]) is first
    changed = rotations.of([(1, 5), (2, 1), (3, 1)])
    assert "".join("abc"[place] for place in picks(changed, 7)) == "aabacaa"


def test_it_forgets_pools_when_there_are_too_many():
    rotations = Rotations()
    for number in range(10_000):
        rotations.of([(number, 1)])
    assert len(rotations._pools) <= 4096
