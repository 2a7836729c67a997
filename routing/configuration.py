"""Models and rules as one YAML file, in the form of the documentation (`docs/configuration.md`).

A model is known by its name and label: a listed one is made or brought in line with the file (what is left out gets
its default, only the key stays), one that is not listed is left alone. `routing_rules`, where present, are all rules
of the scope: the platform's, or one tenant's. Other apps keep `SECTIONS` of a tenant's file. A file is taken as a whole
or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final, NoReturn, Protocol

import msgspec
import yaml
from django.core.exceptions import ValidationError
from django.db import models, transaction
from yaml.nodes import Node, ScalarNode

from routing.conditions import ConditionError, compile_condition
from routing.documents import Block, ConfigurationError, Read, Reader, escaped, parse, place_of
from routing.models import ModelGrant, ModelInstance, RoutingRule
from routing.services import api_key_of, delete_rule, has_moved, save_instance, save_rule
from routing.validation import clean_model_name
from tenants.models import Tenant
from tenants.secrets import SealBroken


def _fallbacks(reader: Reader, node: Node) -> list[str]:
    return list(dict.fromkeys(_fallback(reader, item) for item in reader.items(node)))


def _fallback(reader: Reader, node: Node) -> str:
    try:
        return clean_model_name(reader.text(node), field="fallbacks")
    except ValidationError as error:
        place_of(node).refuse(f"fallbacks: {error.messages[0]}")


def _conditions(reader: Reader, node: Node) -> list[str]:
    return [_condition(reader, item) for item in reader.items(node)]


def _condition(reader: Reader, node: Node) -> str:
    text = reader.text(node)
    try:
        compile_condition(text)
    except ConditionError as error:
        place = place_of(node)
        quote = 1 if isinstance(node, ScalarNode) and node.style in ("'", '"') else 0
        written = node.end_mark.index - node.start_mark.index - 2 * quote == len(text)  # as it is read: on one line
        column = place.column + quote + error.column - 1 if written else place.column
        raise ConfigurationError(place.line, column, f"{error.reason} (in the condition {text!r})") from None
    return text


MODEL_KEYS: Final[Mapping[str, Read]] = {
    "name": Reader.text,
    "label": Reader.text,
    "task": Reader.text,
    "adapter": Reader.text,
    "endpoint": Reader.text,
    "api_key": Reader.text,
    "upstream_model": Reader.text,
    "weight": Reader.whole,
    "version": Reader.text,
    "context_window": Reader.whole,
    "max_concurrency": Reader.whole,
    "languages": Reader.texts,
    "price_in": Reader.amount,
    "price_out": Reader.amount,
    "timeout": Reader.number,
    "connect_timeout": Reader.number,
    "first_token_timeout": Reader.number,
    "idle_timeout": Reader.number,
    "total_timeout": Reader.number,
    "probe_interval": Reader.number,
    "batch_window": Reader.number,
    "batch_size": Reader.whole,
    "allow_private": Reader.flag,
    "options": Reader.mapping,
    "tenants": Reader.texts,
    "enabled": Reader.flag,
}
RULE_KEYS: Final[Mapping[str, Read]] = {
    "model": Reader.text,
    "weight": Reader.whole,
    "conditions": _conditions,
    "fallbacks": _fallbacks,
    "priority": Reader.whole,
    "name": Reader.text,
    "enabled": Reader.flag,
}
_ASIDE: Final = ("api_key", "tenants")  # not columns
_SECRET: Final = re.compile(r"key|token|secret|password|authorization|credential|cookie", re.IGNORECASE)


class Outcome(msgspec.Struct):
    """How many models and rules a file made, changed and left as they were; rules it removed."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0

    def __str__(self) -> str:
        return (
            f"{self.created} created, {self.updated} updated, {self.unchanged} unchanged, {self.removed} rules removed"
        )


class Section(Protocol):
    """A list of mappings in a tenant's file that another app keeps. `keys` are what such a mapping may say."""

    @property
    def keys(self) -> Mapping[str, Read]: ...

    def load(self, blocks: list[Block], tenant: Tenant, outcome: Outcome) -> None:
        """In the transaction of the whole file; counts what it did. Raises ConfigurationError."""

    def dump(self, tenant: Tenant, taken: set[str]) -> list[dict[str, Any]]:
        """What `load` reads back to the same rows, secrets by `placeholder`; empty: the file does without."""


SECTIONS: Final[dict[str, Section]] = {}
"""By their key. Apps enter theirs when they are ready."""


def load(text: str, *, tenant: Tenant | None, environ: Mapping[str, str]) -> Outcome:
    """Makes the scope (a tenant, or with None the platform) what the text says. Raises ConfigurationError, and then
    nothing has changed."""
    reader = Reader(environ)
    node = parse(text)
    if node is None:
        raise ConfigurationError(1, 1, "expected models or routing_rules, found nothing")
    model_keys = {key: read for key, read in MODEL_KEYS.items() if tenant is None or key != "tenants"}
    document = reader.block(
        node,
        {
            "models": lambda reader, node: [reader.block(item, model_keys) for item in reader.items(node)],
            "routing_rules": lambda reader, node: [reader.block(item, RULE_KEYS) for item in reader.items(node)],
            **(
                {key: partial(_blocks, section.keys) for key, section in SECTIONS.items()} if tenant is not None else {}
            ),
        },
    )
    outcome = Outcome()
    with transaction.atomic():
        _load_models(document.values.get("models", []), tenant, outcome)
        if "routing_rules" in document.values:
            _load_rules(document.values["routing_rules"], tenant, outcome)
        for key, section in SECTIONS.items():
            if tenant is not None and key in document.values:
                section.load(document.values[key], tenant, outcome)
    return outcome


def dump(*, tenant: Tenant | None) -> str:
    """What `load` reads back to the same rows. Secrets are `${NAME}`, never their values."""
    taken: set[str] = set()
    instances = _scope(ModelInstance, tenant).order_by("name", "label", "id")
    rules = _scope(RoutingRule, tenant).order_by("-priority", "id")
    document: dict[str, Any] = {
        "models": [_model_lines(row, taken) for row in instances],
        "routing_rules": [_lines(row, RULE_KEYS, ("model", "weight")) for row in rules],
    }
    if tenant is not None:
        found = {key: section.dump(tenant, taken) for key, section in SECTIONS.items()}
        document.update({key: lines for key, lines in found.items() if lines})
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _blocks(keys: Mapping[str, Read], reader: Reader, node: Node) -> list[Block]:
    return [reader.block(item, keys) for item in reader.items(node)]


def _scope(model: type[Any], tenant: Tenant | None) -> models.QuerySet[Any]:
    rows: models.QuerySet[Any] = model.objects.filter(
        **({"tenant__isnull": True} if tenant is None else {"tenant": tenant})
    )
    return rows


# Reading ------------------------------------------------------------------------------------------------------------


def _load_models(blocks: list[Block], tenant: Tenant | None, outcome: Outcome) -> None:
    known = {(row.name, row.label): row for row in _scope(ModelInstance, tenant)}
    seen: set[tuple[str, str]] = set()
    for block in blocks:
        name, label = block.values.get("name"), block.values.get("label", "")
        if name is None:
            block.place.refuse("a model needs a name")
        if (name, label) in seen:
            block.place.refuse(f"{name!r} is there twice: give one of them another label")
        seen.add((name, label))
        row = known.get((name, label))
        new = row is None
        if row is None:
            row = ModelInstance(tenant=tenant)
        _load_model(row, block, new, outcome)


def _load_model(row: ModelInstance, block: Block, new: bool, outcome: Outcome) -> None:
    changed = _fill(row, block, MODEL_KEYS)
    api_key: str | None = block.values.get("api_key")
    if api_key is not None and not new and api_key == _known_key(row) and not has_moved(row):
        api_key = None
    tenants = _tenants(block)
    if tenants is None and row.sharing != ModelInstance.Sharing.ALL:
        row.sharing, changed = ModelInstance.Sharing.ALL, True
    if tenants is not None and not new and {each.slug for each in tenants} == set(_granted(row)):
        changed = changed or row.sharing != ModelInstance.Sharing.LISTED
        tenants = tenants if changed else None
    if not (new or changed or api_key is not None or tenants is not None):
        outcome.unchanged += 1
        return
    try:
        save_instance(instance=row, api_key=api_key, tenants=tenants)
    except ValidationError as error:
        refuse(error, block)
    outcome.created += new
    outcome.updated += not new


def _load_rules(blocks: list[Block], tenant: Tenant | None, outcome: Outcome) -> None:
    """Rules have no identity but what they say: those that are there already stay, in the file's order or not. The
    others go before new ones come, so that there is room for these."""
    left = list(_scope(RoutingRule, tenant).order_by("id"))
    new: list[tuple[RoutingRule, Block]] = []
    for block in blocks:
        if "model" not in block.values:
            block.place.refuse("a rule needs a model")
        wanted = RoutingRule(tenant=tenant)
        _fill(wanted, block, RULE_KEYS)
        same = next((row for row in left if all(getattr(row, key) == getattr(wanted, key) for key in RULE_KEYS)), None)
        if same is None:
            new.append((wanted, block))
        else:
            left.remove(same)
    for row in left:
        delete_rule(rule=row)
    for wanted, block in new:
        try:
            save_rule(rule=wanted)
        except ValidationError as error:
            refuse(error, block)
    outcome.created += len(new)
    outcome.unchanged += len(blocks) - len(new)
    outcome.removed += len(left)


def _fill(row: models.Model, block: Block, keys: Mapping[str, Read]) -> bool:
    """Every column as the block says, or its default. Says whether one changed."""
    changed = False
    for key in keys:
        if key in _ASIDE:
            continue
        default: Callable[[], Any] = row._meta.get_field(key).get_default  # type: ignore[union-attr]
        value = block.values[key] if key in block.values else default()
        if getattr(row, key) != value:
            setattr(row, key, value)
            changed = True
    return changed


def refuse(error: ValidationError, block: Block) -> NoReturn:
    """What a row's own checks say, at the place of the value that is wrong."""
    field, messages = next(iter(error.message_dict.items()))
    place = block.places.get(field, block.place)
    place.refuse(f"{field}: {messages[0]}" if field != "__all__" else messages[0])


def _tenants(block: Block) -> list[Tenant] | None:
    """None: every tenant."""
    slugs = block.values.get("tenants")
    if slugs is None:
        return None
    found = {tenant.slug: tenant for tenant in Tenant.objects.filter(slug__in=slugs)}
    for slug in slugs:
        if slug not in found:
            block.places["tenants"].refuse(f"there is no tenant {slug!r}")
    return list(found.values())


def _granted(row: ModelInstance) -> list[str]:
    grants = ModelGrant.objects.everywhere().filter(instance=row)
    return list(grants.order_by("tenant__slug").values_list("tenant__slug", flat=True))


def _known_key(row: ModelInstance) -> str | None:
    try:
        return api_key_of(row)
    except SealBroken:
        return None


# Writing ------------------------------------------------------------------------------------------------------------


def _model_lines(row: ModelInstance, taken: set[str]) -> dict[str, Any]:
    lines = _lines(row, MODEL_KEYS, ("name", "adapter", "endpoint"))
    if row.sealed_key:
        lines["api_key"] = placeholder(f"{row.name} {row.label} API_KEY", taken)
    if "options" in lines:
        lines["options"] = masked(lines["options"], f"{row.name} {row.label}", taken)
    if row.sharing == ModelInstance.Sharing.LISTED:
        lines["tenants"] = _granted(row)
    return {key: lines[key] for key in MODEL_KEYS if key in lines}


def _lines(row: models.Model, keys: Mapping[str, Read], always: tuple[str, ...]) -> dict[str, Any]:
    """The columns that say something."""
    lines = {}
    for key in keys:
        if key in _ASIDE:
            continue
        value = getattr(row, key)
        if key in always or value != row._meta.get_field(key).get_default():  # type: ignore[union-attr]
            lines[key] = plain(value)
    return lines


def plain(value: Any) -> Any:
    """As YAML writes it, so that it is read back the same."""
    if isinstance(value, Decimal | float):
        return int(value) if value == int(value) else float(value)
    return escaped(value)


def masked(options: Any, owner: str, taken: set[str]) -> Any:
    """Options whose name sounds like a secret are taken for one."""
    if isinstance(options, dict):
        return {
            key: placeholder(f"{owner} {key}", taken)
            if isinstance(value, str) and _SECRET.search(key)
            else masked(value, owner, taken)
            for key, value in options.items()
        }
    return [masked(item, owner, taken) for item in options] if isinstance(options, list) else options


def placeholder(words: str, taken: set[str]) -> str:
    """`${GPT_4_API_KEY}`, numbered where two models would get the same."""
    stem = re.sub(r"[^A-Z0-9]+", "_", words.upper()).strip("_")
    if not stem[:1].isalpha():
        stem = f"MODEL_{stem}"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name)
    return f"${{{name}}}"
