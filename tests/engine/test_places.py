"""Places that tenants share: who may take one, what is kept back, what an estimate says."""

import pytest

from engine.places import LATELY, Places


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def filled(made, owner, weight=1):
    """Takes all that this tenant may; how many."""
    count = 0
    while made.may(owner):
        made.take(owner, weight)
        count += 1
    return count


def test_a_tenant_alone_takes_all():
    made = Places(8)
    assert filled(made, 1) == 8 and made.running == 8 and not made.shared


def test_the_last_places_are_kept_for_those_who_have_few():
    made = Places(8)
    made.take(2)
    made.leave(2)
    assert filled(made, 1) == 7
    assert made.may(2) and not made.may(1)
    made.take(2)
    assert not made.may(2)


def test_nothing_is_kept_where_one_tenant_owns_it_or_few_are():
    for made in (Places(8, alone=True), Places(3)):
        made.take(2)
        made.leave(2)
        assert filled(made, 1) == made.limit


def test_a_share_goes_by_weight():
    made = Places(16)
    made.take(2, 3)
    assert filled(made, 1) == 13  # 14 without the two that are kept, and one is taken
    assert filled(made, 2, 3) == 2
    assert made.standing().held == {1: 13, 2: 3}


def test_who_was_not_there_for_long_counts_no_more():
    clock = Clock()
    made = Places(8, monotonic=clock)
    made.take(2)
    made.leave(2)
    made.take(1)
    assert made.shared and made.reserved == 1
    clock.now += LATELY + 1
    made.take(1)
    assert not made.shared and filled(made, 1) == 6


def test_who_holds_a_place_for_long_still_counts():
    clock = Clock()
    made = Places(8, monotonic=clock)
    made.take(2)
    clock.now += 10 * LATELY
    made.take(1)
    assert made.shared


def test_its_books_hold_however_often_it_is_used():
    made = Places(4)
    for _ in range(100):
        made.take(1)
        made.take(2)
        made.leave(1, 300, 0.5)
        made.leave(2)
    assert (made.running, made.promised, made.standing().held) == (0, 0, {})


def test_it_estimates_by_what_calls_took():
    made = Places(2)
    assert made.estimate(1, 1, 300) == 0
    for _ in range(3):
        made.take(1)
        made.leave(1, cost=300, seconds=4.0)
    assert made.estimate(1, 1, 300) == pytest.approx(2.0)
    assert made.estimate(1, 1, 600) == pytest.approx(4.0)


def test_somebody_else_may_count():
    running = 3
    made = Places(4, running=lambda: running)
    assert made.may(1)
    running = 4
    assert not made.may(1) and made.standing().running == 4
