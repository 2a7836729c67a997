import json
from collections import Counter

import pytest

from engine.errors import ModelNotFound, Overloaded, UpstreamBusy, UpstreamError
from engine.types import Answerer, ChatRequest, Constraints, Message
from routing.breaker import Change
from routing.complexity import complexity_score
from routing.table import RoutingTable
from tests.cast import ALICE, BOB, CHARLIE
from tests.routing.fleet import Fleet, entry, rule

SEED_RULES = [
    rule(1, "gpt-3.5-turbo", "max_tokens < 2000", "temperature <= 0.7", weight=60),
    rule(2, "llama2-70b", "complexity_score > 0.8", weight=40),
]
HARD = "Prove by induction that the sum of odd numbers is n^2, then derive and analyze a closed form for the cubes."


def seed_fleet():
    return Fleet([entry(1, "gpt-3.5-turbo"), entry(2, "llama2-70b"), entry(3, "other")], SEED_RULES)


def test_it_follows_the_conditions_of_a_rule():
    fleet = seed_fleet()
    assert fleet.answered(3, max_tokens=100, temperature=0.5) == ["gpt-3.5-turbo"] * 3
    assert fleet.answered(3, text=HARD) == ["llama2-70b"] * 3


def test_it_pools_matching_rules_by_their_weights():
    answers = Counter(seed_fleet().answered(100, text=HARD, max_tokens=100, temperature=0.5))
    assert answers == {"gpt-3.5-turbo": 60, "llama2-70b": 40}


def test_it_divides_a_rule_s_weight_among_the_instances_of_its_model():
    fleet = Fleet(
        [entry(1, "a", weight=3), entry(2, "a", weight=1), entry(3, "b")],
        [rule(1, "a", weight=60), rule(2, "b", weight=40)],
    )
    routes = [fleet.ask() for _ in range(20)]
    assert Counter(route.instance.id for route in routes) == {1: 9, 2: 3, 3: 8}


def test_it_uses_every_instance_by_weight_where_no_rule_matches():
    fleet = Fleet([entry(1, "a", weight=2), entry(2, "b"), entry(3, "any/*")], [rule(1, "b", "stream")])
    assert fleet.answered(6) == ["a", "b", "a"] * 2


def test_it_serves_a_named_model_whatever_the_rules_say():
    fleet = seed_fleet()
    route = fleet.ask(HARD, model="other", max_tokens=100, temperature=0.5)
    assert (route.instance.name, route.model, route.upstream_model, route.rules) == ("other", "other", "other", [])


def test_it_applies_rules_to_a_name_only_if_they_test_it():
    fleet = Fleet(
        [entry(1, "a"), entry(2, "b")],
        [rule(1, "b", "stream"), rule(2, "b", "model == 'a'", "has_tools"), rule(3, "b", "model == 'fast'")],
    )
    assert fleet.answer(model="a", stream=True) == "a"
    assert fleet.answer(model="a", tools=[{}]) == "b"
    assert fleet.answer(model="fast") == "b"


def test_it_takes_the_highest_priority_that_has_an_instance():
    fleet = Fleet(
        [entry(1, "a"), entry(2, "b")],
        [rule(1, "a"), rule(2, "b", priority=5), rule(3, "gone", priority=9), rule(4, "a", "stream", priority=7)],
    )
    assert fleet.answered(2) == ["b", "b"]
    assert fleet.answer(stream=True) == "a"


def test_it_asks_a_tenant_s_rules_before_the_platform_s():
    fleet = Fleet([entry(1, "a"), entry(2, "b")], [rule(1, "a", priority=9), rule(2, "b", tenant_id=1)])
    assert fleet.answered(2) == ["b", "b"]
    assert fleet.answered(2, by=CHARLIE) == ["a", "a"]


def test_it_keeps_tenants_apart():
    fleet = Fleet(
        [
            entry(1, "acme-own", tenant_id=1, owner="acme"),
            entry(2, "for-globex", tenants=frozenset({2})),
            entry(3, "for-nobody", tenants=frozenset()),
            entry(4, "shared"),
        ],
        [rule(1, "acme-own")],
    )
    assert fleet.answered(2, by=BOB) == ["acme-own"] * 2
    assert Counter(fleet.answered(4, by=CHARLIE)) == {"for-globex": 2, "shared": 2}
    for person, names in ((ALICE, ["for-globex", "for-nobody"]), (CHARLIE, ["acme-own", "for-nobody"])):
        for name in names:
            with pytest.raises(ModelNotFound):
                fleet.ask(by=person, model=name)
    listed = [(model.id, model.owned_by) for model in fleet.router.public_models(1)]
    assert listed == [("auto", "platform"), ("acme-own", "acme"), ("shared", "platform")]
    assert [model.id for model in fleet.router.public_models(2)] == ["auto", "for-globex", "shared"]


def test_it_matches_names_exactly_before_wildcards_and_the_most_specific_of_those():
    fleet = Fleet(
        [entry(1, "*"), entry(2, "openai/*"), entry(3, "openai/gpt-4"), entry(4, "o*-mini", upstream_model="x")]
    )
    found = {
        name: fleet.ask(model=name) for name in ("openai/gpt-4", "openai/o1", "o1-mini", "openai/o1-mini", "llama")
    }
    assert {name: route.instance.id for name, route in found.items()} == {
        "openai/gpt-4": 3,
        "openai/o1": 2,
        "o1-mini": 4,
        "openai/o1-mini": 2,
        "llama": 1,
    }
    assert all(route.model == name for name, route in found.items())
    assert found["openai/o1"].upstream_model == "openai/o1"
    assert found["o1-mini"].upstream_model == "x"


def test_it_names_what_answers_from_behind_a_wildcard():
    fleet = Fleet([entry(1, "openai/*", upstream_model="gpt-4"), entry(2, "replay-*")], [rule(1, "replay-7", "stream")])
    route = fleet.ask()
    assert (route.model, route.upstream_model) == ("openai/gpt-4", "gpt-4")
    assert fleet.ask(model=route.model).instance.id == 1
    ruled = fleet.ask(stream=True)
    assert (ruled.model, ruled.upstream_model) == ("replay-7", "replay-7")


@pytest.mark.parametrize("name", ["nothing", "replay-*", "*", "x" * 300, "REPLAY-1"])
def test_it_knows_no_other_model(name):
    with pytest.raises(ModelNotFound) as caught:
        Fleet([entry(1, "replay-*"), entry(2, "a")]).ask(model=name)
    assert caught.value.param == "model"


@pytest.mark.parametrize("entries", [[], [entry(1, "replay-*")]])
def test_it_has_nothing_to_choose_without_a_model(entries):
    with pytest.raises(ModelNotFound):
        Fleet(entries).ask()


def test_it_leaves_out_what_was_tried():
    fleet = Fleet([entry(1, "a"), entry(2, "a")])
    assert [fleet.ask(model="a", exclude=[1]).instance.id for _ in range(3)] == [2, 2, 2]
    with pytest.raises(Overloaded):
        fleet.ask(model="a", exclude=[1, 2])


def test_a_call_of_several_turns_takes_a_place_of_its_own():
    fleet = Fleet([entry(1, "a", max_concurrency=1)])
    for _ in range(3):
        fleet.ask().unused()
    turn = fleet.ask()
    turn.unused()
    call = turn.again(40)
    assert call.instance is turn.instance and call.prompt_tokens == 40
    turn.outcome(UpstreamError())  # nothing was ever begun for it
    with pytest.raises(Overloaded):
        fleet.ask()
    call.outcome(None)
    fleet.ask().outcome(None)


def test_it_keeps_to_the_limit_of_calls():
    fleet = Fleet([entry(1, "a", max_concurrency=1)])
    route = fleet.ask()
    with pytest.raises(Overloaded) as caught:
        fleet.ask()
    assert caught.value.retry_after == 1
    route.outcome(None)
    route.outcome(None)
    assert fleet.health(1).in_flight == 0
    fleet.ask()


def test_it_waits_as_long_as_a_service_asks():
    fleet = Fleet([entry(1, "a"), entry(2, "b")])
    fleet.ask(model="a").outcome(UpstreamBusy(retry_after=9))
    assert fleet.answered(3) == ["b"] * 3
    fleet.clock.now += 4
    with pytest.raises(Overloaded) as caught:
        fleet.ask(model="a")
    assert caught.value.retry_after == 5
    fleet.clock.now += 5
    assert fleet.answer(model="a") == "a"


def test_it_avoids_a_failing_instance_while_there_is_another():
    fleet = Fleet([entry(1, "a"), entry(2, "b")])
    for _ in range(3):
        fleet.ask(model="a").outcome(UpstreamError())
    route = fleet.ask()
    assert route.instance.name == "b"
    assert [each["removed"] for each in route.decision["candidates"]] == ["breaker_open", None]


def test_it_says_at_once_that_the_only_instance_is_down_and_for_how_long():
    fleet = Fleet([entry(1, "a")])
    for _ in range(3):
        fleet.ask().outcome(UpstreamError())
    with pytest.raises(Overloaded) as caught:
        fleet.ask()
    assert caught.value.retry_after == 2
    fleet.clock.now += 2
    probe = fleet.ask()
    with pytest.raises(Overloaded):
        fleet.ask()
    probe.outcome(None)
    fleet.ask()


def test_it_tries_an_instance_that_is_down_for_who_asks_for_that_very_one():
    fleet = Fleet([entry(1, "a")])
    for _ in range(3):
        fleet.ask().outcome(UpstreamError())
    assert fleet.ask(instance_id=1).instance.id == 1


def test_it_tells_what_other_workers_should_know():
    fleet = Fleet([entry(1, "a"), entry(2, "b")])
    for _ in range(3):
        fleet.ask(model="a").outcome(UpstreamError())
    fleet.ask(model="b").outcome(UpstreamBusy(retry_after=7))
    assert fleet.told == [(1, Change("opened", 2.0)), (2, Change("paused", 7.0))]


def test_it_learns_how_long_the_first_token_takes_and_adjusts_the_weights():
    fleet = Fleet([entry(1, "a"), entry(2, "b"), entry(3, "c")])
    seconds = {"a": 0.8, "b": 0.2, "c": 0.2}
    answers = Counter()
    for _ in range(200):
        route = fleet.ask(stream=True)
        fleet.clock.now += seconds[route.instance.name]
        route.first_token()
        route.outcome(None)
        answers[route.instance.name] += 1
    assert answers["a"] < 20 < 80 < answers["b"] <= answers["c"] + 1
    qualities = [each["quality"] for each in fleet.ask().decision["candidates"]]
    assert qualities[0] < 0.2 and qualities[1:] == [1, 1]


def test_it_tells_how_a_slow_instance_answers():
    fleet = Fleet([entry(1, "a"), entry(2, "b"), entry(3, "c")])
    for name, seconds in (("a", 2.0), ("b", 0.2), ("c", 0.2), ("a", 2.2)):
        fleet.clock.now += 5.0
        route = fleet.ask(model=name, stream=True)
        fleet.ask()
        fleet.clock.now += seconds
        route.first_token()
    assert fleet.told == [(1, Change("answered", 5.0, ratio=1.1))]


def test_it_never_compares_whole_answers_with_first_tokens():
    fleet = Fleet([entry(1, "a"), entry(2, "b")])
    for _ in range(20):
        for name, stream, seconds in (("a", True, 0.2), ("b", True, 0.2), ("b", False, 9.0), ("b", False, 9.0)):
            route = fleet.ask(model=name, stream=stream)
            fleet.clock.now += seconds
            route.first_token()
            route.outcome(None)
    assert [each["quality"] for each in fleet.ask().decision["candidates"]] == [1, 1]


def test_it_explains_its_decision():
    fleet = Fleet(
        [entry(1, "a", weight=3), entry(2, "a"), entry(3, "b", max_concurrency=1)],
        [rule(1, "a", "metadata.plan == 'gold'", weight=50, name="gold"), rule(2, "b", "max_tokens < 10", weight=50)],
    )
    fleet.ask(model="b")
    route = fleet.ask(max_tokens=5, metadata={"plan": "gold"})
    assert route.decision == {
        "model": "a",
        "instance": "a",
        "instance_id": 1,
        "rules": ["gold", "rule-2"],
        "candidates": [
            {"id": 1, "instance": "a", "model": "a", "weight": 3, "quality": 1, "score": 3, "in_flight": 0,
             "removed": None},
            {"id": 2, "instance": "a", "model": "a", "weight": 1, "quality": 1, "score": 1, "in_flight": 0,
             "removed": None},
            {"id": 3, "instance": "b", "model": "b", "weight": 4, "quality": 1, "score": None, "in_flight": 1,
             "removed": "max_concurrency"},
        ],
        "features": {
            "model": "auto", "max_tokens": 5, "stream": False, "prompt_tokens": 5,
            "complexity_score": complexity_score("Hi"), "has_tools": False, "has_images": False, "user": "1",
            "hour": 0, "metadata.plan": "gold",
        },
        "runner_up": "a",
    }  # fmt: skip
    assert route.rules == ["gold", "rule-2"]
    assert route.prompt_tokens == 5
    json.dumps(route.decision)


def test_it_says_beforehand_what_it_will_choose():
    fleet = Fleet([entry(1, "a", weight=2), entry(2, "b")])
    messages = [Message(role="user", content="Hi")]
    request = ChatRequest(messages=messages)
    for _ in range(6):
        said = fleet.router.explain(ALICE.principal, request, messages)
        assert said == fleet.router.explain(ALICE.principal, request, messages)
        assert fleet.ask().decision == said
    assert fleet.health(1).in_flight == 4


def test_it_says_beforehand_what_becomes_of_a_session_and_of_a_retry():
    fleet = Fleet([entry(1, "a"), entry(2, "b")], [rule(1, "a", fallbacks=("b",))])
    messages = [Message(role="user", content="Hi")]
    constraints = Constraints(tried=[1], answerer=Answerer("a", 1))
    said = fleet.router.explain(ALICE.principal, ChatRequest(messages=messages), messages, {}, constraints)
    assert said["fallback"] == {"name": "b", "place": 1} and said["session"] == {"model": "a", "kept": None}
    assert fleet.ask(exclude=[1], answerer=Answerer("a", 1)).decision == said


def test_it_serves_a_task_with_the_instances_made_for_it():
    fleet = Fleet(
        [entry(1, "chat"), entry(2, "vectors", task="embeddings", weight=2), entry(3, "more", task="embeddings")],
        [rule(1, "chat", weight=9)],
    )
    assert fleet.answered(6) == ["chat"] * 6
    assert fleet.answered(6, task="embeddings") == ["vectors", "more", "vectors"] * 2
    assert fleet.answer(model="more", task="embeddings") == "more"
    for model, task in (("vectors", "chat"), ("chat", "embeddings")):
        with pytest.raises(ModelNotFound):
            fleet.ask(model=model, task=task)
    for number, task in ((2, "chat"), (1, "embeddings")):
        with pytest.raises(ModelNotFound):
            fleet.ask(instance_id=number, task=task)
    assert [model.id for model in fleet.router.public_models(1)] == ["auto", "chat", "more", "vectors"]


def test_it_routes_a_task_by_the_rules_whose_models_do_it():
    fleet = Fleet(
        [entry(1, "chat"), entry(2, "vectors", task="embeddings"), entry(3, "more", task="embeddings")],
        [rule(1, "chat"), rule(2, "more")],
    )
    assert fleet.answered(3, task="embeddings") == ["more"] * 3
    assert fleet.answered(3) == ["chat"] * 3


def test_it_takes_turns_across_tenants_and_new_tables():
    fleet = Fleet([entry(1, "a"), entry(2, "b")])
    assert [fleet.answer(), fleet.answer(by=CHARLIE)] == ["a", "b"]
    fleet.answer()
    old = fleet.cell.value
    fleet.cell.swap(RoutingTable(old.entries.values(), [rule(1, "b", "stream")], balances=old.balances))
    assert fleet.answer() == "b"
