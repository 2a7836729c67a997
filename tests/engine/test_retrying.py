import pytest

from engine.errors import UpstreamBusy, UpstreamError, UpstreamRejected, UpstreamTimeout
from engine.retrying import RetryBudget, may_retry


@pytest.mark.parametrize("error", [UpstreamError(), UpstreamTimeout(), UpstreamBusy()])
def test_it_retries_a_failure_of_the_service_once(error):
    assert may_retry(error, 1) and not may_retry(error, 2)


@pytest.mark.parametrize("error", [UpstreamRejected(), ValueError()])
def test_it_retries_nothing_else(error):
    assert not may_retry(error, 1)


def test_a_fifth_of_the_turns_may_retry_once_the_reserve_is_spent():
    budget = RetryBudget()
    retries = 0
    for _ in range(1000):
        budget.deposit()
        if budget.take(in_flight=1):
            retries += 1
            budget.give_back()
    assert 200 <= retries <= 210


def test_quiet_times_put_by_no_more_than_the_reserve():
    budget = RetryBudget()
    for _ in range(1000):
        budget.deposit()
    taken = [budget.take(in_flight=1000) for _ in range(20)]
    assert taken == [True] * 10 + [False] * 10


def test_a_fifth_of_what_is_in_flight_may_be_retries_and_always_three():
    for in_flight, allowed in ((1, 3), (20, 4), (40, 8)):
        budget = RetryBudget()
        taken = [budget.take(in_flight) for _ in range(10)]
        assert taken == [True] * allowed + [False] * (10 - allowed)
        budget.give_back()
        assert budget.take(in_flight)
