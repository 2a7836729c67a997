"""Chooses the model instance of a turn: rules give a pool, health takes members out, their weights take turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from engine.errors import ModelNotFound, Overloaded
from engine.ports import Adapter
from engine.snapshots import Cell
from engine.types import AUTO, ChatRequest, Instance, Json, Message, Principal
from routing.features import Features
from routing.health import Health
from routing.table import Candidate, Pool, PublicModel, Removal, RoutingTable

RETRY_SECONDS = 1.0  # when every instance is at its limit of calls

Seconds = Callable[[], float]


class InstanceRoute:
    """A chosen instance, and what becomes of the call told to its health. `model` is the public name of the answer;
    `decision` explains the choice: `{model, instance, rules, candidates, features, runner_up}`."""

    __slots__ = (
        "_began", "_health", "_monotonic", "_over", "adapter", "decision", "instance", "model", "prompt_tokens",
        "rules", "upstream_model",
    )  # fmt: skip

    def __init__(
        self, candidate: Candidate, model: str, decision: Json, prompt_tokens: int, monotonic: Seconds
    ) -> None:
        self.instance: Instance = candidate.entry.instance
        self.adapter: Adapter = candidate.entry.adapter
        self.model = model
        self.upstream_model = self.instance.upstream_model or model
        self.rules: list[str] = decision["rules"]
        self.decision = decision
        self.prompt_tokens: int = prompt_tokens
        self._health: Health = candidate.entry.health
        self._monotonic = monotonic
        self._began = monotonic()
        self._over = False
        self._health.begin()

    def first_token(self) -> None:
        self._health.first_token(self._monotonic() - self._began)

    def outcome(self, error: BaseException | None) -> None:
        """The first call counts."""
        if not self._over:
            self._over = True
            self._health.end(error, self._monotonic())


class _Choice(msgspec.Struct):
    """A decision that nothing was done about yet."""

    pool: Pool
    features: Features
    requested: str
    eligible: list[int]
    removed: dict[int, Removal]

    def model(self, candidate: Candidate) -> str:
        return candidate.model or self.requested

    def record(self) -> tuple[int, Json]:
        """The place of the next in turn, and why: the eligible candidate with the highest score is it."""
        pool, removed = self.pool, self.removed
        scores = pool.rotation.scores()
        ranked = sorted(self.eligible, key=scores.__getitem__, reverse=True)  # stable: at a tie the first, as in `pick`
        best = pool.candidates[ranked[0]]
        candidates = [
            {
                "id": candidate.entry.instance.id,
                "instance": candidate.entry.instance.name,
                "weight": candidate.weight,
                "score": None if place in removed else scores[place],
                "removed": removed.get(place),
            }
            for place, candidate in enumerate(pool.candidates)
        ]
        return ranked[0], {
            "model": self.model(best),
            "instance": best.entry.instance.name,
            "rules": list(pool.rules),
            "candidates": candidates,
            "features": self.features.used(),
            "runner_up": pool.candidates[ranked[1]].entry.instance.name if len(ranked) > 1 else None,
        }


class RuleRouter:
    """`engine.ports.Router` over the live routing table. Health is this process's own; nothing here does I/O."""

    def __init__(
        self, table: Cell[RoutingTable], *, clock: Seconds = time.time, monotonic: Seconds = time.monotonic
    ) -> None:
        self._table = table
        self._clock = clock
        self._monotonic = monotonic

    def choose(
        self,
        principal: Principal,
        request: ChatRequest,
        messages: Sequence[Message],
        features: Json,
        exclude: Sequence[int] = (),
    ) -> InstanceRoute:
        """See `engine.ports.Router`. The caller tells the route its `outcome`, whatever happens."""
        choice = self._decide(principal, request, messages, features, exclude)
        place, decision = choice.record()
        choice.pool.rotation.pick(choice.eligible)
        candidate = choice.pool.candidates[place]
        return InstanceRoute(
            candidate, choice.model(candidate), decision, choice.features["prompt_tokens"], self._monotonic
        )

    def explain(
        self, principal: Principal, request: ChatRequest, messages: Sequence[Message], features: Json | None = None
    ) -> Json:
        """The decision `choose` would take now; takes nobody's turn. Raises like `choose`."""
        return self._decide(principal, request, messages, features or {}, ()).record()[1]

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
        features = Features(principal, request, messages, found, self._clock())
        if request.instance_id is not None:
            pool = self._table.value.only(request.instance_id)
        else:
            view = self._table.value.view(principal.tenant_id)
            auto = request.model in ("", AUTO)
            pool = view.ruled(features, auto=auto) or (view.everything if auto else view.pool_of(request.model))
        if pool is None:
            raise ModelNotFound(param="model")
        eligible, removed = self._eligible(pool, exclude)
        return _Choice(pool, features, request.model, eligible, removed)

    def _eligible(self, pool: Pool, exclude: Sequence[int]) -> tuple[list[int], dict[int, Removal]]:
        """The places that may be chosen, and why others may not. Cooling instances go when nobody else is left.

        Raises Overloaded when that leaves none, with the seconds until the first may be back."""
        now = self._monotonic()
        eligible: list[int] = []
        cooling: list[int] = []
        removed: dict[int, Removal] = {}
        wait = None
        for place, candidate in enumerate(pool.candidates):
            entry = candidate.entry
            limit = entry.instance.max_concurrency
            if entry.instance.id in exclude:
                removed[place] = "tried"
            elif limit is not None and entry.health.in_flight >= limit:
                removed[place] = "max_concurrency"
                wait = min(wait or RETRY_SECONDS, RETRY_SECONDS)
            elif (pause := entry.health.paused_for(now)) > 0:
                removed[place] = "rate_limited"
                wait = min(wait or pause, pause)
            elif entry.health.is_cooling(now):
                cooling.append(place)
            else:
                eligible.append(place)
        if not eligible and not cooling:
            raise Overloaded(retry_after=wait or RETRY_SECONDS)
        if not eligible:
            return cooling, removed
        for place in cooling:
            removed[place] = "cooling_down"
        return eligible, removed
