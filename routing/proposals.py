"""Rules somebody thinks about: checked as when they are saved, compiled beside all others, and never saved.

They take the place of the rules of one scope, a tenant's or (None) the platform's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import yaml
from django.core.exceptions import ValidationError

from engine.outbound import Clients, HttpClient
from engine.types import Json
from routing.configuration import RULE_KEYS
from routing.documents import Block, ConfigurationError, Reader, escaped, parse
from routing.models import RoutingRule
from routing.services import MAX_RULES, check_names, usable_names
from routing.snapshot import compile_routing, compile_rule
from routing.table import RoutingTable, Rule
from routing.validation import check_comparisons, count_comparisons

NEW: Final = 2**40  # ids of rules that have none; they count as younger than all that have

_CONNECTS_NOWHERE: Final = Clients(*[cast(HttpClient, None)] * 2)  # an adapter opens nothing before it is called


def from_fields(items: Sequence[Mapping[str, Any]], tenant_id: int | None) -> list[RoutingRule]:
    """Raises ValidationError, whose field says which rule it is and what of it: `rules[2].model`, from 0."""
    _check_room(len(items), tenant_id, "rules")
    rules = []
    usable = usable_names(tenant_id) if tenant_id is not None else frozenset()
    kept = {name for row in rules_now(tenant_id) for name in (row.model, *row.fallbacks)}
    for place, fields in enumerate(items):
        rule = RoutingRule(tenant_id=tenant_id, **fields)
        try:
            _check(rule)
            if tenant_id is not None:
                check_names(rule, usable, kept)
        except ValidationError as error:
            field, messages = next(iter(error.message_dict.items()))
            raise ValidationError({f"rules[{place}].{field}": messages[0]}) from None
        rules.append(rule)
    try:
        _check_effort(rules)
    except ValidationError as error:
        raise ValidationError({"rules": error.messages[0]}) from None
    return rules


def from_yaml(text: str, tenant_id: int | None, *, environ: Mapping[str, str]) -> list[RoutingRule]:
    """The `routing_rules` of a file as `loadconfig` reads it; its models are passed over. Raises ConfigurationError."""
    node = parse(text)
    if node is None:
        raise ConfigurationError(1, 1, "expected routing_rules, found nothing")
    document = Reader(environ).block(
        node,
        {
            "models": lambda reader, node: None,
            "routing_rules": lambda reader, node: [reader.block(item, RULE_KEYS) for item in reader.items(node)],
        },
    )
    if "routing_rules" not in document.places:
        document.place.refuse("expected routing_rules")
    blocks = document.values.get("routing_rules", [])
    try:
        _check_room(len(blocks), tenant_id, "routing_rules")
        rules = [_from_block(block, tenant_id) for block in blocks]
        _check_effort(rules)
    except ValidationError as error:
        document.places["routing_rules"].refuse(error.messages[0])
    return rules


def to_yaml(rules: Sequence[RoutingRule]) -> str:
    """What `from_yaml` reads back to the same rules."""
    lines = [{key: escaped(value) for key, value in _said(rule).items()} for rule in rules]
    return yaml.safe_dump({"routing_rules": lines}, sort_keys=False, allow_unicode=True, width=120)


def fields_of(rule: RoutingRule) -> Json:
    """What `from_fields` takes."""
    return {key: getattr(rule, key) for key in RULE_KEYS}


def rules_now(tenant_id: int | None) -> list[RoutingRule]:
    """The rules of the scope as they are saved, in the order they are asked."""
    rows = RoutingRule.objects.filter(**{"tenant__isnull": True} if tenant_id is None else {"tenant_id": tenant_id})
    return list(rows.order_by("-priority", "id"))


def table_with(rules: Sequence[RoutingRule], tenant_id: int | None, *, timeout: float) -> RoutingTable:
    """The configuration as it is saved, compiled apart from the live one, with these rules in place of the scope's.
    Reads the database."""
    saved = compile_routing(RoutingTable(), _CONNECTS_NOWHERE, timeout=timeout)
    others = [rule for rule in saved.rules if rule.tenant_id != tenant_id]
    return RoutingTable(saved.entries.values(), [*others, *_compiled(rules, tenant_id)])


def _compiled(rules: Sequence[RoutingRule], tenant_id: int | None) -> list[Rule]:
    """One that says the same as a saved rule is that rule: records know it by its name. Others without a name are
    called by their place in the list."""
    left = rules_now(tenant_id)
    compiled = []
    for number, rule in enumerate(rules, 1):
        same = next((row for row in left if fields_of(row) == fields_of(rule)), None)
        if same is not None:
            left.remove(same)
        else:
            same = RoutingRule(id=NEW + number, tenant_id=tenant_id, **fields_of(rule))
            same.name = rule.name or f"{rule.model} (rule {number})"
        if same.enabled and (found := compile_rule(same)) is not None:
            compiled.append(found)
    return compiled


def _check(rule: RoutingRule) -> None:
    """As `full_clean` does, less what asks the database."""
    rule.clean_fields(exclude={"tenant"})
    rule.clean()


def _check_room(count: int, tenant_id: int | None, field: str) -> None:
    if tenant_id is not None and count > MAX_RULES:
        raise ValidationError({field: f"A tenant has at most {MAX_RULES} rules."})


def _check_effort(rules: Sequence[RoutingRule]) -> None:
    check_comparisons(count_comparisons(text for rule in rules if rule.enabled for text in rule.conditions))


def _from_block(block: Block, tenant_id: int | None) -> RoutingRule:
    if "model" not in block.values:
        block.place.refuse("a rule needs a model")
    rule = RoutingRule(tenant_id=tenant_id, **block.values)
    try:
        _check(rule)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        block.places.get(field, block.place).refuse(f"{field}: {messages[0]}")
    return rule


def _said(rule: RoutingRule) -> Json:
    """The fields that say something."""
    fresh = RoutingRule()
    return {
        key: value
        for key, value in fields_of(rule).items()
        if key in ("model", "weight") or value != getattr(fresh, key)
    }
