"""The replay of recorded turns against rules, from records alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.errors import EngineError
from engine.types import Usage
from routing.recorded import Answered, Asked, Decision, Ended, Fallback, PassedOver, RecordedCandidate
from routing.replay import ALIKE, EXAMPLES, NAMES, OTHERS, Replay
from routing.reports import Report
from routing.table import RoutingTable
from tests.cast import ALICE, CHARLIE
from tests.routing.fleet import Fleet, entry, rule

CHEAP = entry(1, "cheap", price_in=1.0, price_out=2.0)
DEAR = entry(2, "dear", price_in=10.0, price_out=20.0)
SHORT = rule(1, "cheap", "max_tokens < 2000", weight=60)
HARD = rule(2, "dear", "complexity_score > 0.8", weight=40)
COMPLETE = {"stream": False, "has_tools": False, "has_images": False, "hour": 9, "prompt_tokens": 10}
TURN = f"{1_700_000_000_000:012x}" + 20 * "0"


def features(**more: Any) -> dict[str, Any]:
    return {**COMPLETE, **more}


def asked(
    chosen: int = 1,
    pool: dict[tuple[str, int], int] | None = None,
    removed: dict[int, str] | None = None,
    rules: tuple[str, ...] = ("rule-1",),
    held: dict[str, Any] | None = None,
    model: str = "auto",
    **fields: Any,
) -> Asked:
    pool = {("cheap", 1): 1} if pool is None else pool
    candidates = [
        RecordedCandidate(id=number, instance=name, model=name, weight=weight, removed=(removed or {}).get(number))
        for (name, number), weight in pool.items()
    ]
    answered = next((name for name, number in pool if number == chosen), "")
    decision = Decision(answered, chosen, list(rules), candidates, features() if held is None else held)
    return Asked(
        **{"turn_id": TURN, "tenant_id": 1, "at": 1_700_000_000.0, "model": model, "decision": decision, **fields}
    )


def ended(
    model: str = "cheap", *, tokens: tuple[int, int] = (1000, 500), ttft: float | None = 0.5, **fields: Any
) -> Ended:
    usage = Usage(*tokens)
    return Ended(**{"state": "completed", "model": model, "usage": usage, "ttft": ttft, "duration": 2.0, **fields})


def replayed(table: RoutingTable, *turns: tuple[Asked | None, Ended | None]) -> Report:
    replay = Replay(table)
    for one, end in turns:
        replay.add(one, end)
    return replay.report()


def both(table_rules: list, *turns: tuple[Asked | None, Ended | None]) -> Report:
    return replayed(RoutingTable([CHEAP, DEAR], table_rules), *turns)


SIXTY_FORTY = {("cheap", 1): 60, ("dear", 2): 40}


def mixed(pool: dict[tuple[str, int], int] = SIXTY_FORTY) -> list[tuple[Asked, Ended]]:
    """Ten turns as the pool of both rules shares them out."""
    held = features(max_tokens=100, complexity_score=0.9)
    names = ("rule-1", "rule-2")
    return [
        (
            asked(1 if turn < 6 else 2, pool, rules=names, held=held),
            ended("cheap" if turn < 6 else "dear", ttft=1.0 if turn < 6 else 3.0),
        )
        for turn in range(10)
    ]


def test_it_moves_exactly_nothing_under_the_same_rules():
    report = both([SHORT, HARD], *mixed())
    assert (report.turns.read, report.turns.replayed, report.turns.left_out) == (10, 10, {})
    assert (report.moved.turns, report.moved.share, report.flows, report.instance_flows) == (0, 0, [], [])
    assert report.cost.difference == 0
    assert report.cost.before == pytest.approx((6 * (1000 * 1 + 500 * 2) + 4 * (1000 * 10 + 500 * 20)) / 1e6)
    assert report.ttft.before == report.ttft.after == pytest.approx(1.8)
    assert report.duration.before == report.duration.after == pytest.approx(2.0)
    assert [(each.rule, each.before, each.after) for each in report.rules] == [("rule-1", 10, 10), ("rule-2", 10, 10)]
    assert report.examples == []


def test_it_moves_a_tenth_from_60_40_to_50_50():
    report = both([rule(1, "cheap", "max_tokens < 2000"), rule(2, "dear", "complexity_score > 0.8")], *mixed())
    assert report.moved.share == pytest.approx(0.1)
    (flow,) = report.flows
    assert (flow.from_, flow.to, flow.turns) == ("cheap", "dear", pytest.approx(1))
    assert [(each.model, each.before, each.after) for each in report.models] == [
        ("cheap", 6, pytest.approx(5)),
        ("dear", 4, pytest.approx(5)),
    ]
    assert report.cost.difference == pytest.approx((20_000 - 2_000) / 1e6)
    assert report.ttft.after == pytest.approx((5 * 1.0 + 5 * 3.0) / 10)


def test_it_takes_the_totals_of_flows_from_one_side_to_the_other():
    report = both([rule(1, "dear")], *mixed())
    assert (report.moved.turns, report.moved.share) == (6, pytest.approx(0.6))
    assert sum(each.after for each in report.models) == sum(each.before for each in report.models) == 10
    assert [(each.from_, each.to) for each in report.instance_flows] == [("cheap (#1)", "dear (#2)")]
    example = report.examples[0]
    assert (example.turn_id, example.from_, example.to, example.probability) == (TURN, "cheap", "dear", 1.0)
    assert (example.rules_before, example.rules_after) == (["rule-1", "rule-2"], ["rule-1"])
    assert example.features["max_tokens"] == 100
    assert len(report.examples) == ALIKE <= EXAMPLES


def test_it_leaves_out_of_both_pools_whom_the_recorded_decision_left_out():
    held = features(max_tokens=100, complexity_score=0.9)
    turn = asked(1, SIXTY_FORTY, {2: "breaker_open"}, held=held)
    assert both([SHORT, HARD], (turn, ended())).moved.turns == 0
    assert both([rule(1, "dear")], (turn, ended())).moved.turns == 1  # nobody else would have been there


def passed_over(turn: Asked, *numbers: int, **fields: Any) -> Asked:
    """The same turn, after a pool of which nobody was left."""
    out = PassedOver([RecordedCandidate(id=number, removed="breaker_open") for number in numbers])
    return msgspec.structs.replace(turn, decision=msgspec.structs.replace(turn.decision, passed_over=[out], **fields))


def test_it_follows_the_chain_of_fallbacks_as_the_decision_had_to():
    first = rule(1, "cheap", fallbacks=("dear",))
    turn = passed_over(asked(2, {("dear", 2): 1}), 1)
    assert both([first], (turn, ended("dear"))).moved.turns == 0
    report = both([rule(1, "cheap")], (turn, ended("dear")))  # nobody is left: as if all were well
    assert [(flow.from_, flow.to) for flow in report.flows] == [("dear", "cheap")]
    assert both([rule(1, "gone", fallbacks=("dear",))], (asked(2, {("dear", 2): 1}), ended("dear"))).moved.turns == 0


def test_it_follows_the_chain_to_a_larger_context_window():
    wide = entry(3, "wide", context_window=100_000)
    table = RoutingTable([entry(1, "cheap", context_window=10), wide], [rule(1, "cheap")])
    turn = passed_over(asked(3, {("wide", 3): 1}), 1, fallback=Fallback(100_000))
    assert replayed(table, (turn, ended("wide"))).moved.turns == 0


def test_it_counts_a_turn_that_no_model_is_left_for_as_refused():
    turn = asked(1, {("cheap", 1): 1}, model="fast")
    report = both([], (turn, ended()))
    assert (report.flows[0].from_, report.flows[0].to) == ("cheap", None)
    assert (report.moved.refused, report.cost.before, report.cost.after) == (1, 0.002, 0)
    assert report.ttft.turns == 0
    assert both([rule(1, "cheap", "model == 'fast'")], (turn, ended())).moved.turns == 0


def test_it_asks_rules_that_test_the_model_where_one_was_named():
    turn = asked(1, {("cheap", 1): 1}, model="cheap", rules=())
    assert both([rule(1, "dear")], (turn, ended())).moved.turns == 0
    assert both([rule(1, "dear", "model == 'cheap'")], (turn, ended())).moved.turns == 1


REFUSED = msgspec.json.decode(
    b'{"turn_id":"t","tenant_id":1,"at":0,"decision":{"model":null,"instance":null,"rules":["a"],"candidates":[{"id":1,'
    b'"instance":"cheap","model":"cheap","weight":1,"removed":"rate_limited"}],"features":{}}}',
    type=Asked,
)


@pytest.mark.parametrize(
    ("turn", "end", "reason"),
    [
        (None, None, "unreadable"),
        (asked(pool={}), None, "no_decision"),
        (asked(pool={}), ended(source="plugin"), "plugin"),
        (asked(), ended(source="cache"), "cache"),
        (asked(), ended(source="shared"), "shared"),
        (asked(edge="console"), ended(), "pinned"),
        (REFUSED, ended(state="failed"), "no_decision"),
    ],
)
def test_it_leaves_out_what_no_rule_decided(turn, end, reason):
    report = both([SHORT], (turn, end))
    assert (report.turns.read, report.turns.replayed, report.turns.left_out) == (1, 0, {reason: 1})
    assert report.moved.share == 0


def test_it_says_which_field_an_older_record_does_not_hold():
    old = asked(held={"prompt_tokens": 5, "max_tokens": 5})
    report = both([SHORT, HARD], (old, ended()))
    assert (report.turns.left_out, report.turns.not_recorded) == ({"not_recorded": 1}, {"complexity_score": 1})
    assert both([SHORT], (old, ended())).turns.replayed == 1
    assert both([rule(1, "cheap", "hour == 22 and model == 'auto'")], (old, ended())).turns.replayed == 1
    newer = asked(held=features(prompt_tokens=5))
    assert both([SHORT, HARD], (newer, ended())).turns.replayed == 1  # absent is absent


@pytest.mark.parametrize(
    ("held", "condition", "known"),
    [
        ({}, "header.x-team == 'red'", True),
        ({}, "header.user-agent == 'curl'", False),
        ({"header.user-agent": "curl"}, "header.user-agent == 'curl'", True),
        ({}, "header.x-forwarded-host == 'a'", False),
        ({}, "header.x-geo-ip == 'a'", False),
        ({"cut": ["header."]}, "header.x-team == 'red'", False),
        ({"cut": ["header.x-team"]}, "header.x-team == 'red'", False),
        ({"cut": ["header.x-team"]}, "header.x-other == 'red'", True),
        ({"cut": ["header."]}, "metadata.plan == 'gold'", True),
        ({"cut": ["metadata."]}, "metadata.plan == 'gold'", False),
        ({"cut": ["metadata.plan"]}, "metadata.plan == 'gold'", False),
        ({"cut": ["metadata.plan"]}, "metadata.other == 'gold'", True),
        ({"cut": ["metadata."], "absent": ["metadata.plan"]}, "metadata.plan == 'gold'", True),
        ({"absent": ["header.team"]}, "header.team == 'red'", True),
        ({"absent": ["header.team"]}, "header.others == 'red'", False),
    ],
)
def test_it_knows_what_a_record_does_not_hold_though_the_request_may_have(held, condition, known):
    held = dict(held)
    gaps = {name: held.pop(name) for name in ("cut", "absent") if name in held}
    turn = asked(held=features(**held))
    turn = msgspec.structs.replace(turn, decision=msgspec.structs.replace(turn.decision, **gaps))
    report = both([rule(1, "cheap", condition)], (turn, ended()))
    assert report.turns.replayed == known
    assert bool(report.turns.not_recorded) != known


def test_it_replays_turns_that_have_not_ended_or_failed_without_cost_and_time():
    failed = ended(tokens=(0, 0), ttft=None, state="failed")
    report = both([rule(1, "dear")], (asked(), None), (asked(), failed))
    assert (report.moved.turns, report.cost.before, report.cost.after, report.ttft.before) == (2, 0, 0, None)


def test_it_says_what_it_cannot_tell_of_models_without_a_recorded_turn():
    report = both([rule(1, "dear")], (asked(), ended()), (asked(), ended()))
    assert (report.ttft.unknown, report.ttft.turns, report.ttft.after) == (2, 0, None)
    some = both([rule(1, "dear", weight=1), rule(2, "cheap", weight=3)], (asked(), ended()))
    assert (some.ttft.before, some.ttft.after) == (0.5, 0.5)
    assert (some.ttft.turns, some.ttft.unknown) == (0.75, 0.25)


def test_it_keeps_the_story_of_a_turn_that_was_retried():
    retried = ended("dear", decision=Answered(instance_id=2))
    report = both([SHORT], (asked(held=features(max_tokens=5)), retried))
    assert report.moved.turns == 0
    assert report.cost.before == report.cost.after == pytest.approx(0.02)  # the dear one answered


def test_it_counts_turns_whose_instance_is_gone_apart():
    report = both([SHORT], (asked(9, {("gone", 9): 1}, held=features(max_tokens=5)), ended("gone")))
    assert (report.cost.turns, report.cost.unpriced, report.cost.difference) == (0, 1, 0)
    assert (report.flows[0].from_, report.flows[0].to) == ("gone", "cheap")
    assert report.instance_flows[0].from_ == "gone (#9)"


def test_it_keeps_two_names_behind_one_wildcard_apart():
    table = RoutingTable([entry(1, "openai/*")], [rule(1, "openai/a", weight=60), rule(2, "openai/b", weight=40)])
    pool = {("openai/a", 1): 60, ("openai/b", 1): 40}
    assert replayed(table, (asked(1, pool), ended("openai/a"))).moved.turns == 0
    one = RoutingTable([entry(1, "openai/*")], [rule(1, "openai/b")])
    assert [(flow.from_, flow.to) for flow in replayed(one, (asked(1, pool), ended("openai/a"))).flows] == [
        ("openai/a", "openai/b")
    ]


def test_it_tells_only_so_many_made_up_names_apart():
    table = RoutingTable([entry(1, "x/*")])
    replay = Replay(table)
    for number in range(NAMES + 50):
        name = f"x/{number}"
        replay.add(asked(1, {(name, 1): 1}, model=name, rules=()), ended(name))
    report = replay.report()
    assert report.moved.turns == 0
    assert len(report.models) == NAMES + 1
    assert {each.model: each.before for each in report.models}[OTHERS] == 50


@pytest.mark.parametrize("recorded", [{"task": "embeddings"}, {}], ids=["record", "edge"])
def test_it_sends_embeddings_to_no_chat_model_though_their_instance_is_gone(recorded):
    vectors = entry(3, "vectors", task="embeddings")
    turn = asked(9, {("vectors", 9): 1}, edge="embeddings", model="vectors", rules=())
    turn = msgspec.structs.replace(turn, decision=msgspec.structs.replace(turn.decision, **recorded))
    for entries, to in (([CHEAP, vectors], []), ([CHEAP, entry(4, "vectors")], [("vectors", None)])):
        report = replayed(RoutingTable(entries), (turn, ended("vectors")))
        assert [(flow.from_, flow.to) for flow in report.flows] == to


def test_it_replays_every_tenant_by_its_own_view():
    mine = rule(1, "dear", tenant_id=ALICE.company.id)
    turns = [(asked(tenant_id=person.company.id), ended()) for person in (ALICE, CHARLIE)]
    report = both([mine, rule(2, "cheap")], *turns)
    assert [each.tenant_id for each in report.examples] == [ALICE.company.id]
    assert report.moved.turns == 1


ENTRIES = [
    lambda: entry(1, "cheap", context_window=50),
    lambda: entry(2, "dear", context_window=100_000),
    lambda: entry(3, "wild/*", upstream_model="wild/own", context_window=500),
]
QUESTIONS: list[dict[str, Any]] = [
    {},
    {"max_tokens": 10},
    {"model": "cheap"},
    {"model": "wild/x"},
    {"max_tokens": 10, "text": "Prove rigorously the theorem by induction and derive it."},
    {"max_tokens": 10, "text": "word " * 400},
    {"text": "word " * 400},
    {"metadata": {"plan": "gold"}},
    {"metadata": {f"k{number}": ["x" * 200] * 60 for number in range(80)}, "headers": [(b"x-geo-ip", b"::1")]},
]


@pytest.mark.parametrize("out", [set(), {1}, {2}, {1, 3}], ids=str)
def test_it_moves_nothing_of_what_the_router_itself_recorded(out):
    """The contract with the router: what it writes down comes out unmoved under the same rules, also where breakers,
    fallbacks and context windows had their say."""
    rules = [
        SHORT,
        HARD,
        rule(3, "wild/b", "metadata.plan == 'gold'", priority=9, fallbacks=("dear",)),
        rule(4, "gone", "prompt_tokens > 400", priority=8, fallbacks=("wild/c", "dear")),
        rule(5, "dear", "header.team == 'red' or header.x-geo-ip == '::1' or metadata.other", priority=7),
    ]
    fleet = Fleet([make() for make in ENTRIES], rules)
    for number in out:
        fleet.health(number).paused_until = fleet.clock.now + 60
    replay, turns = Replay(RoutingTable([make() for make in ENTRIES], rules)), 0
    for question in QUESTIONS:
        for _ in range(5):
            try:
                route = fleet.ask(**question)
            except EngineError:
                continue
            record = {"turn_id": TURN, "tenant_id": 1, "at": 0.0, "model": question.get("model", "auto")}
            body = msgspec.json.encode({**record, "decision": route.decision})
            replay.add(msgspec.json.decode(body, type=Asked), ended(route.model))
            route.outcome(None)
            turns += 1
    report = replay.report()
    assert turns >= 25
    assert (report.turns.replayed, report.moved.turns, report.flows, report.instance_flows) == (turns, 0, [], [])
    assert all(each.before == each.after for each in report.rules)
