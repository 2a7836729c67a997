"""Smooth weighted round robin, as nginx does it (`ngx_http_upstream_get_peer`): no I/O, no clock, no randomness.

At every pick each member gains its weight in credit, the richest is taken and pays the sum of all weights. Weights
5, 1, 1 give a a b a c a a: exact over every cycle, and never five in a row at its seam.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

KEPT: Final = 4096  # pools remembered; beyond that all start their cycle anew


class Rotation:
    """The turn of a fixed pool. Members are named by their place in `weights`."""

    __slots__ = ("_credits", "weights")

    def __init__(self, weights: Sequence[float]) -> None:
        self.weights = tuple(weights)
        self._credits: list[float] = [0] * len(self.weights)

    def scores(self) -> list[float]:
        """Every member's credit at the next pick."""
        return [credit + weight for credit, weight in zip(self._credits, self.weights, strict=True)]

    def pick(self, eligible: Sequence[int]) -> int:
        """The next among the eligible members (not empty, in ascending order); the others keep their credit."""
        credits, weights = self._credits, self.weights
        total: float = 0
        best = eligible[0]
        for member in eligible:
            weight = weights[member]
            credits[member] += weight
            total += weight
            if credits[member] > credits[best]:
                best = member
        credits[best] -= total
        return best


class Rotations:
    """One rotation a pool, by the ids and weights of its members: a pool keeps its turn when the configuration is
    compiled anew, and starts a fresh cycle when a member or weight changes. Tenants with the same pool share it, so
    that many quiet tenants do not all begin with the first member. For one event loop."""

    def __init__(self) -> None:
        self._pools: dict[tuple[tuple[int, float], ...], Rotation] = {}

    def of(self, members: Sequence[tuple[int, float]]) -> Rotation:
        key = tuple(members)
        rotation = self._pools.get(key)
        if rotation is None:
            if len(self._pools) >= KEPT:
                self._pools.clear()
            rotation = self._pools[key] = Rotation([weight for _, weight in members])
        return rotation
