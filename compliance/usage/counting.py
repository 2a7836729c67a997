"""What a batch of journal rows adds to the sums: a function of the completions as they are stored, and of nothing else.
So whoever stores a completion counts it, in the same transaction, and whoever reads all of them gets the same sums."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from compliance.journal.records import COMPLETION, Row
from compliance.sealing import body
from compliance.sealing.body import BodyBroken
from compliance.usage import buckets
from engine.types import AUTO, Source, Usage

HOUR: Final = 3600
DAY: Final = 24  # hours
STATES: Final = ("completed", "refused", "failed", "cancelled", "aborted")
SUMS: Final = (*STATES, "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "cost")
MOST: Final = 1 << 40  # of one figure of one turn: nothing a service says may overflow a sum
LONGEST_EDGE: Final = 32

RowKey = tuple[int, int, int, int, str, int, str]  # tenant, hour, key, member, model, instance, edge
TotalKey = tuple[int, int, int, str, int]  # tenant, hours, start, model, instance
TimingKey = tuple[int, int, str]  # tenant, hour, model


class _Figures(msgspec.Struct, frozen=True):
    """What the readable part of a completion says of it."""

    edge: str = ""
    member_id: int | None = None
    instance_id: int = 0
    cost: int = 0
    usage: Usage = Usage()
    source: Source = "model"
    ttft: float | None = None
    duration: float = 0.0


class Sum:
    """`counts` in the order of SUMS."""

    __slots__ = ("counts", "last_at")

    def __init__(self) -> None:
        self.counts = [0] * len(SUMS)
        self.last_at = 0.0

    def add(self, state: int, figures: tuple[int, ...], at: float) -> None:
        counts = self.counts
        counts[state] += 1
        for place, figure in enumerate(figures, len(STATES)):
            if figure:
                counts[place] += figure
        self.last_at = max(self.last_at, at)


class Timing:
    __slots__ = ("durations", "first_tokens")

    def __init__(self) -> None:
        self.durations: dict[str, int] = {}
        self.first_tokens: dict[str, int] = {}


class Tally(NamedTuple):
    """Each in the order of its keys: two writers on one server never wait for each other in a circle."""

    rows: list[tuple[RowKey, Sum]]
    totals: list[tuple[TotalKey, Sum]]
    timings: list[tuple[TimingKey, Timing]]


_decode = msgspec.json.Decoder(_Figures).decode
_NOTHING: Final = _Figures()


def tally(journalled: Iterable[Row]) -> Tally | None:
    """None: there is no completion among them. Raises ValueError, OverflowError, TypeError: a time that is none."""
    rows: dict[RowKey, Sum] = {}
    totals: dict[TotalKey, Sum] = {}
    timings: dict[TimingKey, Timing] = {}
    for row in journalled:
        if row[1] != COMPLETION:
            continue
        _, _, _, tenant_id, at, _, _, _, key_id, model, instance, state, content = row
        told = _figures(content)
        hour = int(at // HOUR)
        name = _model(model, instance, state, told)
        place = STATES.index(state) if state in STATES else STATES.index("failed")
        figures = _used(told)
        mine = (tenant_id, hour, key_id or 0, told.member_id or 0, name, told.instance_id, told.edge[:LONGEST_EDGE])
        whole = [(tenant_id, 1, hour, name, told.instance_id), (tenant_id, DAY, hour // DAY * DAY, *mine[4:6])]
        rows.setdefault(mine, Sum()).add(place, figures, at)
        for total in whole:
            totals.setdefault(total, Sum()).add(place, figures, at)
        if state == "completed":
            _time(timings.setdefault((tenant_id, hour, name), Timing()), told)
    if not rows:
        return None
    return Tally(sorted(rows.items(), key=_key), sorted(totals.items(), key=_key), sorted(timings.items(), key=_key))


def _key(item: tuple[RowKey | TotalKey | TimingKey, object]) -> tuple[object, ...]:
    return item[0]


def _figures(content: bytes) -> _Figures:
    """Nothing where the body cannot be read: the turn counts all the same."""
    try:
        return _decode(body.read(content).clear)
    except (BodyBroken, msgspec.MsgspecError, TypeError):
        return _NOTHING


def _used(told: _Figures) -> tuple[int, ...]:
    """Nobody was paid for the tokens of a kept answer, or of another turn's call."""
    if told.source != "model":
        return (0, 0, 0, 0, _bounded(told.cost))
    used = told.usage
    return (
        _bounded(used.prompt_tokens),
        _bounded(used.completion_tokens),
        _bounded(used.cached_tokens),
        _bounded(used.reasoning_tokens),
        _bounded(told.cost),
    )


def _bounded(figure: int) -> int:
    return min(max(figure, 0), MOST)


def _model(model: str, instance: str, state: str, told: _Figures) -> str:
    """A name that callers can make up is none: one that no instance has, or that fits a wildcard and was not answered.
    Else there would be as many rows as names."""
    if not instance:
        return ""
    made_up = "*" in instance and state in ("refused", "failed") and not told.usage.completion_tokens
    return instance if made_up or model == AUTO else model


def _time(timing: Timing, told: _Figures) -> None:
    _count(timing.durations, told.duration)
    if told.ttft is not None:
        _count(timing.first_tokens, told.ttft)


def _count(counts: dict[str, int], seconds: float) -> None:
    bucket = str(buckets.bucket_of(seconds))
    counts[bucket] = counts.get(bucket, 0) + 1
