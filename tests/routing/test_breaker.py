from routing.breaker import Breaker, Change


def breaker():
    return Breaker(jitter=lambda: 0.0)


def fail(one, now=0.0, times=3, began=None):
    change = None
    for _ in range(times):
        change = one.fail(one.begin(now), now if began is None else began, now, erring=False)
    return change


def test_it_opens_after_three_failures_in_a_row_and_not_before():
    one = breaker()
    assert fail(one, times=2) is None
    one.succeed(False, 0.0)
    assert fail(one, times=2) is None and not one.blocks(0.0)
    assert fail(one, times=1) == Change("opened", 2.0)
    assert one.blocks(1.9) and not one.blocks(2.0)


def test_it_lets_one_probe_through_at_a_time():
    one = breaker()
    fail(one)
    assert not one.begin(1.0)
    assert one.begin(2.0) and one.blocks(2.1) and not one.begin(2.1)
    one.abandon()
    assert one.begin(2.2)


def test_it_stays_open_longer_with_every_probe_that_fails_up_to_eight_seconds():
    one = breaker()
    fail(one)
    now, opened = 2.0, []
    for _ in range(5):
        change = fail(one, now, times=1)
        opened.append(change.seconds)
        now += change.seconds
    assert opened == [4, 8, 8, 8, 8]


def test_it_closes_after_three_good_probes_and_ramps_up_in_four_seconds():
    one = breaker()
    fail(one)
    assert one.share(2.0) == 0.1
    changes = [one.succeed(one.begin(now), now) for now in (2.0, 3.0, 4.0)]
    assert changes == [None, None, Change("closed")]
    assert [one.share(now) for now in (4.0, 6.0, 8.0, 99.0)] == [0.1, 0.5, 1.0, 1.0]


def test_it_goes_on_doubling_when_it_opens_again_soon_after():
    for later, seconds in ((5.0, 4.0), (20.0, 2.0)):
        one = breaker()
        fail(one)
        for _ in range(3):
            one.succeed(one.begin(2.0), 2.0)
        assert fail(one, 2.0 + later).seconds == seconds


def test_calls_from_before_say_nothing():
    one = breaker()
    fail(one)
    assert fail(one, 1.0, times=5) is None and not one.blocks(2.0)
    one.succeed(False, 2.0)
    assert one.is_open
    for _ in range(3):
        one.succeed(one.begin(2.0), 2.0)
    assert fail(one, 3.0, times=5, began=1.0) is None and not one.is_open


def test_it_follows_another_worker():
    one = breaker()
    one.open(Change("opened", 4.0, level=1), 10.0)
    one.open(Change("opened", 2.0), 10.0)
    assert one.blocks(13.9) and one.level == 1
    one.close(12.0)
    assert not one.blocks(12.0) and one.share(14.0) == 0.5


def test_it_spreads_the_probes_of_many_workers():
    early, late = Breaker(jitter=lambda: 0.0), Breaker(jitter=lambda: 1.0)
    for one in (early, late):
        one.open(Change("opened", 2.0), 0.0)
    assert not early.blocks(2.0) and late.blocks(2.3) and not late.blocks(2.4)


def check(one, now, good):
    probe = one.begin(now)
    return one.checked(probe, now) if good else one.check_failed(probe, now, now)


def test_three_failed_checks_open_it_and_three_good_ones_close_it():
    one = breaker()
    assert [check(one, now, False) for now in (0.0, 1.0, 2.0)] == [None, None, Change("opened", 2.0)]
    assert check(one, 3.0, True) is None and one.is_open  # its time is not over: that says nothing
    assert [check(one, now, True) for now in (4.0, 5.0, 6.0)] == [None, None, Change("closed")]


def test_a_failed_check_counts_like_a_failed_call():
    one = breaker()
    fail(one, times=2)
    assert check(one, 0.0, False) == Change("opened", 2.0)
    assert check(one, 2.0, False) == Change("opened", 4.0, level=1)


def test_a_good_check_makes_up_for_failed_checks_and_not_for_failed_calls():
    one = breaker()
    for now in range(0, 60, 3):
        check(one, now, False)
        check(one, now + 1, False)
        check(one, now + 2, True)
    assert not one.is_open
    fail(one, 60.0, times=2)
    for now in (61.0, 62.0):
        check(one, now, True)
    assert fail(one, 63.0, times=1) == Change("opened", 2.0)


def test_a_good_call_makes_up_for_both():
    one = breaker()
    fail(one, times=1)
    check(one, 0.0, False)
    one.succeed(False, 1.0)
    check(one, 2.0, True)
    assert fail(one, 3.0, times=2) is None
    assert check(one, 4.0, True) is None
    assert fail(one, 5.0, times=1) == Change("opened", 2.0)
