"""What one process counts, in plain dictionaries: no locks, which make `prometheus_client`'s counters cost four times
as much. Everything is counted on one thread, the event loop's, unless it says otherwise."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

from access.metrics.families import Family, Merged
from access.metrics.names import OTHER, Labels

Key = tuple[str, ...]
Values = dict[Key, float]
Spreads = dict[Key, list[float]]
V = TypeVar("V")
TOGETHER: Final = 512  # observations of one series that are counted together
MOST: Final = 20_000  # series of one metric in one process, whatever combinations of names there are


class Counts:
    """A counter: its values by labels."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.values: defaultdict[Key, float] = defaultdict(float)

    def add(self, *labels: str, number: float = 1) -> None:
        self.values[labels] += number

    def spare(self, key: Key, otherwise: Key, number: float) -> None:
        """Of two names that tenants give, where there may be too many pairs: then it counts for `otherwise`."""
        values = self.values
        values[key if len(values) < MOST or key in values else otherwise] += number


class Durations:
    """A histogram, of seconds unless the family has other bounds: by label, how many fell below each bound and not
    below the one before, and their sum at the end."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._empty = [0.0] * (len(family.bounds) + 2)
        self._place = partial(bisect_left, family.bounds)
        self._values: Spreads = {}
        self._fresh: defaultdict[str, list[float]] = defaultdict(list)  # by label, not in the values yet

    def observe(self, label: str, seconds: float) -> None:
        """Noted only: a turn observes six, and many together are counted without a bytecode each."""
        fresh = self._fresh[label]
        fresh.append(seconds)
        if len(fresh) >= TOGETHER:
            self._count(label, self._fresh.pop(label))

    def observe_at_once(self, label: str, seconds: float) -> None:
        """For a thread beside the one that reads the values: what it noted could be lost between two readings."""
        self._count(label, [seconds])

    @property
    def values(self) -> Spreads:
        if self._fresh:
            noted, self._fresh = self._fresh, defaultdict(list)  # of labels that never come again nothing stays
            for label, fresh in noted.items():
                self._count(label, fresh)
        return self._values

    def _count(self, label: str, fresh: list[float]) -> None:
        observed = self._values.get((label,))
        if observed is None:
            observed = self._values[(label,)] = self._empty.copy()
        for place, number in Counter(map(self._place, fresh)).items():
            observed[place] += number
        observed[-1] += sum(fresh)


class Gauge:
    """A value that goes up and down."""

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self) -> None:
        self.value += 1

    def dec(self) -> None:
        self.value -= 1


class Book:
    """All that a process counts."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._counts: dict[str, Counts] = {}
        self._durations: dict[str, Durations] = {}
        self._watched: list[tuple[Family, Callable[[], Mapping[Key, float]]]] = []

    def counts(self, family: Family) -> Counts:
        return self._counts.setdefault(family.name, Counts(family))

    def durations(self, family: Family) -> Durations:
        return self._durations.setdefault(family.name, Durations(family))

    def watch(self, family: Family, read: Callable[[], Mapping[Key, float]]) -> None:
        """A gauge; `read` gives its values by labels whenever somebody wants to know."""
        self._watched.append((family, read))

    def settle(self, asked: Mapping[str, list[str]], agreed: Mapping[str, list[str]]) -> None:
        """Of the names asked about these were agreed upon: what was counted for the rest becomes `other`."""
        for label, rejected in self.labels.settle(asked, agreed).items():
            if rejected:
                for counts in self._counts.values():
                    _summed(counts.family, label, rejected, counts.values, _added)
                for durations in self._durations.values():
                    _summed(durations.family, label, rejected, durations.values, _joined)

    def counted(self) -> dict[str, Values]:
        return {name: counts.values for name, counts in self._counts.items() if counts.values}

    def spreads(self) -> dict[str, Spreads]:
        return {name: durations.values for name, durations in self._durations.items() if durations.values}

    def gauges(self) -> dict[str, Values]:
        found: dict[str, Values] = {}
        for family, read in self._watched:
            found.setdefault(family.name, {}).update(self.bounded(family, read()))
        return found

    def bounded(self, family: Family, values: Mapping[Key, float]) -> Values:
        """With the names that are told apart."""
        names = self.labels.of
        if not any(label in names for label in family.labels):
            return dict(values)
        found: Values = {}
        for key, value in values.items():
            pairs = zip(family.labels, key, strict=True)
            bounded = tuple([names[label].of(name) if label in names else name for label, name in pairs])
            combine(found, bounded, value, family.merged)
        return found


def combine(values: Values, key: Key, value: float, how: Merged) -> None:
    """Adds what one more says of a gauge."""
    had = values.get(key)
    if had is None:
        values[key] = value
    else:
        values[key] = had + value if how == "sum" else max(had, value)


def _summed(family: Family, label: str, rejected: set[str], values: dict[Key, V], both: Callable[[V, V], V]) -> None:
    if label not in family.labels:
        return
    place = family.labels.index(label)
    for key in [key for key in values if key[place] in rejected]:
        value = values.pop(key)
        other = (*key[:place], OTHER, *key[place + 1 :])
        values[other] = both(values[other], value) if other in values else value


def _added(one: float, another: float) -> float:
    return one + another


def _joined(one: list[float], another: list[float]) -> list[float]:
    return [a + b for a, b in zip(one, another, strict=True)]
