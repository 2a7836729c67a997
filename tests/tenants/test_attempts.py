from concurrent.futures import ThreadPoolExecutor

import pytest

from tenants.attempts import Attempts, CannotCount


def test_it_allows_so_many_and_then_says_how_long_to_wait(valkey_url):
    attempts = Attempts("test", 2, 60)
    assert [attempts.take("a") for _ in range(2)] == [(0, False)] * 2
    first, second = attempts.take("a"), attempts.take("a")
    assert 58 <= first.wait <= 60 and first.first and second.wait and not second.first
    assert attempts.take("b").wait == 0
    attempts.forget("a")
    assert attempts.take("a").wait == 0


def test_what_is_given_back_does_not_count(valkey_url):
    attempts = Attempts("test", 2, 60)
    for _ in range(10):
        assert attempts.take("a").wait == 0
        attempts.give_back("a")
    attempts.give_back("never taken")


def test_many_at_the_same_moment_are_no_way_around(valkey_url):
    attempts = Attempts("test", 5, 60)
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda _: attempts.take("a"), range(60)))
    assert sum(not one.wait for one in taken) == 5
    assert sum(one.first for one in taken) == 1


@pytest.mark.parametrize("subject", ["", "\x00", "\ud800", "a" * 100_000, "a b\r\nSET x 1"])
def test_any_text_can_be_a_subject(valkey_url, subject):
    assert Attempts("test", 1, 60).take(subject).wait == 0


def test_it_says_when_it_cannot_count(settings):
    settings.CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:9/0"}}
    with pytest.raises(CannotCount):
        Attempts("test", 1, 60).take("a")
