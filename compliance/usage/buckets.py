"""Percentiles out of counts: how many values fell into which of a row of buckets, each 10 % wider than the one before.

A value is known but for its place in its bucket, so that a percentile is off by 5 % at most. Counts of any buckets can
be added: hours make days and models make tenants, which percentiles themselves do not. The method is that of HDR
histograms and of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", VLDB 2019), with buckets of (g^(i-1), g^i] milliseconds, g = 1.1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

GROWTH: Final = 1.1
UNIT: Final = 0.001  # seconds: what is shorter is in bucket 0
LAST: Final = 192  # from about a day on
_LOG: Final = math.log(GROWTH)

Counts = Mapping[str, int]  # by the bucket's number, as JSON has its keys

_decode = msgspec.json.Decoder(dict[str, int]).decode
encode = msgspec.json.Encoder().encode


def bucket_of(seconds: float) -> int:
    if not seconds > UNIT:  # also what is no number
        return 0
    return min(math.ceil(math.log(min(seconds, 1e6) / UNIT) / _LOG), LAST)


def middle(bucket: int) -> float:
    """In seconds; no value of the bucket is further away than 5 %."""
    return float(UNIT * 2 * GROWTH**bucket / (1 + GROWTH)) if bucket else UNIT / 2


def merged(one: str, other: str) -> str:
    """Two counts as they are stored, added."""
    counts = _decode(one)
    for bucket, number in _decode(other).items():
        counts[bucket] = counts.get(bucket, 0) + number
    return encode(counts).decode()


def summed(stored: Iterable[str]) -> dict[int, int]:
    found: dict[int, int] = {}
    for each in stored:
        for bucket, number in _decode(each).items():
            found[int(bucket)] = found.get(int(bucket), 0) + number
    return found


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The value in seconds that this share of all is not above (nearest rank); None: there are none."""
    rank = math.ceil(share * sum(counts.values()))
    if not counts or rank <= 0:
        return None
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return middle(bucket)
    raise AssertionError("a share is at most 1")
