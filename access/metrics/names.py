"""Which names have series of their own. Tenants, and what tenants name, may be any number; a page of metrics may not
grow with them. The first names that come are told apart, whatever comes later is summed up as `other`.

The processes of a machine agree: a name that is new here is told apart until `settle` says whether it is among those
of the machine. Nothing is said outside of the process before that, so a series that was seen never goes away."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from access.metrics.families import NAMED, TENANT

OTHER: Final = "other"


class Names:
    """Of one label. `known` are told apart here; `fresh` of them were not settled yet."""

    __slots__ = ("_full", "fresh", "known", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.known: set[str] = {"", OTHER}  # nobody's, and everybody else's
        self.fresh: set[str] = set()
        self._full = limit == 0

    def of(self, name: str) -> str:
        """The label for a name."""
        return name if name in self.known else self._first_seen(name)

    def _first_seen(self, name: str) -> str:
        if self._full or len(self.fresh) >= self.limit:
            return OTHER
        self.known.add(name)
        self.fresh.add(name)
        return name

    def settle(self, asked: Collection[str], agreed: Collection[str]) -> set[str]:
        """`agreed` are the machine's. Gives those of the `asked` that are not among them."""
        rejected = set(asked).difference(agreed)
        self.fresh.difference_update(asked)
        self.known = {"", OTHER, *agreed, *self.fresh}
        self._full = len(agreed) >= self.limit
        return rejected


class Labels:
    """The names of every label that tenants can fill."""

    def __init__(self, tenants: int, names: int) -> None:
        self.of = {TENANT: Names(tenants), **{label: Names(names) for label in NAMED}}

    def fresh(self) -> dict[str, list[str]]:
        return {label: sorted(names.fresh) for label, names in self.of.items() if names.fresh}

    @property
    def limits(self) -> dict[str, int]:
        return {label: names.limit for label, names in self.of.items()}

    def settle(
        self, asked: Mapping[str, Collection[str]], agreed: Mapping[str, Collection[str]]
    ) -> dict[str, set[str]]:
        """By label, what is not to be told apart any more."""
        return {label: self.of[label].settle(names, agreed[label]) for label, names in asked.items()}


def admit(
    known: Mapping[str, list[str]], fresh: Mapping[str, list[str]], limits: Mapping[str, int]
) -> dict[str, list[str]]:
    """What is known with as many of the fresh names as there is room for."""
    return {
        label: [*(had := known.get(label, [])), *(name for name in names if name not in had)][: limits[label]]
        for label, names in fresh.items()
    }
