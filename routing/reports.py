"""What a replay says, in the shape of its JSON (`docs/replay.md`). Turns may be fractions: they are expected values.
Costs are in the currency of the instances' prices, times in seconds, shares of the turns that were replayed."""

from __future__ import annotations

import msgspec

from engine.types import Json


class Turns(msgspec.Struct):
    """How many were read and replayed, why others were not, and which fields records did not hold."""

    read: int = 0
    replayed: int = 0
    left_out: dict[str, int] = {}
    not_recorded: dict[str, int] = {}


class Moved(msgspec.Struct, frozen=True):
    """Turns whose model changes; `refused` of them have none any more."""

    turns: float = 0.0
    share: float = 0.0
    refused: float = 0.0


class ModelTurns(msgspec.Struct, frozen=True):
    model: str
    before: float
    after: float


class Flow(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """`to` None: refused, since no model is left."""

    from_: str | None
    to: str | None
    turns: float
    share: float


class Cost(msgspec.Struct):
    """Of the `turns` whose instance is still there, at today's prices; `unpriced` are the others."""

    before: float = 0.0
    after: float = 0.0
    difference: float = 0.0
    turns: int = 0
    unpriced: int = 0


class Pace(msgspec.Struct, frozen=True):
    """A mean over the `turns` for which both sides are known, None without any; `unknown` would go to models that no
    recorded turn tells the pace of."""

    before: float | None = None
    after: float | None = None
    turns: float = 0.0
    unknown: float = 0.0


class RuleTurns(msgspec.Struct, frozen=True):
    """How many turns a rule decided; None: no rule did."""

    rule: str | None
    before: int
    after: int


class Example(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A turn that moves to `to` with this probability, the likeliest of the models it may go to. `at`: Unix seconds."""

    turn_id: str
    tenant_id: int
    at: float
    from_: str
    to: str | None
    probability: float
    features: Json
    rules_before: list[str]
    rules_after: list[str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What changes between the recorded turns (before) and the same turns under the rules replayed (after)."""

    turns: Turns
    moved: Moved
    models: list[ModelTurns]
    flows: list[Flow]
    instance_flows: list[Flow]
    cost: Cost
    ttft: Pace
    duration: Pace
    rules: list[RuleTurns]
    examples: list[Example]
