"""Adds up replayed turns: what they cost and took, where they were and where they would be."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import msgspec

from routing.coupling import Place
from routing.recorded import Ended
from routing.reports import Cost, Flow, ModelTurns, Pace
from routing.table import Entry

K = TypeVar("K", bound=Hashable)


class Tally:
    """The turns that went to the same place from the same pool, and so have the same `chances` now (none: refused).
    `answered` is who answered in the end, after retries."""

    __slots__ = ("answered", "at", "chances", "completion", "durations", "leaving", "prompt", "timed", "ttft", "turns")

    def __init__(self, at: Place, answered: Place, chances: dict[Place, float]) -> None:
        self.at = at
        self.answered = answered
        self.chances = chances
        self.leaving = _leaving(at, chances)
        self.turns = self.prompt = self.completion = self.timed = 0
        self.ttft = self.durations = 0.0

    def add(self, ended: Ended | None) -> None:
        self.turns += 1
        if ended is None:
            return
        self.prompt += ended.usage.prompt_tokens
        self.completion += ended.usage.completion_tokens
        if ended.state == "completed" and ended.ttft is not None:
            self.timed += 1
            self.ttft += ended.ttft
            self.durations += ended.duration


def _leaving(at: Place, chances: dict[Place, float]) -> dict[str | None, float]:
    """The chances to be at another model than before; None: refused."""
    found: dict[str | None, float] = {} if chances else {None: 1.0}
    for (model, _), chance in chances.items():
        if model != at[0]:
            found[model] = found.get(model, 0.0) + chance
    return found


class Paces:
    """Towards the mean of one duration. A turn that moves takes what its new model's recorded turns took on average."""

    def __init__(self) -> None:
        self._measured: dict[str, list[float]] = {}  # by who answered: turns, seconds
        self._stayed = [0.0, 0.0]
        self._moved: dict[str, list[float]] = {}  # by where to: turns, their seconds before

    def add(self, tally: Tally, seconds: float) -> None:
        _add(self._measured, tally.answered[0], tally.timed, seconds)
        stays = max(0.0, 1.0 - sum(tally.leaving.values()))
        self._stayed[0] += stays * tally.timed
        self._stayed[1] += stays * seconds
        for model, chance in tally.leaving.items():
            if model is not None:
                _add(self._moved, model, chance * tally.timed, chance * seconds)

    def mean(self) -> Pace:
        turns, before = self._stayed
        after, unknown = before, 0.0
        for model, (moved, seconds) in self._moved.items():
            measured, took = self._measured.get(model, (0.0, 0.0))
            if not measured:
                unknown += moved
                continue
            turns += moved
            before += seconds
            after += moved * took / measured
        if not turns:
            return Pace(unknown=unknown)
        return Pace(before=before / turns, after=after / turns, turns=turns, unknown=unknown)


class Sums:
    """`entries` are the instances as they are now, with their prices, by id."""

    def __init__(self, entries: dict[int, Entry]) -> None:
        self._entries = entries
        self._models: dict[str, list[float]] = {}
        self._flows: dict[tuple[str, str | None], list[float]] = {}
        self._instance_flows: dict[tuple[Place, Place | None], list[float]] = {}
        self._cost = Cost()
        self.ttft, self.duration = Paces(), Paces()

    def add(self, tally: Tally) -> None:
        """All its turns; a tally is added once."""
        _add(self._models, tally.at[0], tally.turns, 0)
        places: list[tuple[Place | None, float]] = [*tally.chances.items()] or [(None, 1.0)]
        for place, chance in places:
            if place is not None:
                _add(self._models, place[0], 0, tally.turns * chance)
            if place != tally.at:
                _add(self._instance_flows, (tally.at, place), tally.turns * chance)
        for model, chance in tally.leaving.items():
            _add(self._flows, (tally.at[0], model), tally.turns * chance)
        self.ttft.add(tally, tally.ttft)
        self.duration.add(tally, tally.durations)
        self._pay(tally)

    def _pay(self, tally: Tally) -> None:
        """At today's prices. Turns that stay cost what they cost, also where another instance answered in the end."""
        paid = self._price(tally.answered, tally)
        if paid is None:
            self._cost.unpriced += tally.turns
            return
        self._cost.turns += tally.turns
        self._cost.before += paid
        for place, chance in tally.chances.items():
            price = paid if place == tally.at else self._price(place, tally)
            self._cost.after += chance * (price or 0.0)  # where turns go there is an instance

    def _price(self, place: Place, tally: Tally) -> float | None:
        entry = self._entries.get(place[1])
        if entry is None:
            return None
        return (tally.prompt * entry.instance.price_in + tally.completion * entry.instance.price_out) / 1e6

    def models(self) -> list[ModelTurns]:
        ordered = sorted(self._models.items(), key=lambda item: -max(item[1]))
        return [ModelTurns(model=model, before=before, after=after) for model, (before, after) in ordered]

    def cost(self) -> Cost:
        return msgspec.structs.replace(self._cost, difference=self._cost.after - self._cost.before)

    def flows(self, total: int) -> list[Flow]:
        """Largest first; shares are of `total` turns."""
        return _flows(self._flows, total, lambda model: model)

    def instance_flows(self, total: int) -> list[Flow]:
        return _flows(self._instance_flows, total, _label)


def _label(place: Place | None) -> str | None:
    """Instances of one name are told apart by their number, as in decision records."""
    return None if place is None else f"{place[0]} (#{place[1]})"


def _flows(
    sums: dict[tuple[K, K | None], list[float]], total: int, label: Callable[[K | None], str | None]
) -> list[Flow]:
    ordered = sorted(sums.items(), key=lambda item: -item[1][0])
    return [
        Flow(from_=label(before) or "", to=label(after), turns=turns, share=turns / total)
        for (before, after), (turns,) in ordered
    ]


def _add(sums: dict[K, list[float]], key: K, *values: float) -> None:
    found = sums.get(key)
    if found is None:
        sums[key] = list(values)
        return
    for place, value in enumerate(values):
        found[place] += value
