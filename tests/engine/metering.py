"""A meter for an `Engine` in tests: what it was told is there to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.types import Usage


class CountingMeter:
    def __init__(self) -> None:
        self.states: list[str] = []
        self.replays = 0
        self.tokens = self.cost = 0
        self.kept: list[str] = []
        self.refusals: list[str] = []
        self.found: list[str] = []
        self.held: list[tuple[int, float] | None] = []

    def turn(self, *, state: str, usage: Usage, **_: Any) -> None:
        self.states.append(state)
        self.tokens += usage.total_tokens

    def guard(self, *, verdicts: Sequence[Any], held: tuple[int, float] | None, **_: Any) -> None:
        self.found += [verdict.word for verdict in verdicts]
        self.held.append(held)

    def replayed(self, *, tenant: str, edge: str) -> None:
        self.replays += 1

    def spent(self, *, cost: int, **_: Any) -> None:
        self.cost += cost

    def cache(self, *, tenant: str, outcome: str) -> None:
        self.kept.append(outcome)

    def refused(self, *, tenant: str, limit: str) -> None:
        self.refusals.append(limit)
