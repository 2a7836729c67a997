"""The time machine: what recorded turns would have done under other rules. No I/O, and no text is needed.

A pool is a choice by weight, so a recorded turn has no one new model but chances: those of the maximal coupling
(`routing.coupling`) between the shares of the pool it was chosen from and those of the pool the rules give it now. Whom
the recorded decision had to leave out (breaker open, at its limit, …) is left out of both; beyond that the health of
the time is not replayed. A turn that stays took and cost what it did. Rules that did not change move exactly nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from engine.types import AUTO
from routing.coupling import Place, Weights, placed
from routing.recorded import Asked, Decision, Ended, NotRecorded, RecordedFeatures
from routing.reports import Example, Moved, Report, RuleTurns, Turns
from routing.table import Pool, RoutingTable, View
from routing.tallying import Sums, Tally

EXAMPLES: Final = 20
ALIKE: Final = 4  # examples of one flow
NAMES: Final = 1000  # that callers made up, behind a wildcard; beyond these all are
OTHERS: Final = "(others)"
TALLIES: Final = 20_000  # kept before they are added up


class Replay:
    """Takes recorded turns one by one (`add`), in any order, and sums them up (`report`). `table` has the instances as
    they are and the rules as they might be. Memory does not grow with the turns."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._tells_languages = any(entry.instance.languages for entry in table.entries.values())
        self._turns = Turns()
        self._rules: dict[str | None, list[int]] = {}
        self._tallies: dict[object, Tally] = {}
        self._sums = Sums(table.entries)
        self._examples: list[Example] = []
        self._alike: Counter[tuple[str, str | None]] = Counter()
        self._names: set[str] = set()

    def add(self, asked: Asked | None, ended: Ended | None) -> None:
        """`asked` None: the entry cannot be read; `ended` None: the turn has not ended."""
        self._turns.read += 1
        reason = _left_out(asked, ended)
        if asked is None or reason:
            _count(self._turns.left_out, reason)
            return
        try:
            pool = self._pool(asked)
        except NotRecorded as error:
            _count(self._turns.left_out, "not_recorded")
            _count(self._turns.not_recorded, error.field)
            return
        self._turns.replayed += 1
        tally = self._tally(asked, ended, pool)
        tally.add(ended)
        rules = pool.rules if pool is not None else ()
        self._count_rules(asked.decision.rules, 0)
        self._count_rules(rules, 1)
        if tally.leaving and len(self._examples) < EXAMPLES:
            self._show(asked, tally, rules)

    def _pool(self, asked: Asked) -> Pool | None:
        """What the rules give the turn, as `routing.router` asks them. Raises NotRecorded."""
        view, auto = self._view(asked), _is_auto(asked)
        ruled = view.ruled(RecordedFeatures(asked), auto=auto)  # type: ignore[arg-type]  # a mapping is enough
        return ruled or (view.everything if auto else view.pool_of(asked.model))

    def _view(self, asked: Asked) -> View:
        return self._table.view(asked.tenant_id, asked.task)

    def _tally(self, asked: Asked, ended: Ended | None, pool: Pool | None) -> Tally:
        decision = asked.decision
        requested = self._named(asked.model)
        at = (requested if decision.model in (None, asked.model) else decision.model, decision.instance_id)
        before = _recorded(decision, asked.model, requested, at)
        removed, window = decision.removed(), decision.fallback.window
        answered = at
        if ended is not None and ended.decision.instance_id:
            answered = (requested if ended.model == asked.model else ended.model, ended.decision.instance_id)
        key = (pool, requested, tuple(before.items()), at, removed, window, self._language(decision), answered)
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= TALLIES:
                self._add_up()
            after = self._after(asked, pool, requested) if pool is not None else {}
            tally = self._tallies[key] = Tally(at, answered, placed(before, after, at) if after else {})
        return tally

    def _after(self, asked: Asked, pool: Pool, requested: str) -> Weights:
        """The first pool of the chain with somebody who was not out at the time; if nobody is, the first with all."""
        view, decision = self._view(asked), asked.decision
        removed, window = decision.removed(), decision.fallback.window
        chain: list[tuple[Pool | None, str]] = [(pool, requested)]
        chain += [(view.pool_of(name), name) for name in pool.fallbacks[pool.begun :]]
        if window is not None and _is_auto(asked):
            chain += [(wider, "") for _, wider in view.wider(window)]
        language = self._language(decision)
        for spoken in (language, None) if language is not None else (None,):
            for each, name in chain:
                if each is not None and (weights := _weights(each, name, removed, spoken)):
                    return weights
        return _weights(pool, requested)

    def _language(self, decision: Decision) -> str | None:
        """The turn's, where there are instances for some languages only."""
        found = decision.features.get("language") if self._tells_languages else None
        return found if isinstance(found, str) else None

    def _named(self, name: str) -> str:
        if name not in self._names:
            if len(self._names) >= NAMES:
                return OTHERS
            self._names.add(name)
        return name

    def _count_rules(self, names: Sequence[str], column: int) -> None:
        for name in names or (None,):
            self._rules.setdefault(name, [0, 0])[column] += 1

    def _show(self, asked: Asked, tally: Tally, rules: Sequence[str]) -> None:
        to = max(tally.leaving, key=tally.leaving.__getitem__)
        flow = (tally.at[0], to)
        if self._alike[flow] >= ALIKE:
            return
        self._alike[flow] += 1
        self._examples.append(
            Example(
                turn_id=asked.turn_id,
                tenant_id=asked.tenant_id,
                at=asked.at,
                from_=tally.at[0],
                to=to,
                probability=tally.leaving[to],
                features=asked.decision.features,
                rules_before=asked.decision.rules,
                rules_after=list(rules),
            )
        )

    def _add_up(self) -> None:
        for tally in self._tallies.values():
            self._sums.add(tally)
        self._tallies.clear()

    def report(self) -> Report:
        """Of the turns so far."""
        self._add_up()
        total, sums = self._turns.replayed, self._sums
        flows = sums.flows(total)
        moved = sum(flow.turns for flow in flows)
        refused = sum(flow.turns for flow in flows if flow.to is None)
        rules = sorted(self._rules.items(), key=lambda item: -max(item[1]))
        return Report(
            turns=self._turns,
            moved=Moved(turns=moved, share=moved / total if total else 0.0, refused=refused),
            models=sums.models(),
            flows=flows,
            instance_flows=sums.instance_flows(total),
            cost=sums.cost(),
            ttft=sums.ttft.mean(),
            duration=sums.duration.mean(),
            rules=[RuleTurns(rule=rule, before=before, after=after) for rule, (before, after) in rules],
            examples=self._examples,
        )


def _left_out(asked: Asked | None, ended: Ended | None) -> str:
    """Why a turn cannot be replayed; empty: it can. Who asks for one very instance does so in a console."""
    if asked is None:
        return "unreadable"
    if ended is not None and ended.source != "model":
        return ended.source
    if not asked.decision.candidates or asked.decision.model is None:
        return "no_decision"
    return "pinned" if asked.edge == "console" else ""


def _recorded(decision: Decision, asked: str, requested: str, at: Place) -> Weights:
    """The recorded pool without whom it left out. Older records do not say by which public name a candidate was there:
    the chosen one had the answer's, one behind a wildcard the requested one, all others their own."""
    weights: dict[Place, float] = {}
    for candidate in decision.candidates:
        if candidate.removed is not None:
            continue
        model = candidate.model
        if not model:
            model = at[0] if candidate.id == at[1] else requested if "*" in candidate.instance else candidate.instance
        elif model == asked:
            model = requested
        place = (model, candidate.id)
        weights[place] = weights.get(place, 0) + candidate.weight
    return weights if weights.get(at, 0) > 0 else {at: 1}


def _weights(pool: Pool, name: str, removed: Collection[int] = (), language: str | None = None) -> Weights:
    """`name` is what the pool was asked for; with a `language` without those that are kept for others."""
    weights: dict[Place, float] = {}
    for candidate in pool.candidates:
        instance = candidate.entry.instance
        if instance.id in removed or (language and instance.languages and language not in instance.languages):
            continue
        place = (candidate.model or name, instance.id)
        weights[place] = weights.get(place, 0) + candidate.weight
    return weights


def _is_auto(asked: Asked) -> bool:
    return asked.model in ("", AUTO)


def _count(counts: dict[str, int], key: str) -> None:
    counts[key] = counts.get(key, 0) + 1
