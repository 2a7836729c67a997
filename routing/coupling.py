"""Where turns go when the shares of a pool change, with as few of them moving as can be.

The maximal coupling of two distributions (T. Lindvall, "Lectures on the Coupling Method", 1992, I.5): of the turns at a
place, the part `min(1, after / before)` stays; the others move to the places that gain, in proportion to their gain. So
equal shares move nothing, 60/40 to 50/50 moves a tenth, and the turns at every place add up to its new share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

Place = tuple[str, int]  # a public model name and the id of an instance
Weights = Mapping[Place, float]


def shares(weights: Mapping[K, float]) -> dict[K, float]:
    """Each weight by their sum, which must not be 0."""
    total = sum(weights.values())
    return {place: weight / total for place, weight in weights.items()}


def coupled(before: Mapping[K, float], after: Mapping[K, float], at: K) -> dict[K, float]:
    """The chances of a turn that was `at` to be now at each place; they add up to 1. Both are `shares`."""
    stays = min(1.0, after.get(at, 0.0) / before[at])
    gains = {place: gain for place, share in after.items() if (gain := share - before.get(place, 0.0)) > 0}
    if stays == 1.0 or not gains:
        return {at: 1.0}
    unit = (1.0 - stays) / sum(gains.values())
    moved = {place: gain * unit for place, gain in gains.items()}
    return {at: stays, **moved} if stays else moved


def placed(before: Weights, after: Weights, at: Place) -> dict[Place, float]:
    """The same for instances that stand behind models: first as few turns as can be change their model, then as few of
    the others their instance."""
    model_before, model_after = _by_model(before), _by_model(after)
    chances: dict[Place, float] = {}
    for model, chance in coupled(shares(_sums(model_before)), shares(_sums(model_after)), at[0]).items():
        inside = shares(model_after[model])
        if model == at[0]:
            inside = coupled(shares(model_before[model]), inside, at)
        for place, share in inside.items():
            chances[place] = chance * share
    return chances


def _by_model(weights: Weights) -> dict[str, dict[Place, float]]:
    found: dict[str, dict[Place, float]] = {}
    for place, weight in weights.items():
        found.setdefault(place[0], {})[place] = weight
    return found


def _sums(by_model: Mapping[str, Mapping[Place, float]]) -> dict[str, float]:
    return {model: sum(weights.values()) for model, weights in by_model.items()}
