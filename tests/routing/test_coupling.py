"""The maximal coupling: chances add up, totals are the new shares, no more moves than must."""

import random

import pytest

from routing.coupling import coupled, placed, shares


def random_weights(chance: random.Random, places: list) -> dict:
    chosen = chance.sample(places, chance.randint(1, len(places)))
    return {place: chance.randint(1, 100) for place in chosen}


def totals(before: dict, after: dict, move) -> dict:
    """Where all turns of the shares `before` are after the move."""
    found: dict = {}
    for at, share in shares(before).items():
        for place, chance in move(at).items():
            found[place] = found.get(place, 0.0) + share * chance
    return found


@pytest.mark.parametrize("seed", range(50))
def test_it_moves_every_turn_somewhere_and_gives_every_place_its_share(seed):
    chance = random.Random(seed)
    before, after = random_weights(chance, list("abcdef")), random_weights(chance, list("abcdef"))
    old, new = shares(before), shares(after)
    for at in before:
        chances = coupled(old, new, at)
        assert sum(chances.values()) == pytest.approx(1)
        assert min(chances.values()) > 0
    assert totals(before, after, lambda at: coupled(old, new, at)) == pytest.approx(new)


@pytest.mark.parametrize("seed", range(50))
def test_it_moves_no_more_than_it_must_and_as_much_back(seed):
    chance = random.Random(seed)
    old, new = shares(random_weights(chance, list("abcd"))), shares(random_weights(chance, list("abcd")))

    def moved(one: dict, other: dict) -> float:
        return sum(share * (1 - coupled(one, other, at).get(at, 0.0)) for at, share in one.items())

    distance = sum(abs(old.get(place, 0) - new.get(place, 0)) for place in {*old, *new}) / 2
    assert moved(old, new) == pytest.approx(distance)
    assert moved(new, old) == pytest.approx(distance)


@pytest.mark.parametrize("seed", range(50))
def test_it_moves_nothing_where_shares_are_equal(seed):
    weights = random_weights(random.Random(seed), [(model, number) for model in "abc" for number in range(3)])
    scaled = {place: weight * 7 for place, weight in weights.items()}
    for at in weights:
        assert placed(weights, scaled, at) == {at: 1.0}


def test_it_moves_a_tenth_from_60_to_50_percent():
    old, new = shares({"a": 60, "b": 40}), shares({"a": 1, "b": 1})
    assert coupled(old, new, "b") == {"b": 1.0}
    assert 0.6 * coupled(old, new, "a")["b"] == pytest.approx(0.1)


@pytest.mark.parametrize("seed", range(50))
def test_it_keeps_models_before_instances(seed):
    chance = random.Random(seed)
    places = [(model, number) for model in "abc" for number in range(4)]
    before, after = random_weights(chance, places), random_weights(chance, places)
    assert totals(before, after, lambda at: placed(before, after, at)) == pytest.approx(shares(after))

    def models(weights: dict) -> dict:
        found: dict = {}
        for (model, _), share in shares(weights).items():
            found[model] = found.get(model, 0.0) + share
        return found

    old, new = models(before), models(after)
    stays = sum(
        share * chance
        for at, share in shares(before).items()
        for place, chance in placed(before, after, at).items()
        if place[0] == at[0]
    )
    assert stays == pytest.approx(sum(min(share, new.get(model, 0.0)) for model, share in old.items()))


def test_it_moves_turns_to_another_instance_of_their_model_where_theirs_is_gone():
    before, after = {("a", 1): 1, ("a", 2): 1}, {("a", 2): 5, ("a", 3): 5}
    assert placed(before, after, ("a", 1)) == {("a", 3): 1.0}
    assert placed(before, after, ("a", 2)) == {("a", 2): 1.0}
