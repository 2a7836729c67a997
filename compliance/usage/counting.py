"""What a batch of journal rows adds to the sums: a function of the completions as they are stored, and of nothing else.
So whoever stores a completion counts it, in the same transaction, and whoever reads all of them gets the same sums."""

from __future__ import annotations

from collections.abc import Iterable
from operator import add
from typing import Final, NamedTuple, Protocol

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
_PLACES: Final = {state: place for place, state in enumerate(STATES)}
_FAILED: Final = _PLACES["failed"]
_TOKENS: Final = SUMS.index("prompt_tokens")
_COST: Final = SUMS.index("cost")
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

    def add(self, other: Sum) -> None:
        self.counts = list(map(add, self.counts, other.counts))
        self.last_at = max(self.last_at, other.last_at)


class Timed(Protocol):
    @property
    def duration(self) -> float: ...

    @property
    def ttft(self) -> float | None: ...


class Timing:
    __slots__ = ("durations", "first_tokens")

    def __init__(self) -> None:
        self.durations: dict[str, int] = {}
        self.first_tokens: dict[str, int] = {}

    def add(self, told: Timed) -> None:
        bucket = str(buckets.bucket_of(told.duration))
        self.durations[bucket] = self.durations.get(bucket, 0) + 1
        if told.ttft is not None:
            bucket = str(buckets.bucket_of(told.ttft))
            self.first_tokens[bucket] = self.first_tokens.get(bucket, 0) + 1


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
    timings: dict[TimingKey, Timing] = {}
    for row in journalled:
        if row[1] != COMPLETION:
            continue
        _, _, _, tenant_id, at, _, _, _, key_id, model, instance, state, content = row
        told = _figures(content)
        hour = int(at // HOUR)
        name = _model(model, instance, state, told)
        key = (tenant_id, hour, key_id or 0, told.member_id or 0, name, told.instance_id, told.edge[:LONGEST_EDGE])
        found = rows.get(key)
        if found is None:
            found = rows[key] = Sum()
        _count(found.counts, _PLACES.get(state, _FAILED), told)
        found.last_at = max(found.last_at, at)
        if state == "completed":
            timing = timings.get((tenant_id, hour, name))
            if timing is None:
                timing = timings[tenant_id, hour, name] = Timing()
            timing.add(told)
    if not rows:
        return None
    totals = _totals(rows)
    return Tally(sorted(rows.items(), key=_key), sorted(totals.items(), key=_key), sorted(timings.items(), key=_key))


def _totals(rows: dict[RowKey, Sum]) -> dict[TotalKey, Sum]:
    totals: dict[TotalKey, Sum] = {}
    for (tenant_id, hour, _key_id, _member_id, model, instance_id, _edge), sums in rows.items():
        totals.setdefault((tenant_id, 1, hour, model, instance_id), Sum()).add(sums)
    for (tenant_id, _hours, hour, model, instance_id), sums in list(totals.items()):
        totals.setdefault((tenant_id, DAY, hour // DAY * DAY, model, instance_id), Sum()).add(sums)
    return totals


def _key(item: tuple[RowKey | TotalKey | TimingKey, object]) -> tuple[object, ...]:
    return item[0]


def _figures(content: bytes) -> _Figures:
    """Nothing where the body cannot be read: the turn counts all the same."""
    try:
        return _decode(body.clear_of(content))
    except (BodyBroken, msgspec.MsgspecError, TypeError):
        return _NOTHING


def _count(counts: list[int], state: int, told: _Figures) -> None:
    """Nobody was paid for the tokens of a kept answer, or of another turn's call."""
    counts[state] += 1
    if told.source == "model":
        used = told.usage
        counts[_TOKENS] += _bounded(used.prompt_tokens)
        counts[_TOKENS + 1] += _bounded(used.completion_tokens)
        counts[_TOKENS + 2] += _bounded(used.cached_tokens)
        counts[_TOKENS + 3] += _bounded(used.reasoning_tokens)
    counts[_COST] += _bounded(told.cost)


def _bounded(figure: int) -> int:
    return figure if 0 <= figure <= MOST else min(max(figure, 0), MOST)


def _model(model: str, instance: str, state: str, told: _Figures) -> str:
    """A name that callers can make up is none: one that no instance has, or that fits a wildcard and was not answered.
    Else there would be as many rows as names."""
    if not instance:
        return ""
    made_up = "*" in instance and state in ("refused", "failed") and not told.usage.completion_tokens
    return instance if made_up or model == AUTO else model
