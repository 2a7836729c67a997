"""Chooses the model instance of a turn: rules give a pool, breakers and limits take members out, weights and quality of
service say whose turn it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from engine.errors import ModelNotFound, Overloaded
from engine.ports import Adapter
from engine.snapshots import Cell
from engine.types import AUTO, ChatRequest, Constraints, Instance, Json, Message, Principal
from routing.breaker import Change
from routing.features import Features
from routing.health import Call, class_of
from routing.selection import Selection
from routing.table import Candidate, Entry, Pool, PublicModel, RoutingTable

Seconds = Callable[[], float]
Tell = Callable[[Entry, Change], None]


def _to_nobody(entry: Entry, change: Change) -> None:
    """There is just this worker."""


class InstanceRoute:
    """A chosen instance, and what becomes of the call told to its health. `model` is the public name of the answer;
    `decision` explains the choice: `{model, instance, rules, candidates, features, runner_up}`."""

    __slots__ = (
        "_call", "_entry", "_monotonic", "_tell", "adapter", "decision", "instance", "model", "prompt_tokens", "rules",
        "upstream_model",
    )  # fmt: skip

    def __init__(
        self, entry: Entry, model: str, decision: Json, *, stream: bool, prompt_tokens: int, monotonic: Seconds,
        tell: Tell,
    ) -> None:  # fmt: skip
        self.instance: Instance = entry.instance
        self.adapter: Adapter = entry.adapter
        self.model = model
        self.upstream_model = self.instance.upstream_model or model
        self.rules: list[str] = decision["rules"]
        self.decision = decision
        self.prompt_tokens = prompt_tokens
        self._entry = entry
        self._monotonic = monotonic
        self._tell = tell
        self._call: Call = entry.health.begin(monotonic(), class_of(prompt_tokens, stream))

    def first_token(self) -> None:
        self._entry.health.first_token(self._call, self._monotonic())

    def unused(self) -> None:
        self._entry.health.withdraw(self._call)

    def outcome(self, error: BaseException | None) -> None:
        """The first call counts."""
        change = self._entry.health.end(self._call, error, self._monotonic())
        if change is not None:
            self._tell(self._entry, change)


class _Choice(msgspec.Struct):
    """A decision that nothing was done about yet."""

    pool: Pool
    features: Features
    requested: str
    selection: Selection
    chosen: Candidate

    @property
    def model(self) -> str:
        return self.chosen.model or self.requested

    def record(self) -> Json:
        pool, selection = self.pool, self.selection
        removed, runner_up = selection.removed, selection.runner_up
        return {
            "model": self.model,
            "instance": self.chosen.entry.instance.name,
            "instance_id": self.chosen.entry.instance.id,
            "rules": list(pool.rules),
            "candidates": [
                {
                    "id": number,
                    "instance": name,
                    "weight": weight,
                    "quality": quality,
                    "score": score,
                    "in_flight": health.in_flight,
                    "removed": removed.get(place) if removed else None,
                }
                for place, ((number, name, weight, health), quality, score) in enumerate(
                    zip(pool.listed, selection.qualities, selection.scores, strict=True)
                )
            ],
            "features": self.features.used(),
            "runner_up": None if runner_up is None else pool.listed[runner_up][1],
        }


class RuleRouter:
    """`engine.ports.Router` over the live routing table. Health is this process's own; nothing here does I/O."""

    def __init__(
        self,
        table: Cell[RoutingTable],
        *,
        tell: Tell = _to_nobody,
        clock: Seconds = time.time,
        monotonic: Seconds = time.monotonic,
    ) -> None:
        """`tell` is told what other workers should know of an instance, at once and on the event loop."""
        self._table = table
        self._tell = tell
        self._clock = clock
        self._monotonic = monotonic

    def choose(
        self,
        principal: Principal,
        request: ChatRequest,
        messages: Sequence[Message],
        features: Json,
        constraints: Constraints | None = None,
    ) -> InstanceRoute:
        """See `engine.ports.Router`. The caller tells the route its `outcome`, whatever happens."""
        exclude = [*constraints.tried, *constraints.outgrown] if constraints is not None else ()
        choice = self._decide(principal, request, messages, features, exclude)
        decision = choice.record()
        choice.pool.balance.take(choice.selection)
        return InstanceRoute(
            choice.chosen.entry,
            choice.model,
            decision,
            stream=request.stream,
            prompt_tokens=choice.features["prompt_tokens"],
            monotonic=self._monotonic,
            tell=self._tell,
        )

    def explain(
        self, principal: Principal, request: ChatRequest, messages: Sequence[Message], features: Json | None = None
    ) -> Json:
        """The decision `choose` would take now; takes nobody's turn. Raises like `choose`."""
        return self._decide(principal, request, messages, features or {}, ()).record()

    def public_models(self, tenant_id: int) -> list[PublicModel]:
        """`auto` and every name the tenant can ask for."""
        return self._table.value.public_models(tenant_id)

    def _decide(
        self,
        principal: Principal,
        request: ChatRequest,
        messages: Sequence[Message],
        found: Json,
        exclude: Sequence[int],
    ) -> _Choice:
        """Raises ModelNotFound, and Overloaded with the seconds until the first candidate may be back."""
        features = Features(principal, request, messages, found, self._clock())
        if request.instance_id is not None:
            pool = self._table.value.only(request.instance_id)
        else:
            view = self._table.value.view(principal.tenant_id)
            auto = request.model in ("", AUTO)
            pool = view.ruled(features, auto=auto) or (view.everything if auto else view.pool_of(request.model))
        if pool is None:
            raise ModelNotFound(param="model")
        selection = pool.balance.select(exclude, self._monotonic())
        if selection.chosen is None:
            raise Overloaded(retry_after=selection.wait)
        return _Choice(pool, features, request.model, selection, pool.candidates[selection.chosen])
