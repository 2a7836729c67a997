"""A percentile out of counts is off by 5 % at most, and counts can be added."""

import math
import random

import pytest

from compliance.usage.buckets import LAST, bucket_of, encode, merged, middle, percentile, summed


def counted(values):
    counts = {}
    for value in values:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    return counts


@pytest.mark.parametrize("seconds", [0.0011, 0.01, 0.0999, 1.0, 7.7, 59.9, 3600.0])
def test_it_knows_a_value_to_five_percent(seconds):
    assert abs(middle(bucket_of(seconds)) / seconds - 1) < 0.05


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, -math.inf])
def test_it_puts_what_takes_no_time_into_the_first(seconds):
    assert bucket_of(seconds) == 0


def test_it_puts_everything_beyond_a_day_into_the_last():
    assert bucket_of(math.inf) == bucket_of(1e300) == LAST


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99, 1.0])
def test_it_finds_percentiles(share):
    chance = random.Random(7)
    values = sorted(chance.lognormvariate(0, 1.5) for _ in range(5000))
    true = values[math.ceil(share * len(values)) - 1]
    assert abs(percentile(counted(values), share) / true - 1) < 0.051


def test_it_finds_none_where_nothing_was_counted():
    assert percentile({}, 0.5) is None


def test_it_adds_what_is_stored():
    one, other = encode({"3": 2, "10": 1}).decode(), encode({"10": 5}).decode()
    assert summed([merged(one, other)]) == summed([one, other]) == {3: 2, 10: 6}


def test_a_whole_has_the_percentiles_of_its_parts_together():
    chance = random.Random(8)
    parts = [[chance.expovariate(1) for _ in range(300)] for _ in range(24)]
    stored = [encode({str(key): n for key, n in counted(part).items()}).decode() for part in parts]
    whole = counted([value for part in parts for value in part])
    assert summed(stored) == whole
