import json
from collections import Counter

import pytest

from engine.errors import ContextTooLong, ModelNotFound, Overloaded, UpstreamBusy
from engine.types import Answerer, ChatRequest, Message
from tests.cast import ALICE, CHARLIE
from tests.routing.fleet import Fleet, entry, rule

LONG = "word " * 4000  # 5,004 tokens with its message's own


def removed(candidates):
    return {each["id"]: each["removed"] for each in candidates}


# Fallbacks ------------------------------------------------------------------------------------------------------------


def chain_fleet():
    entries = [entry(1, "a"), entry(2, "a"), entry(3, "a"), entry(4, "b"), entry(5, "b"), entry(6, "c")]
    return Fleet(entries, [rule(1, "a", fallbacks=("b", "gone", "c"), name="first a")])


def test_it_turns_to_the_fallbacks_in_their_order_when_nobody_is_left():
    fleet = chain_fleet()
    assert "fallback" not in fleet.ask().decision and "passed_over" not in fleet.ask().decision
    for number in (1, 2, 3):
        fleet.health(number).paused_until = fleet.clock.now + 9
    route = fleet.ask()
    assert (route.model, route.rules, route.decision["fallback"]) == ("b", ["first a"], {"name": "b", "place": 1})
    for number in (4, 5):
        fleet.health(number).paused_until = fleet.clock.now + 9
    decision = fleet.ask().decision
    assert (decision["model"], decision["fallback"]) == ("c", {"name": "c", "place": 2})
    assert [(step["models"], step["why"]) for step in decision["passed_over"]] == [
        (["a"], "nobody_left"),
        (["b"], "nobody_left"),
    ]
    assert removed(decision["passed_over"][0]["candidates"]) == dict.fromkeys((1, 2, 3), "rate_limited")
    assert set(decision["passed_over"][0]["candidates"][0]) == set(decision["candidates"][0])
    json.dumps(decision)


def test_it_tries_two_of_a_pool_and_then_its_fallbacks():
    fleet = chain_fleet()
    assert fleet.ask(exclude=[1]).instance.id in (2, 3)
    decision = fleet.ask(exclude=[1, 3]).decision
    assert decision["model"] == "b"
    assert decision["passed_over"][0]["why"] == "two_tried"
    assert removed(decision["passed_over"][0]["candidates"]) == {1: "tried", 2: None, 3: "tried"}
    assert fleet.ask(exclude=[1, 3, 4]).instance.id == 5
    assert fleet.ask(exclude=[1, 3, 4, 5]).instance.id == 6
    with pytest.raises(Overloaded):
        fleet.ask(exclude=[1, 3, 4, 5, 6])


def test_it_says_when_the_first_of_the_chain_may_be_back():
    fleet = Fleet(
        [entry(1, "a"), entry(2, "b"), entry(3, "c", context_window=10)], [rule(1, "a", fallbacks=("b", "c"))]
    )
    for name, seconds in (("a", 9), ("b", 5)):
        fleet.ask(model=name).outcome(UpstreamBusy(retry_after=seconds))
    with pytest.raises(Overloaded) as caught:
        fleet.ask(LONG)
    assert caught.value.retry_after == 5


def test_it_joins_the_fallbacks_of_all_rules_that_matched():
    fleet = Fleet(
        [entry(number, name) for number, name in enumerate("abcde", 1)],
        [
            rule(1, "a", fallbacks=("c", "d")),
            rule(2, "b", fallbacks=("e", "c")),
            rule(3, "b", "stream", fallbacks=("a",)),
        ],
    )
    names = []
    tried = [1, 2]
    for _ in range(3):
        route = fleet.ask(exclude=tried)
        names.append(route.model)
        tried.append(route.instance.id)
    assert names == ["c", "d", "e"]


def test_it_knows_no_fallback_the_tenant_may_not_use():
    entries = [entry(1, "a"), entry(2, "b", tenants=frozenset({2})), entry(3, "c"), entry(4, "d", task="embeddings")]
    fleet = Fleet(entries, [rule(1, "a", fallbacks=("b", "d", "c"))])
    assert fleet.ask(exclude=[1]).decision["fallback"] == {"name": "c", "place": 1}
    assert fleet.ask(exclude=[1], by=CHARLIE).decision["fallback"] == {"name": "b", "place": 1}


def test_it_begins_with_the_fallbacks_where_the_rule_s_own_model_is_not_to_be_had():
    entries = [entry(1, "other"), entry(2, "b/*"), entry(3, "c")]
    fleet = Fleet(entries, [rule(1, "gone", fallbacks=("missing", "b/1", "c"), name="main")])
    route = fleet.ask()
    assert (route.model, route.upstream_model, route.rules) == ("b/1", "b/1", ["main"])
    assert route.decision["fallback"] == {"name": "b/1", "place": 1} and "passed_over" not in route.decision
    assert fleet.ask(exclude=[2]).decision["fallback"] == {"name": "c", "place": 2}
    assert Fleet(entries, [rule(1, "gone", fallbacks=("missing",))]).ask().rules == []


def test_it_asks_for_a_fallback_behind_a_wildcard_by_its_name():
    fleet = Fleet([entry(1, "a"), entry(2, "openai/*")], [rule(1, "a", fallbacks=("openai/gpt-4",))])
    route = fleet.ask(exclude=[1])
    assert (route.model, route.upstream_model, route.instance.name) == ("openai/gpt-4", "openai/gpt-4", "openai/*")
    assert route.decision["candidates"][0]["model"] == "openai/gpt-4"


def test_it_never_makes_another_model_of_one_that_was_asked_for():
    fleet = chain_fleet()
    with pytest.raises(Overloaded):
        fleet.ask(model="a", exclude=[1, 2, 3])
    small = Fleet([entry(1, "a", context_window=100), entry(2, "b")])
    with pytest.raises(ContextTooLong):
        small.ask(LONG, model="a")
    with pytest.raises(ContextTooLong):
        small.ask(LONG, instance_id=1)
    ruled = Fleet([entry(1, "a"), entry(2, "b")], [rule(1, "a", "model == 'a'", fallbacks=("b",))])
    assert ruled.ask(model="a", exclude=[1]).model == "b"


# Context windows ------------------------------------------------------------------------------------------------------


def test_it_leaves_out_who_has_no_room():
    fleet = Fleet([entry(1, "a", context_window=4000), entry(2, "a", context_window=8000), entry(3, "a")])
    assert Counter(fleet.ask(LONG, model="a").instance.id for _ in range(4)) == {2: 2, 3: 2}
    assert removed(fleet.ask(LONG, model="a").decision["candidates"]) == {1: "context_window", 2: None, 3: None}
    assert removed(fleet.ask("Hi", model="a").decision["candidates"]) == {1: None, 2: None, 3: None}


def test_it_asks_for_what_cannot_be_trimmed_only_where_not_all_of_it_has_room():
    fleet = Fleet([entry(1, "a", context_window=4000), entry(2, "b", context_window=8000)])
    asked = []

    def needed():
        asked.append(1)
        return 3000

    assert fleet.ask("Hi", needed=needed).instance.id == 1
    assert fleet.ask(LONG, model="b", needed=needed).instance.id == 2
    assert asked == []
    assert removed(fleet.ask(LONG, needed=needed).decision["candidates"]) == {1: None, 2: None}
    assert asked == [1]


def test_it_measures_each_input_for_embeddings_by_itself():
    fleet = Fleet([entry(1, "v", task="embeddings", context_window=500)])

    def embed(*texts):
        inputs = [Message("user", text) for text in texts]
        request = ChatRequest(messages=inputs, task="embeddings")
        return fleet.router.choose(ALICE.principal, request, inputs, {})

    assert embed(*["word " * 300] * 10).prompt_tokens > 500
    with pytest.raises(ContextTooLong):
        embed("Hi", LONG)


def test_it_takes_a_window_that_proved_too_small_for_too_small():
    fleet = Fleet(
        [
            entry(1, "a", upstream_model="m", context_window=8000),
            entry(2, "a", upstream_model="m", context_window=8000),
            entry(3, "a", upstream_model="m", context_window=9000),
            entry(4, "a", upstream_model="n", context_window=8000),
            entry(5, "a", upstream_model="m"),
        ]
    )
    decision = fleet.ask(model="a", outgrown=[1]).decision
    assert removed(decision["candidates"]) == {1: "context_window", 2: "context_window", 3: None, 4: None, 5: None}
    decision = fleet.ask(model="a", outgrown=[5]).decision
    assert removed(decision["candidates"]) == {
        1: "context_window", 2: "context_window", 3: "context_window", 4: None, 5: "context_window"
    }  # fmt: skip


def wide_fleet(rules):
    windows = {1: 1000, 2: 2000, 3: 64_000, 4: 16_000, 5: 16_000, 6: None}
    entries = [entry(number, f"m{number}", context_window=window) for number, window in windows.items()]
    return Fleet([*entries, entry(7, "theirs", context_window=5100, tenant_id=2)], rules)


def test_it_gives_who_asks_for_no_model_the_next_larger_window():
    fleet = wide_fleet([rule(1, "m1", fallbacks=("m2",))])
    decisions = [fleet.ask(LONG).decision for _ in range(4)]
    assert Counter(decision["model"] for decision in decisions) == {"m4": 2, "m5": 2}
    assert decisions[0]["fallback"] == {"context_window": 16_000}
    assert [removed(step["candidates"]) for step in decisions[0]["passed_over"]] == [
        {1: "context_window"},
        {2: "context_window"},
    ]
    assert fleet.ask(LONG, by=CHARLIE).model == "theirs"
    fleet.health(4).paused_until = fleet.health(5).paused_until = fleet.clock.now + 5
    assert fleet.ask(LONG).decision["fallback"] == {"context_window": 64_000}
    assert fleet.ask(LONG, exclude=[3]).decision["fallback"] == {"context_window": None}
    with pytest.raises(Overloaded) as caught:
        fleet.ask(LONG, exclude=[3, 6])
    assert caught.value.retry_after == 5


def test_it_takes_a_larger_window_after_one_that_proved_too_small():
    fleet = wide_fleet([rule(1, "m4")])
    assert fleet.ask("Hi", outgrown=[4]).decision["fallback"] == {"context_window": 64_000}
    assert fleet.ask("Hi", outgrown=[4, 3]).decision["fallback"] == {"context_window": None}


def test_it_waits_for_who_has_room_instead_of_taking_a_larger_one():
    fleet = wide_fleet([rule(1, "m4"), rule(2, "m1")])
    fleet.health(4).paused_until = fleet.clock.now + 5
    with pytest.raises(Overloaded) as caught:
        fleet.ask(LONG)
    assert caught.value.retry_after == 5


def test_it_says_that_there_is_room_nowhere():
    fleet = Fleet([entry(1, "a", context_window=100), entry(2, "b", context_window=200)], [rule(1, "a")])
    for fields in ({}, {"model": "b"}, {"needed": lambda: 300}):
        with pytest.raises(ContextTooLong):
            fleet.ask(LONG, **fields)
    with pytest.raises(ContextTooLong):
        fleet.ask("Hi", outgrown=[1, 2])
    with pytest.raises(ModelNotFound):
        fleet.ask(LONG, model="c")


def test_who_has_no_room_is_no_part_of_the_half_that_stays_in():
    entries = [*(entry(number, "a", context_window=100) for number in (1, 2)), entry(3, "a"), entry(4, "a")]
    fleet = Fleet(entries)
    fleet.fail(3)
    fleet.fail(4)
    assert removed(fleet.ask(LONG, model="a").decision["candidates"])[3] is None


# Sessions -------------------------------------------------------------------------------------------------------------


def session_fleet():
    return Fleet(
        [entry(1, "a"), entry(2, "a"), entry(3, "a"), entry(4, "b")],
        [rule(1, "a", weight=60), rule(2, "b", weight=40), rule(3, "b", "has_tools", priority=5)],
    )


def answer_after(fleet, seconds):
    """One answer of each instance, by its number."""
    for number, wait in seconds.items():
        call = fleet.health(number).begin(fleet.clock.now - wait)
        fleet.health(number).first_token(call, fleet.clock.now)
        fleet.health(number).end(call, None, fleet.clock.now)


def test_a_session_stays_with_its_instance_and_takes_nobody_s_turn():
    fleet, other = session_fleet(), session_fleet()
    seen = []
    for _ in range(20):
        kept = fleet.ask(answerer=Answerer("a", 2))
        assert kept.instance.id == 2 and kept.decision["session"] == {"model": "a", "kept": "instance"}
        kept.outcome(None)
        for each in (fleet, other):
            route = each.ask()
            assert "session" not in route.decision
            route.outcome(None)
            seen.append(route.instance.id)
    assert seen[::2] == seen[1::2]


def test_the_runner_up_of_a_kept_choice_is_who_was_in_turn():
    fleet = session_fleet()
    route = fleet.ask(answerer=Answerer("a", 2))
    assert (route.instance.id, route.decision["runner_up"], fleet.ask().model) == (2, "b", "b")
    assert fleet.ask(answerer=Answerer("b", 4)).decision["runner_up"] == "a"


@pytest.mark.parametrize("what", ["open", "paused", "slow", "gone"])
def test_a_session_stays_with_its_model_where_its_instance_is_not_well(what):
    fleet = session_fleet()
    answerer = Answerer("a", 9 if what == "gone" else 2)
    if what == "open":
        fleet.fail(2)
    elif what == "paused":
        fleet.health(2).paused_until = fleet.clock.now + 9
    elif what == "slow":
        answer_after(fleet, {1: 0.2, 2: 0.4, 3: 0.2, 4: 0.2})
    found = []
    for _ in range(12):
        route = fleet.ask(answerer=answerer)
        route.outcome(None)
        assert route.decision["session"] == {"model": "a", "kept": "model"}
        found.append(route.instance.id)
    assert Counter(found) == ({1: 6, 3: 6} if what != "gone" else {1: 4, 2: 4, 3: 4})


def test_a_retry_goes_by_turns_and_not_back_to_the_model_that_just_failed():
    """Two of the five are the session's model and both are down: one call may fail, not both that a turn has."""
    entries = [entry(1, "a"), entry(2, "a"), *(entry(number, "b", weight=9) for number in (3, 4, 5))]
    for answerer in (Answerer("a", 2), Answerer("a", 9)):
        for tried in (1, 2):
            decision = Fleet(entries).ask(answerer=answerer, exclude=[tried]).decision
            assert decision["session"] == {"model": "a", "kept": None}
            assert decision["model"] == "b"
    assert Fleet(entries).ask(answerer=Answerer("a", 2), exclude=[3]).decision["session"]["kept"] == "instance"


def test_moving_a_session_within_its_model_leaves_the_other_models_their_turns():
    fleet = session_fleet()
    for _ in range(30):
        fleet.ask(answerer=Answerer("a", 9)).outcome(None)
    assert Counter(route.model for route in (fleet.ask() for _ in range(10))) == {"a": 6, "b": 4}


def test_a_session_moves_on_when_its_model_is_not_to_be_had():
    fleet = session_fleet()
    fleet.fail(4)
    route = fleet.ask(answerer=Answerer("b", 4))
    assert route.model == "a" and route.decision["session"] == {"model": "b", "kept": None}
    fleet.clock.now += 2.5  # half-open: no place for a session yet
    assert fleet.ask(answerer=Answerer("b", 4)).decision["session"]["kept"] is None


def test_a_session_stays_with_a_model_that_is_slower_than_others_by_its_nature():
    for seconds, kept in ((0.4, "instance"), (2.0, None)):
        fleet = session_fleet()
        answer_after(fleet, {1: 0.2, 2: 0.2, 3: 0.2, 4: seconds})
        assert fleet.ask(answerer=Answerer("b", 4)).decision["session"]["kept"] == kept


def test_rules_and_an_explicit_model_win_over_a_session():
    fleet = session_fleet()
    answerer = Answerer("a", 1)
    assert fleet.ask(answerer=answerer, tools=[{}]).decision["session"] == {"model": "a", "kept": None}
    assert fleet.ask(answerer=answerer, tools=[{}]).model == "b"
    assert fleet.ask(answerer=answerer, model="b").model == "b"
    assert fleet.ask(answerer=Answerer("b", 4), model="a").decision["session"]["kept"] is None
    assert fleet.ask(answerer=answerer, model="a").decision["session"]["kept"] == "instance"


def test_a_session_stays_with_who_answered_in_place_of_its_rule_s_model():
    fleet = Fleet([entry(1, "a"), entry(2, "b"), entry(3, "b")], [rule(1, "a", fallbacks=("b",))])
    fleet.health(1).paused_until = fleet.clock.now + 9
    for _ in range(3):
        route = fleet.ask(answerer=Answerer("b", 3))
        assert route.instance.id == 3 and route.decision["session"]["kept"] == "instance"
        route.outcome(None)
    fleet.clock.now += 10
    assert fleet.ask(answerer=Answerer("b", 3)).model == "a"
