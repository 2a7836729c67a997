"""Who is out of the question for a turn, however healthy: it was tried, the conversation has no room there, the
caller's budget has none for it, or it is kept for other languages."""

from __future__ import annotations

from math import inf
from typing import Final

from engine import estimating
from engine.types import Constraints, Instance
from routing.features import Features
from routing.selection import NOBODY, Out, Removal
from routing.table import Pool, RoutingTable, View, window_of

_LANGUAGE: Final[Removal] = "language"
FAILURES: Final = 2  # of one pool in a turn; then its fallbacks are asked


class Demands:
    """Of one turn."""

    __slots__ = ("_constraints", "_features", "_grown", "_marked", "_size", "_tokens", "language", "request", "tenant")

    def __init__(self, table: RoutingTable, features: Features, constraints: Constraints | None) -> None:
        self.request = features.request
        self.tenant = features.principal.tenant_id
        self._features = features
        self._tokens: int = features["prompt_tokens"]
        self._constraints = constraints
        self._size: int | None = None
        self._marked: dict[int, Removal] = {}
        self._grown: dict[str, float] = {}
        self.language: str | None = features["language"] if self.request.instance_id is None else None
        if constraints is not None and (constraints.tried or constraints.outgrown):
            self._mark(table, constraints)

    def _mark(self, table: RoutingTable, constraints: Constraints) -> None:
        self._marked = dict.fromkeys(constraints.tried, "tried")
        for number in constraints.outgrown:
            self._marked[number] = "context_window"
            entry = table.entries.get(number)
            if entry is not None:
                model = _upstream(entry.instance)
                self._grown[model] = max(self._grown.get(model, 0.0), window_of(entry.instance))

    def out(self, pool: Pool, *, any_language: bool = False) -> Out:
        """Where an estimate of the size proved wrong it is wrong for the same model elsewhere too. `any_language`: also
        those may answer that are kept for other languages."""
        affords = self._constraints.affords if self._constraints is not None else None
        strangers = () if any_language or not pool.languages or self.language is None else self._strangers(pool)
        if not self._marked and affords is None and not strangers and self._tokens <= pool.window:
            return NOBODY
        out = {**dict.fromkeys(strangers, _LANGUAGE), **self._marked}
        size = self._size_for(pool.window)
        for candidate in pool.candidates:
            instance = candidate.entry.instance
            window = window_of(instance)
            if window < size or (self._grown and window <= self._grown.get(_upstream(instance), -1)):
                out.setdefault(instance.id, "context_window")
            if affords is not None and not affords(instance):
                out.setdefault(instance.id, "budget")
        return out

    def _strangers(self, pool: Pool) -> list[int]:
        """Instances that are kept for other languages; an instance without languages is for all."""
        instances = [candidate.entry.instance for candidate in pool.candidates]
        return [each.id for each in instances if each.languages and self.language not in each.languages]

    @property
    def saves(self) -> bool:
        """Whether it is to be answered by whoever the caller's budget has room for."""
        return self._constraints is not None and self._constraints.affords is not None

    def exhausts(self, pool: Pool) -> bool:
        """Whether so many of the pool failed this turn that its fallbacks should be asked before the others."""
        tried = self._constraints.tried if self._constraints is not None else ()
        return len(tried) >= FAILURES and (
            len(set(tried).intersection(each.entry.instance.id for each in pool.candidates)) >= FAILURES
        )

    def least_window(self, view: View) -> float:
        """The smallest context window that is worth trying, in tokens: larger than those that proved too small."""
        known = [window for window in self._grown.values() if window < inf]
        size = self._size_for(view.everything.window if view.everything is not None else inf)
        return max(size, max(known, default=0) + 1)

    def _size_for(self, window: float) -> int:
        """What there must be room for. The part that cannot be trimmed is only asked for where all has no room."""
        if self._tokens <= window:
            return self._tokens
        if self._size is None:
            if self._constraints is not None and self._constraints.needed is not None:
                self._size = self._constraints.needed()
            elif self.request.task == "embeddings":  # each input is a call of its own to the model
                self._size = max(map(estimating.message_tokens, self._features.messages), default=0)
            else:
                self._size = self._tokens
        return self._size


def _upstream(instance: Instance) -> str:
    return instance.upstream_model or instance.name
