"""One decision: which pool of the chain answers, who of it, and the record that explains both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import Final, Literal

import msgspec

from engine.errors import ContextTooLong, ModelNotFound, Overloaded
from engine.places import Places
from engine.types import AUTO, Answerer, Constraints, Json
from routing.demands import Demands
from routing.features import Features
from routing.selection import BUSY_SECONDS, EQUAL, HEALTHY, Selection
from routing.table import Candidate, Pool, RoutingTable, View, window_of

# Reasons that stay as they are however long one waits.
FINAL: Final = frozenset({"tried", "context_window", "budget", "language"})

Kept = Literal["instance", "model"]


class Step(msgspec.Struct):
    """A pool of the chain and what came of it. `name` is the model that was asked of it, `fallback` how the chain came
    here: `{"name", "place"}`, `{"context_window"}` for the instances with so much room, `{"budget"}` for those that the
    caller's budget has room for; None: the rules gave it. `language` in it: nobody who is there for the turn's language
    was left, so that those of other languages may answer."""

    pool: Pool
    name: str
    fallback: Json | None
    selection: Selection
    exhausted: bool

    @property
    def usable(self) -> bool:
        return self.selection.chosen is not None and not self.exhausted

    @property
    def reasons(self) -> set[str]:
        """Why nobody may be chosen; `free`: somebody might, if the pool were not exhausted."""
        return {*self.selection.removed.values(), *(("free",) if self.selection.chosen is not None else ())}

    def full(self) -> Iterator[Places]:
        """What of the pool one may wait for."""
        if self.exhausted:
            return
        for place, reason in self.selection.removed.items():
            places = self.pool.candidates[place].entry.health.places
            if reason == "max_concurrency" and places is not None:
                yield places

    def candidates(self) -> list[Json]:
        selection = self.selection
        found = []
        for (listed, health), quality, score in zip(
            self.pool.listed, selection.qualities, selection.scores, strict=True
        ):
            row = listed.copy()
            row["quality"], row["score"], row["in_flight"] = quality, score, health.in_flight
            if not row["model"]:
                row["model"] = self.name
            found.append(row)
        for place, reason in selection.removed.items():
            found[place]["removed"] = reason
        return found

    def passed_over(self) -> Json:
        return {
            "models": sorted({candidate.model or self.name for candidate in self.pool.candidates}),
            "why": "two_tried" if self.exhausted else "nobody_left",
            "candidates": self.candidates(),
        }


class Decision(msgspec.Struct):
    """A decision that nothing was done about yet. `step` is the last that was asked, `chosen` None: nobody is left.
    `rules` matched; `before` are the steps that were passed over, `answerer` is who answered the session's last turn,
    `kept` what of that it stays with."""

    step: Step
    chosen: Candidate | None
    rules: tuple[str, ...]
    features: Features
    reads: Sequence[str]
    before: Sequence[Step] = ()
    answerer: Answerer | None = None
    kept: Kept | None = None

    @property
    def model(self) -> str:
        """The public name of who answers; empty: nobody does."""
        return (self.chosen.model or self.step.name) if self.chosen is not None else ""

    def record(self) -> Json:
        """As turns keep it and people read it."""
        step = self.step
        runner_up = step.selection.runner_up if self.chosen is not None else None
        record = self._answer()
        record["rules"] = list(self.rules)
        record["candidates"] = step.candidates()
        record.update(self.features.record(self.reads))
        record["runner_up"] = None if runner_up is None else step.pool.candidates[runner_up].entry.instance.name
        if self.features.request.task != "chat":
            record["task"] = self.features.request.task
        if self.before:
            record["passed_over"] = [each.passed_over() for each in self.before]
        if step.fallback is not None:
            record["fallback"] = step.fallback
        if self.answerer is not None:
            record["session"] = {"model": self.answerer.model, "kept": self.kept}
        return record

    def _answer(self) -> Json:
        if self.chosen is None:
            return {"model": None, "instance": None}
        instance = self.chosen.entry.instance
        return {"model": self.model, "instance": instance.name, "instance_id": instance.id}


def decide(table: RoutingTable, features: Features, constraints: Constraints | None, now: float) -> Decision:
    """Takes nobody's turn. Raises ModelNotFound; and with the record as their `decision` ContextTooLong, if there is
    room nowhere, or Overloaded with the seconds until the first candidate may be back."""
    request = features.request
    view = table.view(features.principal.tenant_id, request.task)
    if request.instance_id is not None:
        first = table.only(request.instance_id, request.task)
    else:
        auto = request.model in ("", AUTO)
        first = view.ruled(features, auto=auto) or (view.everything if auto else view.pool_of(request.model))
    if first is None:
        raise ModelNotFound(param="model")
    demands = Demands(table, features, constraints)
    begun = first.begun
    step = _ask(
        first, request.model, {"name": first.fallbacks[begun - 1], "place": begun} if begun else None, demands, now
    )
    answerer = constraints.answerer if constraints is not None else None
    before: list[Step] = []
    if not step.usable:
        before.append(step)
        for pool, name, fallback in _further(view, first, demands, before):
            step = _ask(pool, name, fallback, demands, now)
            if step.usable:
                break
            before.append(step)
        else:
            refusal = _refusal(before, features["prompt_tokens"])
            nobody = Decision(before[-1], None, first.rules, features, view.reads, before[:-1], answerer)
            refusal.decision = nobody.record()
            raise refusal
    kept = _keep(step, answerer, constraints.tried, now) if constraints is not None and answerer is not None else None
    assert step.selection.chosen is not None
    chosen = step.pool.candidates[step.selection.chosen]
    return Decision(step, chosen, first.rules, features, view.reads, before, answerer, kept)


def _ask(pool: Pool, name: str, fallback: Json | None, demands: Demands, now: float) -> Step:
    any_language = fallback is not None and ("language" in fallback or "name" not in fallback)
    selection = pool.balance.select(demands.out(pool, any_language=any_language), now, demands.tenant)
    return Step(pool, name, fallback, selection, demands.exhausts(pool))


def _further(
    view: View, first: Pool, demands: Demands, before: Sequence[Step]
) -> Iterator[tuple[Pool, str, Json | None]]:
    """The pools to ask after the first, each with the name it is asked for and how the chain came to it; `before` are
    the steps so far. Who asked for no model gets a larger context window at last, if nothing else is missing."""
    for place, name in enumerate(first.fallbacks[first.begun :], first.begun + 1):
        pool = view.pool_of(name)
        if pool is not None:
            yield pool, name, {"name": name, "place": place}
    if any("language" in step.reasons for step in before):
        yield from _in_any_language(view, first, demands)
    request = demands.request
    if request.instance_id is not None:
        return
    if demands.saves and view.everything is not None:
        yield view.everything, "", {"budget": True}
    if request.model not in ("", AUTO):
        return
    reasons = {reason for step in before for reason in step.reasons}
    if "context_window" in reasons and reasons <= FINAL:
        for window, pool in view.wider(demands.least_window(view)):
            yield pool, "", {"context_window": None if window == inf else int(window)}


def _in_any_language(view: View, first: Pool, demands: Demands) -> Iterator[tuple[Pool, str, Json | None]]:
    """The same pools once more, with those of their instances that are kept for other languages."""
    named: Json = {"language": demands.language}
    begun: Json = {"name": first.fallbacks[first.begun - 1], "place": first.begun} if first.begun else {}
    yield first, demands.request.model, {**begun, **named}
    for place, name in enumerate(first.fallbacks[first.begun :], first.begun + 1):
        pool = view.pool_of(name)
        if pool is not None and pool.languages:
            yield pool, name, {"name": name, "place": place, **named}


def _refusal(steps: Sequence[Step], tokens: int) -> ContextTooLong | Overloaded:
    """Why nobody answers. `tokens` is the estimated size of the conversation."""
    if all("context_window" in step.reasons and step.reasons <= {"context_window", "language"} for step in steps):
        window = max(window_of(each.entry.instance) for step in steps for each in step.pool.candidates)
        return ContextTooLong(window=int(window), tokens=tokens) if tokens > window else ContextTooLong()
    waits = [step.selection.wait for step in steps if not step.reasons <= FINAL]
    overloaded = Overloaded(retry_after=min(waits, default=BUSY_SECONDS))
    overloaded.full = tuple(dict.fromkeys(places for step in steps for places in step.full()))
    return overloaded


def _keep(step: Step, answerer: Answerer, tried: Sequence[int], now: float) -> Kept | None:
    """Lets the choice fall on who answered the session's last turn, or on another instance of the same model; not on
    a model of which an instance failed in this turn: what is wrong with it is often wrong with all of them."""
    pool, selection = step.pool, step.selection
    if tried and _has_failed(step, answerer, tried):
        return None
    qualities = {
        place: quality
        for place, (candidate, quality) in enumerate(zip(pool.candidates, selection.qualities, strict=True))
        if (candidate.model or step.name) == answerer.model
        and place not in selection.removed
        and not candidate.entry.health.breaker.is_open
    }
    # A model may well be slower than others of the pool; among instances of one model the slower one is the worse one.
    least = max(HEALTHY, EQUAL * max(qualities.values(), default=0.0))
    fit = [place for place, quality in qualities.items() if quality >= least]
    if not fit:
        return None
    for place in fit:
        if pool.candidates[place].entry.instance.id == answerer.instance_id:
            pool.balance.stay(selection, place)
            return "instance"
    pool.balance.narrow(selection, fit, now)
    return "model"


def _has_failed(step: Step, answerer: Answerer, tried: Sequence[int]) -> bool:
    return answerer.instance_id in tried or any(
        candidate.entry.instance.id in tried and (candidate.model or step.name) == answerer.model
        for candidate in step.pool.candidates
    )
