from bisect import bisect_left

import pytest

from access.metrics import families, series
from access.metrics.series import Durations

SECONDS = [0.0, 0.004, 0.2, 0.2, 3.0, 1e9, families.TURN_SECONDS.bounds[0]]


@pytest.mark.parametrize("times", [1, series.TOGETHER // len(SECONDS), series.TOGETHER])
def test_what_is_counted_together_is_what_would_be_counted_one_by_one(times):
    durations = Durations(families.TURN_SECONDS)
    expected = [0.0] * (len(families.TURN_SECONDS.bounds) + 2)
    for seconds in SECONDS * times:
        durations.observe("sse", seconds)
        expected[bisect_left(families.TURN_SECONDS.bounds, seconds)] += 1
        expected[-1] += seconds
    (found,) = durations.values.values()
    assert found[:-1] == expected[:-1]
    assert found[-1] == pytest.approx(expected[-1])


def test_who_looks_sees_all_that_was_observed_before():
    durations = Durations(families.TURN_SECONDS)
    for count in range(1, 4):
        durations.observe("sse", 0.2)
        durations.observe("json", 0.2)
        assert [sum(each[:-1]) for each in durations.values.values()] == [count, count]


def test_nothing_stays_of_a_label_that_does_not_come_again():
    durations = Durations(families.TURN_SECONDS)
    for number in range(100):
        durations.observe(str(number), 0.2)
        durations.values.clear()
    assert not durations._fresh


def test_not_many_wait_to_be_counted():
    durations = Durations(families.TURN_SECONDS)
    for _ in range(3 * series.TOGETHER):
        durations.observe("sse", 0.2)
    assert len(durations._fresh.get("sse", ())) < series.TOGETHER
