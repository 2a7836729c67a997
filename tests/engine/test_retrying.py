from engine.retrying import MAX_TRIES, RetryBudget, may_retry


def test_a_turn_asks_a_few_instances_at_most():
    assert may_retry(1) and may_retry(MAX_TRIES - 1) and not may_retry(MAX_TRIES)


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
