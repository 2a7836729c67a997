"""A turn whose budget has no room for the usual choice is chosen for anew, among those it has room for."""

import msgspec
import pytest

from engine.errors import Overloaded
from engine.types import Constraints, Instance
from tests.cast import ALICE
from tests.routing.fleet import Fleet, ask_of, entry, rule


def cheap(instance: Instance) -> bool:
    return instance.price_out <= 1


def choose(fleet: Fleet, model: str = "auto", affords=cheap):
    request, messages = ask_of(model)
    return fleet.router.choose(ALICE.principal, request, messages, {}, Constraints(affords=affords))


def fleet_of_three() -> Fleet:
    entries = [entry(1, "dear", price_out=30.0), entry(2, "dear", price_out=0.5), entry(3, "cheap", price_out=1.0)]
    return Fleet(entries, [rule(1, "dear", name="first dear")])


def test_it_stays_with_the_rules_where_one_of_them_is_cheap():
    route = choose(fleet_of_three())
    assert route.instance.id == 2 and route.rules == ["first dear"]
    assert [(each["id"], each.get("removed")) for each in route.decision["candidates"]] == [(1, "budget"), (2, None)]


def test_it_goes_to_another_model_though_one_was_named():
    fleet = Fleet([entry(1, "dear", price_out=30.0), entry(3, "cheap", price_out=1.0)], [rule(1, "dear")])
    for asked in ("auto", "dear"):
        route = choose(fleet, asked)
        assert (route.instance.id, route.model) == (3, "cheap")
        assert route.decision["fallback"] == {"budget": True}
        (before,) = route.decision["passed_over"]
        assert [each["removed"] for each in before["candidates"]] == ["budget"]
        msgspec.json.encode(route.decision)


def test_it_finds_nobody_where_all_are_dear():
    with pytest.raises(Overloaded) as caught:
        choose(fleet_of_three(), affords=lambda instance: False)
    assert {each["removed"] for each in caught.value.decision["candidates"]} == {"budget"}


def test_it_minds_no_budget_unless_it_is_told_to():
    request, messages = ask_of("dear")
    route = fleet_of_three().router.choose(ALICE.principal, request, messages, {}, Constraints())
    assert "fallback" not in route.decision
