import asyncio

import pytest

from engine.errors import NotSupported, UpstreamBusy, UpstreamError, UpstreamRejected, UpstreamTimeout
from routing.breaker import Change
from routing.health import Classes, Health, class_of

SHORT, LONG, WHOLE = class_of(100, True), class_of(10_000, True), class_of(100, False)


def healthy(classes=None):
    return Health(classes, jitter=lambda: 0.0)


def call(health, error=None, now=0.0):
    return health.end(health.begin(now), error, now)


def answer(health, seconds, now, kind=SHORT):
    begun = health.begin(now - seconds, kind)
    health.first_token(begun, now)
    health.end(begun, None, now)


def test_it_counts_calls_in_flight_and_each_end_once():
    health = healthy()
    first, _ = health.begin(0.0), health.begin(0.0)
    assert health.in_flight == 2
    health.end(first, None, 1.0)
    health.end(first, UpstreamError(), 1.0)
    assert health.in_flight == 1 and health.failures == 0


def test_it_knows_the_oldest_call_without_an_answer():
    health = healthy()
    first, second, third = (health.begin(now) for now in (1.0, 2.0, 3.0))
    assert health.oldest(4.0) == 3.0
    health.first_token(first, 4.0)
    assert health.oldest(4.0) == 2.0
    health.end(second, asyncio.CancelledError(), 4.0)
    assert health.oldest(4.0) == 1.0
    health.end(third, None, 4.0)
    assert health.oldest(4.0) == 0.0


def test_it_pauses_a_busy_service_without_blame():
    health = healthy()
    for _ in range(5):
        assert call(health, UpstreamBusy(retry_after=7)) == Change("paused", 7.0)
    assert health.paused_until == 7
    assert not health.breaker.is_open
    assert health.error_rate(0.0) == 0
    call(health, UpstreamBusy(retry_after=86_400))
    assert health.paused_until == 60


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit(), UpstreamRejected(), RuntimeError()])
def test_it_learns_nothing_from_what_is_not_its_fault(error):
    health = healthy()
    for _ in range(20):
        assert call(health, error) is None
    assert health.error_rate(0.0) == 0 and not health.breaker.is_open and health.in_flight == 0


@pytest.mark.parametrize("error", [UpstreamError(), UpstreamTimeout()])
def test_it_opens_its_breaker_after_failures_in_a_row(error):
    health = healthy()
    changes = [call(health, error) for _ in range(3)]
    assert changes == [None, None, Change("opened", 2.0)]


def test_it_opens_its_breaker_for_too_many_errors():
    health = healthy()
    changes = [call(health, UpstreamError() if number % 3 == 2 else None) for number in range(12)]
    assert changes.index(Change("opened", 2.0, cause="erring")) == 11
    health = healthy()
    assert [call(health, UpstreamError() if number % 6 == 5 else None) for number in range(60)] == [None] * 60


def test_its_error_rate_fades():
    health = healthy()
    for number in range(100):
        call(health, UpstreamError() if number % 10 == 9 else None, now=number / 100)
    assert health.error_rate(1.0) == pytest.approx(0.1, abs=0.01)
    assert health.error_rate(30.0) < 0.02


def test_it_averages_the_time_to_the_first_token_over_some_seconds():
    health = healthy()
    for number in range(200):
        answer(health, 1.0 if number < 100 else 2.0, now=10 + number / 10)
    assert health.ttft == pytest.approx(2.0, abs=0.02)
    assert (health.answers, health.latest) == (200, pytest.approx(2.0))


def test_a_single_late_answer_counts_for_no_more_than_half():
    health = healthy()
    answer(health, 1.0, now=10.0)
    answer(health, 3.0, now=1000.0)
    assert health.ttft == 2.0


def test_it_drifts_to_what_is_usual_without_news():
    health = healthy()
    health.usual = 0.2
    assert health.expected(0.0) == 0.2
    answer(health, 2.0, now=10.0)
    assert health.expected(11.0) == 2.0
    assert 0.4 < health.expected(22.0) < 0.8
    assert health.expected(100.0) == pytest.approx(0.2, abs=0.01)
    health.begin(22.0)
    assert health.expected(23.0) == 2.0  # one call at a time is enough to find out


def test_it_drifts_at_another_pace_in_every_worker():
    expected = []
    for jitter in (0.0, 0.5, 1.0):
        health = Health(jitter=lambda jitter=jitter: jitter)
        answer(health, 2.0, now=10.0)
        expected.append(health.expected(20.0))
    assert expected == sorted(expected) and expected[2] > 1.5 * expected[0]


def test_it_tells_how_a_slow_instance_answers_and_believes_what_others_tell():
    one, other = healthy(), healthy()
    for health, usual in ((one, 0.2), (other, 0.1)):  # each worker has a measure of its own
        health.usual = usual
        answer(health, 10 * usual, now=10.0)
    bad, good = one.begin(19.0), one.begin(25.0)
    assert one.first_token(bad, 21.0) == Change("answered", 5.0, ratio=1.0)
    other.adopt(Change("answered", 4.9, ratio=1.0), 21.1)
    assert other.expected(23.0) == pytest.approx(1.0)  # no try of its own is due
    news = one.first_token(good, 25.2)
    assert news == Change("answered", 5.0, ratio=0.1)
    other.adopt(news, 25.3)
    assert 0.0999 < other.ttft < 0.3
    other.adopt(news, 25.3)  # it is no longer slow: from now on its own answers count
    assert 0.0999 < other.ttft < 0.3


def test_it_tells_nothing_of_what_is_as_usual_or_hardly_late():
    health = healthy()
    for number in range(5):
        health.usual = 0.2 if number else 0.0
        begun = health.begin(10.0 * number)
        assert health.first_token(begun, 10.0 * number + 0.3) is None
    answer(health, 9.0, now=70.0)
    soon = health.begin(70.5)
    assert health.first_token(soon, 70.9) is None  # the answer before it is not a second old


def test_it_goes_by_what_it_sees_while_it_sees_no_slowness():
    health = healthy()
    health.usual = 0.2
    answer(health, 0.2, now=10.0)
    health.adopt(Change("answered", 5.0, ratio=10.0), 10.1)
    assert health.ttft == pytest.approx(0.2)


def test_it_classes_calls_by_prompt_and_by_what_the_first_token_is():
    assert [class_of(tokens, True) for tokens in (0, 255, 256, 1024, 4096, 16384, 10**6)] == [0, 0, 1, 2, 3, 4, 4]
    assert len({class_of(tokens, stream) for tokens in (1, 300, 2000, 5000, 20000) for stream in (True, False)}) == 10


def test_it_learns_how_much_longer_long_prompts_take():
    classes = Classes()
    fast, slow = healthy(classes), healthy(classes)
    for number in range(300):
        now = number / 10
        answer(fast, 0.1, now)
        answer(slow, 0.4, now, kind=SHORT)
        answer(fast, 0.5, now, kind=LONG)
        answer(slow, 2.0, now, kind=LONG)
    for number in range(100):  # from now on one has the long prompts and whole answers alone
        now = 30 + number / 10
        answer(fast, 0.5, now, kind=LONG)
        answer(slow, 0.4, now, kind=SHORT)
    assert fast.ttft == pytest.approx(0.1, rel=0.2)
    assert slow.ttft == pytest.approx(0.4, rel=0.2)
    begun = fast.begin(50.0, LONG)
    assert fast.oldest(51.0) == pytest.approx(0.2, rel=0.2)
    fast.end(begun, None, 51.0)


def test_it_takes_no_time_for_what_it_cannot_compare():
    classes = Classes()
    answer(healthy(classes), 0.1, 1.0)
    new = healthy(classes)
    answer(new, 9.0, 2.0, kind=WHOLE)
    assert new.ttft is None
    answer(new, 0.1, 3.0)
    assert new.ttft == pytest.approx(0.1)


def test_it_adopts_what_another_worker_found_out():
    health = healthy()
    health.adopt(Change("opened", 4.0, level=1), 10.0)
    assert health.breaker.blocks(13.9) and not health.breaker.blocks(14.0)
    health.adopt(Change("closed"), 12.0)
    assert not health.breaker.is_open and health.breaker.share(12.0) == 0.1
    health.adopt(Change("paused", 5.0), 12.0)
    assert health.paused_until == 17.0


def test_a_check_counts_for_the_breaker_alone():
    health = healthy()
    health.end_check(health.begin_check(1.0), None, 2.0)
    health.end_check(health.begin_check(1.0), UpstreamError(), 2.0)
    assert (health.calls, health.answers, health.failures, health.in_flight, health.ttft) == (0, 0, 0, 0, None)
    assert health.oldest(9.0) == health.error_rate(2.0) == 0
    assert health.breaker.failures == 1
    check = health.begin_check(3.0)
    assert health.end_check(check, UpstreamBusy(retry_after=5), 3.0) == Change("paused", 5.0)
    assert health.end_check(check, UpstreamError(), 3.0) is None
    assert (health.paused_until, health.breaker.failures) == (8.0, 1)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), NotSupported(), ValueError()])
def test_a_check_that_says_nothing_gives_the_probe_s_place_back(error):
    health = healthy()
    for now in (1.0, 2.0, 3.0):
        health.end_check(health.begin_check(now), UpstreamError(), now)
    check = health.begin_check(6.0)
    assert health.breaker.probing
    assert health.end_check(check, error, 6.5) is None
    assert not health.breaker.probing and not health.breaker.blocks(6.5)
