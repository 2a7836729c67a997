"""Rules that are thought about: checked like saved ones, and never saved."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.core.exceptions import ValidationError

from routing import proposals
from routing.configuration import dump
from routing.documents import ConfigurationError
from routing.models import ModelInstance, RoutingRule
from routing.services import MAX_RULES, save_instance


@pytest.fixture
def instances(companies: SimpleNamespace) -> SimpleNamespace:
    for name, tenant in (
        ("cheap", None),
        ("dear", None),
        ("acme-own", companies.acme),
        ("globex-own", companies.globex),
    ):
        save_instance(instance=ModelInstance(name=name, tenant=tenant, adapter="echo"))
    return companies


def complaint(items: list, tenant_id: int | None) -> str:
    with pytest.raises(ValidationError) as refused:
        proposals.from_fields(items, tenant_id)
    ((field, (message,)),) = refused.value.message_dict.items()
    return f"{field}: {message}"


def test_it_takes_rules_and_saves_none(instances):
    rules = proposals.from_fields([{"model": "cheap", "weight": 3}, {"model": "acme-own"}], instances.acme.pk)
    assert [(rule.model, rule.weight) for rule in rules] == [("cheap", 3), ("acme-own", 1)]
    assert not RoutingRule.objects.everywhere().exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"model": "cheap", "conditions": ["stream", "max_tokens <"]},
            "rules[1].conditions: Condition 2, column 13: expected",
        ),
        ({"model": "no such"}, "rules[1].model: "),
        ({"model": "cheap", "weight": 0}, "rules[1].weight: "),
        ({"model": "cheap", "priority": 10**9}, "rules[1].priority: "),
        ({"model": "cheap", "fallbacks": ["a b"]}, "rules[1].fallbacks: "),
        ({"model": "nobodys"}, "rules[1].model: There is no model 'nobodys' that you may use."),
        ({"model": "globex-own"}, "rules[1].model: There is no model 'globex-own' that you may use."),
        ({"model": "cheap", "fallbacks": ["globex-own"]}, "rules[1].fallbacks: There is no model 'globex-own'"),
    ],
)
def test_it_refuses_what_saving_refuses_and_says_where(instances, fields, words):
    assert complaint([{"model": "cheap"}, fields], instances.acme.pk).startswith(words)


def test_it_takes_no_more_rules_than_a_tenant_may_have(instances):
    many = [RoutingRule(model="cheap")] * (MAX_RULES + 1)
    text, acme = proposals.to_yaml(many), instances.acme.pk
    assert complaint([{"model": "cheap"}] * len(many), acme) == "rules: A tenant has at most 200 rules."
    with pytest.raises(ConfigurationError) as refused:
        proposals.from_yaml(text, acme, environ={})
    assert (refused.value.line, refused.value.reason) == (2, "A tenant has at most 200 rules.")
    assert len(proposals.from_yaml(proposals.to_yaml(many[1:]), acme, environ={})) == MAX_RULES
    assert len(proposals.from_yaml(text, None, environ={})) == len(proposals.from_fields([{"model": "x"}] * 201, None))


def test_it_lets_a_tenant_keep_names_that_went_away(instances):
    RoutingRule.objects.create(tenant=instances.acme, model="gone")
    assert proposals.from_fields([{"model": "gone", "weight": 7}], instances.acme.pk)


def test_it_lets_the_platform_name_models_that_are_still_to_come(instances):
    assert proposals.from_fields([{"model": "nobodys-yet"}], None)


def test_it_reads_the_rules_of_a_file_and_passes_over_its_models():
    text = "models:\n  - {name: x, api_key: '${NOWHERE}'}\nrouting_rules:\n  - {model: a, conditions: ['stream']}\n"
    (rule,) = proposals.from_yaml(text, None, environ={})
    assert (rule.model, rule.conditions, rule.pk) == ("a", ["stream"], None)
    assert proposals.from_yaml("routing_rules: []", None, environ={}) == []
    assert proposals.from_yaml("routing_rules:", None, environ={}) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", (1, 1)),
        ("models: []", (1, 1)),
        ("routing_rules: 3", (1, 16)),
        ("routing_rules:\n  - {weight: 3}", (2, 5)),
        ("routing_rules:\n  - {model: a, wieght: 3}", (2, 16)),
        ("routing_rules:\n  - {model: a, weight: 0}", (2, 24)),
        ("routing_rules:\n  - model: a\n    conditions: ['stream and']", (3, 29)),
        ("routing_rules:\n  - {model: '${HOME}'}", (2, 13)),
    ],
)
def test_it_says_where_a_file_is_wrong(text, place):
    with pytest.raises(ConfigurationError) as refused:
        proposals.from_yaml(text, None, environ={})
    assert (refused.value.line, refused.value.column) == place


def test_it_writes_rules_as_it_reads_them(companies):
    for fields in (
        {"model": "a", "conditions": ["metadata.x == '${Y}'"], "priority": 3},
        {"model": "b", "enabled": False},
    ):
        RoutingRule.objects.create(**fields)
    now = proposals.rules_now(None)
    text = proposals.to_yaml(now)
    assert [proposals.fields_of(rule) for rule in proposals.from_yaml(text, None, environ={})] == [
        proposals.fields_of(rule) for rule in now
    ]
    assert text.removeprefix("routing_rules:\n") in dump(tenant=None)


def test_it_puts_them_in_place_of_the_rules_of_the_scope_only(instances):
    shared = RoutingRule.objects.create(model="cheap")
    mine = RoutingRule.objects.create(model="acme-own", tenant=instances.acme, name="mine")
    his = RoutingRule.objects.create(model="globex-own", tenant=instances.globex)

    def names(rules: list[RoutingRule], tenant_id: int | None) -> list[str]:
        table = proposals.table_with(rules, tenant_id, timeout=30)
        assert len(table.entries) == 4
        return sorted(rule.name for rule in table.rules)

    assert names([], instances.acme.pk) == sorted([str(shared), str(his)])
    assert names([], None) == sorted([str(mine), str(his)])
    edited = [RoutingRule(model="dear", priority=4), RoutingRule(model="dear", name="named")]
    assert names(edited, None) == sorted([str(mine), str(his), "dear (rule 1)", "named"])
    assert names([RoutingRule(model="dear", enabled=False)], None) == sorted([str(mine), str(his)])


def test_it_knows_a_rule_that_says_what_a_saved_one_says(instances):
    saved = [RoutingRule.objects.create(model="cheap", weight=weight) for weight in (60, 60, 40)]
    same = [RoutingRule(model="cheap", weight=weight) for weight in (40, 60, 60, 60)]
    rules = proposals.table_with(same, None, timeout=30).rules
    assert [rule.id for rule in rules] == [saved[2].pk, saved[0].pk, saved[1].pk, proposals.NEW + 4]
    assert [rule.name for rule in rules] == [str(saved[2]), str(saved[0]), str(saved[1]), "cheap (rule 4)"]
