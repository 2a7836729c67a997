"""How much work rules may make of every decision: so many comparisons a scope, wherever rules come from."""

import pytest
from django.core.exceptions import ValidationError

from routing import proposals
from routing.configuration import load
from routing.documents import ConfigurationError
from routing.models import RoutingRule
from routing.services import save_rule

HUNDRED = " or ".join(["stream"] * 100)
FULL = [[HUNDRED] * 6, [HUNDRED] * 4]  # the conditions of rules that are all a scope may have
SAID = "1,001 comparisons"


def fill(tenant=None):
    return [save_rule(rule=RoutingRule(tenant=tenant, model="a", conditions=each)) for each in FULL]


def one_more(tenant=None, **fields):
    return save_rule(rule=RoutingRule(tenant=tenant, model="a", **{"conditions": ["stream"], **fields}))


@pytest.mark.parametrize("scope", ["acme", "platform"])
def test_it_bounds_the_comparisons_of_all_rules_in_use_of_a_scope(companies, scope):
    tenant = companies.acme if scope == "acme" else None
    fill(tenant)
    with pytest.raises(ValidationError) as caught:
        one_more(tenant)
    (message,) = caught.value.message_dict["conditions"]
    assert SAID in message and "1,000" in message
    assert RoutingRule.objects.everywhere().count() == len(FULL)
    one_more(tenant, conditions=[])
    one_more(companies.globex if tenant is not None else companies.acme)
    off = one_more(tenant, enabled=False)
    off.enabled = True
    with pytest.raises(ValidationError):
        save_rule(rule=off)


def test_it_lets_a_rule_change_that_makes_it_no_worse(companies):
    first, second = fill(companies.acme)
    RoutingRule.objects.create(tenant=companies.acme, model="a", conditions=[HUNDRED])  # as from an older version
    first.weight = 5
    save_rule(rule=first)
    second.conditions = second.conditions[1:]
    save_rule(rule=second)
    first.conditions = [*first.conditions, "stream"]
    with pytest.raises(ValidationError):
        save_rule(rule=first)


def test_a_file_may_bring_as_many_and_says_which_rule_is_too_much(companies):
    lines = [f"  - {{model: a, conditions: [{', '.join(each)}]}}" for each in FULL]
    load("\n".join(["routing_rules:", *lines]), tenant=companies.acme, environ={})
    with pytest.raises(ConfigurationError) as caught:
        load(
            "\n".join(["routing_rules:", *lines, "  - {model: a, conditions: [stream]}"]),
            tenant=companies.acme,
            environ={},
        )
    assert SAID in caught.value.reason and caught.value.line == 4
    assert RoutingRule.objects.for_tenant(companies.acme.pk).count() == len(FULL)


def test_a_replay_takes_no_more_either(companies):
    fields = [{"model": "a", "conditions": each} for each in FULL]
    off = {"model": "a", "conditions": ["stream"], "enabled": False}
    assert len(proposals.from_fields([*fields, off], None)) == 3
    with pytest.raises(ValidationError) as caught:
        proposals.from_fields([*fields, {**off, "enabled": True}], None)
    assert SAID in caught.value.message_dict["rules"][0]
    rules = [RoutingRule(model="a", conditions=each) for each in FULL]
    assert len(proposals.from_yaml(proposals.to_yaml(rules), None, environ={})) == 2
    with pytest.raises(ConfigurationError) as refused:
        proposals.from_yaml(
            proposals.to_yaml([*rules, RoutingRule(model="a", conditions=["stream"])]), None, environ={}
        )
    assert SAID in refused.value.reason
