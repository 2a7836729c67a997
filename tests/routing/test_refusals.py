"""A turn nobody is left for has a decision too: whom the router looked at, and why it was nobody."""

import msgspec
import pytest

from engine.errors import ContextTooLong, ModelNotFound, Overloaded
from engine.types import Answerer, ChatRequest, Constraints, Message
from routing.recorded import Asked
from routing.replay import Replay
from tests.cast import ALICE
from tests.routing.fleet import Fleet, entry, rule

LONG = "word " * 4000


def fleet_of_two():
    entries = [entry(1, "a"), entry(2, "b", context_window=100)]
    return Fleet(entries, [rule(1, "a", fallbacks=("b",), name="first a")])


def refused(fleet, *args, **fields):
    with pytest.raises((Overloaded, ContextTooLong)) as caught:
        fleet.ask(*args, **fields)
    return caught.value.decision


def test_a_refusal_carries_the_decision():
    fleet = fleet_of_two()
    fleet.health(1).paused_until = fleet.clock.now + 9
    decision = refused(fleet, LONG, max_tokens=5, answerer=Answerer("a", 1))
    assert (decision["model"], decision["instance"], decision["rules"]) == (None, None, ["first a"])
    (before,) = decision["passed_over"]
    assert (before["models"], before["why"]) == (["a"], "nobody_left")
    assert [each["removed"] for each in before["candidates"]] == ["rate_limited"]
    assert [(each["id"], each["removed"]) for each in decision["candidates"]] == [(2, "context_window")]
    assert decision["features"]["max_tokens"] == 5 and decision["runner_up"] is None
    assert decision["fallback"] == {"name": "b", "place": 1}
    assert decision["session"] == {"model": "a", "kept": None}
    msgspec.json.encode(decision)


def test_too_long_a_conversation_has_one_and_an_unknown_name_has_none():
    decision = refused(Fleet([entry(1, "a", context_window=10)]), LONG)
    assert (decision["rules"], decision["candidates"][0]["removed"]) == ([], "context_window")
    assert "passed_over" not in decision
    with pytest.raises(ModelNotFound) as caught:
        fleet_of_two().ask(model="nobodys")
    assert caught.value.decision is None


def test_it_explains_a_refusal():
    fleet = fleet_of_two()
    for number in (1, 2):
        fleet.health(number).paused_until = fleet.clock.now + 9
    messages = [Message(role="user", content="Hi")]
    request = ChatRequest(messages=messages)
    explained = fleet.router.explain(ALICE.principal, request, messages)
    assert explained["refusal"] == {"code": "overloaded", "message": "The service is overloaded."}
    assert explained["model"] is None and explained["candidates"][0]["removed"] == "rate_limited"
    with pytest.raises(ModelNotFound):
        fleet.router.explain(ALICE.principal, ChatRequest(messages=messages, model="c"), messages, None, Constraints())


def test_a_replay_leaves_such_a_turn_out():
    fleet = fleet_of_two()
    for number in (1, 2):
        fleet.health(number).paused_until = fleet.clock.now + 9
    entry_of = {"turn_id": "t", "tenant_id": 1, "at": 0.0, "decision": refused(fleet)}
    asked = msgspec.json.decode(msgspec.json.encode(entry_of), type=Asked)
    replay = Replay(fleet.cell.value)
    replay.add(asked, None)
    assert replay.report().turns.left_out == {"no_decision": 1}
