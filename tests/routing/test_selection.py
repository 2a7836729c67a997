from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UpstreamBusy, UpstreamError
from routing.health import Health
from routing.selection import NOBODY, Balance, Balances, Member, Rotation, quality

WEIGHTS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def picks(rotation, count, eligible=None):
    return [rotation.pick(eligible or range(len(rotation.weights))) for _ in range(count)]


def test_it_gives_the_sequence_of_nginx():
    assert "".join("abc"[place] for place in picks(Rotation([5, 1, 1]), 14)) == "aabacaa" * 2


@given(WEIGHTS, st.integers(0, 40))
def test_it_is_exact_in_any_window_of_a_cycle(weights, start):
    rotation = Rotation(weights)
    picks(rotation, start)
    assert Counter(picks(rotation, sum(weights))) == dict(enumerate(weights))


@given(WEIGHTS)
def test_it_picks_the_best_score(weights):
    rotation = Rotation(weights)
    for _ in range(sum(weights)):
        scores = rotation.scores(range(len(weights)))
        assert rotation.pick(range(len(weights))) == scores.index(max(scores))


def test_it_gives_and_takes_nothing_while_one_is_left_out():
    rotation = Rotation([1, 1, 1])
    assert Counter(picks(rotation, 4, [0, 2])) == {0: 2, 2: 2}
    assert Counter(picks(rotation, 3)) == {0: 1, 1: 1, 2: 1}
    rotation = Rotation([5, 3, 1])
    assert Counter(picks(rotation, 60, [0, 1])) == pytest.approx({0: 37.5, 1: 22.5}, abs=1)
    assert Counter(picks(rotation, 60, [1, 2])) == pytest.approx({1: 45, 2: 15}, abs=1)


def test_it_shares_by_fractions_too():
    counts = Counter(picks(Rotation([0.5, 0.25]), 300))
    assert counts == {0: 200, 1: 100}


def members(*weights, **fields):
    return [Member(number, weight, Health(jitter=lambda: 0.0), **fields) for number, weight in enumerate(weights)]


def turns(balance, count, now=0.0, out=NOBODY):
    """The places of so many calls, each over before the next."""
    places = []
    for _ in range(count):
        selection = balance.select(out, now)
        balance.take(selection)
        health = balance.members[selection.chosen].health
        health.end(health.begin(now), None, now)
        places.append(selection.chosen)
    return places


def fail(member, times=3, now=0.0):
    for _ in range(times):
        member.health.end(member.health.begin(now), UpstreamError(), now)


def answer(member, seconds, now, times=1):
    for _ in range(times):
        call = member.health.begin(now - seconds)
        member.health.first_token(call, now)
        member.health.end(call, None, now)


def names(places):
    return "".join("abc"[place] for place in places)


def test_it_gives_the_sequence_of_nginx_with_equal_quality():
    balance = Balance(members(5, 1, 1))
    assert names(turns(balance, 14)) == "aabacaa" * 2
    for member in balance.members:
        answer(member, 0.2, 10.0)
    assert names(turns(balance, 14, 10.0)) == "aabacaa" * 2


@given(WEIGHTS, st.integers(0, 40), st.lists(st.floats(0.18, 0.22), min_size=6, max_size=6))
def test_it_is_exact_in_any_window_while_all_are_about_alike(weights, start, seconds):
    balance = Balance(members(*weights))
    for member, time in zip(balance.members, seconds, strict=False):
        answer(member, time, 1.0)
    turns(balance, start, 1.0)
    assert Counter(turns(balance, sum(weights), 1.0)) == dict(enumerate(weights))


def test_it_weighs_by_the_inverse_cube_of_what_is_unusual():
    assert quality(1.2, 1.0) == quality(1.0, 1.2) == 1
    assert quality(4.0, 1.0) == 1 / 64
    assert quality(1 / 1.5, 1.0) == 1.5**3
    assert quality(0.01, 1.0) == 4
    assert quality(1000.0, 1.0) == 0.001
    falling = [quality(1 + step / 100, 1.0) for step in range(200)]
    assert falling == sorted(falling, reverse=True)
    assert max(one - other for one, other in zip(falling, falling[1:], strict=False)) < 0.06


def test_it_gives_a_slow_or_erring_member_less():
    balance = Balance(members(1, 1, 1))
    for number, seconds in enumerate((0.8, 0.2, 0.2)):
        answer(balance.members[number], seconds, 10.0)
    assert names(turns(balance, 200, 10.0)).count("a") in (2, 3)
    balance = Balance(members(1, 1, 1))
    for member in balance.members:
        answer(member, 0.2, 10.0, times=9)
    fail(balance.members[0], 2, 10.0)
    assert 1 <= names(turns(balance, 400, 10.0)).count("a") <= 8


def test_of_two_the_slower_one_leaves_nearly_all_to_the_other():
    balance = Balance(members(1, 1))
    answer(balance.members[0], 2.0, 10.0)
    answer(balance.members[1], 0.2, 10.0)
    assert names(turns(balance, 100, 10.0)).count("a") <= 2


def test_it_gives_less_to_who_lets_a_call_wait():
    balance = Balance(members(1, 1, 1))
    for member in balance.members:
        answer(member, 0.2, 10.0)
    balance.members[0].health.begin(10.0)
    assert names(turns(balance, 30, 12.0)).count("a") <= 1


def test_it_passes_the_turn_of_the_busier_one_on():
    balance = Balance(members(1, 1))
    balance.members[0].health.begin(0.0)
    assert balance.select({}, 0.0).chosen == 0
    balance.members[0].health.begin(0.0)
    selection = balance.select({}, 0.0)
    assert (selection.chosen, selection.runner_up) == (1, 0)
    balance.take(selection)
    assert balance.select({}, 0.0).chosen == 1  # the turn was lost, not put off


def test_it_counts_load_by_weight():
    balance = Balance(members(5, 1))
    for _ in range(5):
        balance.members[0].health.begin(0.0)
    assert balance.select({}, 0.0).chosen == 0


def test_it_takes_out_no_more_than_half_a_pool():
    balance = Balance(members(1, 1, 1))
    fail(balance.members[0], now=0.0)
    assert names(turns(balance, 4, 0.5)) == "bcbc"
    fail(balance.members[1], now=0.5)
    selection = balance.select({}, 0.5)
    assert selection.removed == {1: "breaker_open"}
    fail(balance.members[2], now=1.0)
    assert balance.select({}, 1.0).removed == {2: "breaker_open"}


def test_a_pool_of_one_may_be_out_when_it_is_down_but_not_for_some_errors():
    down, erring = Balance(members(1)), Balance(members(1))
    fail(down.members[0])
    selection = down.select({}, 0.5)
    assert (selection.chosen, selection.removed, selection.wait) == (None, {0: "breaker_open"}, 1.5)
    for _ in range(8):
        answer(erring.members[0], 0.1, 0.0, times=2)
        fail(erring.members[0], 1)
    assert erring.members[0].health.breaker.is_open
    assert erring.select({}, 0.5).chosen == 0


def test_it_lets_one_probe_through_and_then_ramps_up():
    balance = Balance(members(1, 1))
    sick = balance.members[0]
    fail(sick)
    assert names(turns(balance, 3, 1.9)) == "bbb"
    probe = sick.health.begin(2.0)
    assert balance.select({}, 2.0).removed == {0: "probing"}
    sick.health.end(probe, None, 2.1)
    for now in (2.2, 2.3):
        answer(sick, 0.0, now)
    assert not sick.health.breaker.is_open
    shares = [names(turns(balance, 40, now)).count("a") for now in (2.6, 4.6, 6.6)]
    assert shares[0] < 6 < shares[1] < 17 < shares[2] == 20


def test_it_waits_for_who_is_paused_or_at_its_limit():
    balance = Balance(members(1, 1, limit=1))
    paused = balance.members[0].health
    paused.end(paused.begin(0.0), UpstreamBusy(retry_after=5), 0.0)
    balance.members[1].health.begin(0.0)
    selection = balance.select({}, 2.0)
    assert (selection.chosen, selection.wait) == (None, 1.0)
    assert selection.removed == {0: "rate_limited", 1: "max_concurrency"}
    assert balance.select({1: "tried"}, 2.0).wait == 3.0


def test_it_keeps_the_turn_of_a_pool_and_starts_a_changed_one_anew():
    balances = Balances()
    first = balances.of(members(5, 1))
    turns(first, 3)
    again = members(5, 1)
    assert balances.of(again) is first and first.members == tuple(again)
    assert names(turns(balances.of(members(5, 1, 1)), 7)) == "aabacaa"


def test_it_forgets_pools_when_there_are_too_many():
    balances = Balances()
    for number in range(10_000):
        balances.of([Member(number, 1, None)])
    assert len(balances._pools) <= 4096


def test_it_leaves_out_who_it_is_told_to_and_says_why():
    balance = Balance(members(1, 1, 1))
    out = {0: "tried", 2: "context_window", 7: "tried"}
    selection = balance.select(out, 0.0)
    assert (selection.chosen, selection.removed) == (1, {0: "tried", 2: "context_window"})
    assert balance.select(dict.fromkeys(range(3), "context_window"), 0.0).chosen is None
    assert names(turns(balance, 4, out={1: "context_window"})) == "acac"


def test_who_has_no_room_makes_the_pool_smaller_of_which_half_stays_in():
    balance = Balance(members(1, 1, 1, 1))
    for member in balance.members[2:]:
        fail(member, now=0.0)
    assert balance.select({}, 0.5).removed == {2: "breaker_open", 3: "breaker_open"}
    assert balance.select({0: "context_window", 1: "context_window"}, 0.5).chosen == 2
    assert balance.select({0: "tried", 1: "tried"}, 0.5).chosen is None
    alone = dict.fromkeys((0, 1, 2), "context_window")
    assert balance.select(alone, 0.5).chosen is None


@given(WEIGHTS, st.lists(st.integers(0, 5), max_size=40), st.integers(0, 40))
def test_staying_changes_no_turn(weights, stays, start):
    """Whoever is stayed with in between, the others' sequence is the same, and exact."""
    plain, mixed = Balance(members(*weights)), Balance(members(*weights))
    turns(plain, start)
    turns(mixed, start)
    expected = turns(plain, sum(weights))
    found = []
    for number in range(sum(weights)):
        for place in stays[number : number + 2]:
            selection = mixed.select({}, 0.0)
            mixed.stay(selection, place % len(weights))
            assert selection.chosen == place % len(weights)
            mixed.take(selection)
        found += turns(mixed, 1)
    assert found == expected
    assert Counter(found) == dict(enumerate(weights))


@given(WEIGHTS, st.data())
def test_narrowing_takes_turns_inside_and_leaves_the_others_theirs(weights, data):
    places = sorted(data.draw(st.sets(st.integers(0, len(weights) - 1), min_size=1)))
    balance = Balance(members(*weights))
    inside = Counter()
    for _ in range(sum(weights[place] for place in places)):
        selection = balance.select({}, 0.0)
        balance.narrow(selection, places, 0.0)
        assert selection.chosen in places
        balance.take(selection)
        inside[selection.chosen] += 1
    assert inside == {place: weights[place] for place in places}
    assert Counter(turns(balance, sum(weights))) == dict(enumerate(weights))


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8), st.data())
def test_the_first_and_the_runner_up_are_the_two_highest_scores(scores, data):
    eligible = sorted(data.draw(st.sets(st.integers(0, len(scores) - 1), min_size=1)))
    shown = [score if place in eligible else None for place, score in enumerate(scores)]
    chosen, runner_up, first = Balance(members(*scores))._in_turn(eligible, shown, 0.0)
    ranked = sorted(eligible, key=lambda place: (-scores[place], place))
    assert chosen == first == ranked[0]
    assert runner_up == (ranked[1] if len(ranked) > 1 else None)
