import asyncio

import pytest

from engine.errors import UpstreamBusy, UpstreamError, UpstreamRejected, UpstreamTimeout
from routing.health import Health


def call(health, error=None, now=0.0):
    health.begin()
    health.end(error, now)


def test_it_counts_calls_in_flight():
    health = Health()
    health.begin()
    health.begin()
    assert health.in_flight == 2
    health.end(None, 1.0)
    assert health.in_flight == 1


def test_it_cools_down_after_three_failures_in_a_row_and_longer_each_time():
    health = Health()
    call(health, UpstreamError())
    call(health, UpstreamTimeout())
    assert not health.is_cooling(0.0)
    call(health, UpstreamError())
    assert health.is_cooling(1.9) and not health.is_cooling(2.0)
    call(health, UpstreamError(), now=2.0)
    assert health.is_cooling(5.9) and not health.is_cooling(6.0)
    for _ in range(2000):
        call(health, UpstreamError(), now=6.0)
    assert health.is_cooling(35.9) and not health.is_cooling(36.0)


def test_it_is_back_after_one_good_answer():
    health = Health()
    for _ in range(5):
        call(health, UpstreamError())
    call(health)
    assert not health.is_cooling(0.1)
    call(health, UpstreamError())
    assert not health.is_cooling(0.1)


def test_it_pauses_a_busy_service_without_blame():
    health = Health()
    for _ in range(5):
        call(health, UpstreamBusy(retry_after=7))
    assert health.paused_for(0.0) == 7
    assert health.paused_for(7.0) == 0
    assert not health.is_cooling(0.0)
    assert health.error_rate is None
    call(health, UpstreamBusy(retry_after=86_400))
    assert health.paused_for(0.0) == 60


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit(), UpstreamRejected(), RuntimeError()])
def test_it_learns_nothing_from_what_is_not_its_fault(error):
    health = Health()
    for _ in range(5):
        call(health, error)
    assert health.error_rate is None and not health.is_cooling(0.0) and health.in_flight == 0


def test_it_averages_what_happens():
    health = Health()
    health.first_token(1.0)
    health.first_token(2.0)
    assert health.ttft == pytest.approx(1.1)
    call(health, UpstreamError())
    call(health)
    assert health.error_rate == pytest.approx(0.9)
