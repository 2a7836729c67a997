"""Deficit round robin: shares by weight over tokens, order within a tenant, nothing left behind."""

import random
from collections import Counter

import pytest

from engine.fairness import DeficitRoundRobin


def served(line, count, may=None):
    return [line.pop(may) for _ in range(count)]


def test_it_serves_a_tenant_in_the_order_it_came():
    line = DeficitRoundRobin()
    for number in range(5):
        line.push(1, 1, 300, number)
    assert served(line, 6) == [0, 1, 2, 3, 4, None]
    assert len(line) == 0


def test_it_lets_tenants_take_turns_however_many_wait():
    line = DeficitRoundRobin()
    for number in range(500):
        line.push(1, 1, 300, ("busy", number))
    line.push(2, 1, 300, "quiet")
    assert "quiet" in served(line, 3)


def test_it_lets_them_take_turns_when_these_are_small():
    line = DeficitRoundRobin()
    for number in range(500):
        line.push(1, 1, 70, ("busy", number))
    line.push(2, 1, 70, "quiet")
    assert "quiet" in served(line, 2)


@pytest.mark.parametrize("weights", [(1, 1), (1, 3), (2, 5, 1)])
def test_it_gives_tokens_by_weight_and_not_turns(weights):
    chance = random.Random(7)
    line = DeficitRoundRobin()
    for owner, _ in enumerate(weights):
        for _ in range(3000):
            cost = chance.randint(1, 50) if owner == 0 else chance.randint(500, 4000)
            line.push(owner, weights[owner], cost, (owner, cost))
    tokens = Counter()
    while all(line.waiting(owner) for owner, _ in enumerate(weights)):
        owner, cost = line.pop()
        tokens[owner] += cost
    unit = tokens.total() / sum(weights)
    for owner, weight in enumerate(weights):
        assert tokens[owner] == pytest.approx(weight * unit, abs=2 * (4000 + 256 * max(weights)))


def test_a_turn_larger_than_many_quanta_is_served_and_pays_for_it():
    line = DeficitRoundRobin()
    line.push(1, 1, 100_000, "huge")
    for number in range(1000):
        line.push(2, 1, 200, number)
    before = 0
    while line.pop() != "huge":
        before += 200
    assert before == pytest.approx(100_000, abs=1000)


def test_who_was_away_has_saved_nothing_up():
    line = DeficitRoundRobin()
    for _ in range(100):
        line.push(1, 1, 10, "small")
        line.pop()
    for _ in range(50):
        line.push(1, 1, 256, "one")
        line.push(2, 1, 256, "two")
    assert Counter(served(line, 20)) == {"one": 10, "two": 10}


def test_it_serves_only_those_who_may():
    line = DeficitRoundRobin()
    line.push(1, 1, 300, "one")
    line.push(2, 1, 300, "two")
    assert line.pop(lambda owner: owner == 2) == "two"
    assert line.pop(lambda owner: owner == 2) is None
    assert line.pop() == "one"


def test_who_leaves_leaves_nothing_behind():
    line = DeficitRoundRobin()
    items = [object() for _ in range(3)]
    for item in items:
        line.push(1, 1, 300, item)
    line.push(2, 1, 300, "two")
    assert line.remove(1, items[1]) and not line.remove(1, items[1]) and not line.remove(3, items[0])
    assert line.lengths() == {1: 2, 2: 1} and line.newest(1) is items[2]
    assert set(served(line, 3)) == {items[0], items[2], "two"}
    assert len(line) == 0 and line.lengths() == {} and list(line) == []


def test_it_says_what_is_served_before():
    line = DeficitRoundRobin()
    for _ in range(10):
        line.push(1, 1, 1000, "busy")
    line.push(2, 2, 100, "other")
    assert line.ahead(3, 1, 500) == 500 + 500 + 100
    assert line.ahead(3, 5, 500) == 500 + 100 + 100
    assert line.ahead(1, 1, 500) == 10_500 + 100


def test_random_comings_and_goings_keep_its_books():
    chance = random.Random(3)
    line, kept = DeficitRoundRobin(), []
    for number in range(5000):
        owner = chance.randrange(6)
        if chance.random() < 0.5:
            line.push(owner, 1 + owner, chance.randint(1, 3000), (owner, number))
            kept.append((owner, number))
        elif kept and chance.random() < 0.3:
            gone = kept.pop(chance.randrange(len(kept)))
            line.remove(gone[0], next(item for item in line if item == gone))
        elif (item := line.pop(None if chance.random() < 0.5 else lambda owner: owner % 2 == 0)) is not None:
            kept.remove(item)
        assert len(line) == len(kept) == sum(line.lengths().values())
    while (item := line.pop()) is not None:
        kept.remove(item)
    assert kept == []
