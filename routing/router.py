"""Chooses the model instance of a turn: rules give a pool, breakers and limits take members out, weights and quality of
service say whose turn it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from engine.errors import ContextTooLong, EngineError, Overloaded
from engine.estimating import answer_tokens
from engine.meters import UNCOUNTED, CallMeter
from engine.ports import Adapter
from engine.queueing import Share, alike
from engine.snapshots import Cell
from engine.types import ChatRequest, Constraints, Instance, Json, Message, Principal
from routing.breaker import Change
from routing.decision import decide
from routing.features import Features
from routing.health import Call, class_of
from routing.table import Entry, PublicModel, RoutingTable

Seconds = Callable[[], float]
Tell = Callable[[Entry, Change], None]
Holder = tuple[int, float]  # of a place: a tenant's id and weight


def _to_nobody(entry: Entry, change: Change) -> None:
    """There is just this worker."""


class InstanceRoute:
    """A chosen instance, and what becomes of the call told to its health. `model` is the public name of the answer;
    `decision` explains the choice, see `routing.decision.Decision.record`."""

    __slots__ = (
        "_call", "_cost", "_entry", "_holder", "_meter", "_monotonic", "_places", "_tell", "adapter", "decision",
        "instance", "model", "prompt_tokens", "rules", "upstream_model",
    )  # fmt: skip

    def __init__(
        self, entry: Entry, model: str, decision: Json, *, stream: bool, prompt_tokens: int, began: float,
        monotonic: Seconds, tell: Tell, holder: Holder, answer_tokens: int, meter: CallMeter = UNCOUNTED,
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
        self._meter = meter
        self._call: Call = entry.health.begin(began, class_of(prompt_tokens, stream))
        self._holder = holder
        self._cost = prompt_tokens + answer_tokens
        self._places = entry.health.places
        if self._places is not None:
            self._places.take(*holder)

    def first_token(self) -> None:
        now = self._monotonic()
        change = self._entry.health.first_token(self._call, now)
        self._meter.first_token(instance=self._entry.title, model=self.instance.name, seconds=now - self._call.began)
        if change is not None:
            self._tell(self._entry, change)

    def unused(self) -> None:
        over = self._call.over
        self._entry.health.withdraw(self._call)
        if not over and self._places is not None:
            self._places.leave(self._holder[0])

    def again(self, prompt_tokens: int) -> InstanceRoute:
        return InstanceRoute(
            self._entry,
            self.model,
            self.decision,
            stream=False,
            prompt_tokens=prompt_tokens,
            began=self._monotonic(),
            monotonic=self._monotonic,
            tell=self._tell,
            holder=self._holder,
            answer_tokens=0,
            meter=self._meter,
        )

    def outcome(self, error: BaseException | None) -> None:
        """The first call counts."""
        over, now = self._call.over, self._monotonic()
        change = self._entry.health.end(self._call, error, now)
        if not over and self._places is not None:
            self._places.leave(self._holder[0], max(1, self._cost), now - self._call.began)
        if not over:
            self._meter.call(
                instance=self._entry.title, model=self.instance.name, error=_code(error), seconds=now - self._call.began
            )
        if change is not None:
            self._tell(self._entry, change)


class RuleRouter:
    """`engine.ports.Router` over the live routing table. Health is this process's own; nothing here does I/O."""

    def __init__(
        self,
        table: Cell[RoutingTable],
        *,
        tell: Tell = _to_nobody,
        share: Share = alike,
        meter: CallMeter = UNCOUNTED,
        clock: Seconds = time.time,
        monotonic: Seconds = time.monotonic,
    ) -> None:
        """`tell` is told what other workers should know of an instance, at once and on the event loop; `share` gives a
        tenant's weight among those who share one; `meter` counts the calls."""
        self._table = table
        self._tell = tell
        self._share = share
        self._meter = meter
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
        now = self._monotonic()
        asked = Features(principal, request, messages, features, self._clock())
        decision = decide(self._table.value, asked, constraints, now)
        record = decision.record()
        decision.step.pool.balance.take(decision.step.selection)
        assert decision.chosen is not None
        return InstanceRoute(
            decision.chosen.entry,
            decision.model,
            record,
            stream=request.stream,
            prompt_tokens=asked["prompt_tokens"],
            began=now,
            monotonic=self._monotonic,
            tell=self._tell,
            holder=(principal.tenant_id, self._share(principal.tenant_id)),
            answer_tokens=answer_tokens(request.max_tokens) if request.task == "chat" else 0,
            meter=self._meter,
        )

    def explain(
        self,
        principal: Principal,
        request: ChatRequest,
        messages: Sequence[Message],
        features: Json | None = None,
        constraints: Constraints | None = None,
    ) -> Json:
        """The decision `choose` would take now; takes nobody's turn. Where it would find nobody, `model` is None and
        `refusal` has `code` and `message` of the error. Raises ModelNotFound."""
        asked = Features(principal, request, messages, features or {}, self._clock())
        try:
            return decide(self._table.value, asked, constraints, self._monotonic()).record()
        except (ContextTooLong, Overloaded) as error:
            if error.decision is None:
                raise
            return {**error.decision, "refusal": {"code": error.code, "message": error.message}}

    def public_models(self, tenant_id: int) -> list[PublicModel]:
        """`auto` and every name the tenant can ask for."""
        return self._table.value.public_models(tenant_id)


def _code(error: BaseException | None) -> str:
    """What a call's end is counted as; a call that its caller left is no error of the instance's."""
    if error is None:
        return ""
    if isinstance(error, EngineError):
        return error.code
    return "internal_error" if isinstance(error, Exception) else "cancelled"
