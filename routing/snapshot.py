"""Compiles the rows of routing into the table the request path reads."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from math import ceil
from typing import NamedTuple, cast

import msgspec

from adapters import registry
from adapters.base import AdapterConfig, InvalidAdapterConfig
from engine.outbound import Clients
from engine.types import Instance, Task
from routing.conditions import ConditionError, compile_condition
from routing.health import Health
from routing.models import ModelGrant, ModelInstance, RoutingRule
from routing.services import api_key_of
from routing.table import Entry, RoutingTable, Rule
from tenants.secrets import SealBroken

log = logging.getLogger(__name__)


def compile_routing(previous: RoutingTable, http: Clients, *, timeout: float, workers: int = 1) -> RoutingTable:
    """Reads the database: for a thread, never for the event loop. `timeout` (seconds) is for instances without one;
    `workers` divide what an instance takes at a time.

    What did not change is taken over from `previous`: adapters with their connections, health, whose turn it is. An
    instance that cannot be built and a rule that does not compile are left out and logged."""
    granted: defaultdict[int, set[int]] = defaultdict(set)
    terms = _Terms(timeout, workers)
    for instance_id, tenant_id in ModelGrant.objects.everywhere().values_list("instance_id", "tenant_id"):
        granted[instance_id].add(tenant_id)
    rows = ModelInstance.objects.everywhere().filter(enabled=True).select_related("tenant").order_by("id")
    entries = [entry for row in rows if (entry := _entry(row, granted[row.pk], previous, http, terms))]
    known = {rule.id: rule for rule in previous.rules}
    rows_of_rules = RoutingRule.objects.everywhere().filter(enabled=True).order_by("id")
    rules = [compile_rule(row, known.get(row.pk)) for row in rows_of_rules]
    kept = [rule for rule in rules if rule is not None]
    return RoutingTable(entries, kept, balances=previous.balances, classes=previous.classes)


class _Terms(NamedTuple):
    """What every instance of this process has in common."""

    timeout: float
    workers: int


async def close_replaced(previous: RoutingTable, current: RoutingTable) -> None:
    """Lets go of the adapters that no longer serve; calls still running go on."""
    kept = {id(entry.adapter) for entry in current.entries.values()}
    for entry in previous.entries.values():
        if id(entry.adapter) not in kept:
            await entry.adapter.close()


def _entry(row: ModelInstance, granted: set[int], previous: RoutingTable, http: Clients, terms: _Terms) -> Entry | None:
    instance = _instance(row, terms)
    fingerprint = _fingerprint(row, instance)
    before = previous.entries.get(row.pk)
    if before is not None and before.fingerprint == fingerprint:
        adapter, health = before.adapter, before.health
    else:
        try:
            config = AdapterConfig(
                endpoint=row.endpoint,
                api_key=api_key_of(row),
                timeout=instance.timeout,
                connect_timeout=instance.connect_timeout,
                first_token_timeout=instance.first_token_timeout,
                idle_timeout=instance.idle_timeout,
                total_timeout=instance.total_timeout,
                upstream_model=row.upstream_model,
                options=row.options,
            )
            adapter = registry.build(row.adapter, config, http.reaching(row.allow_private))
            health = Health(previous.classes)
        except (InvalidAdapterConfig, SealBroken) as error:
            log.error("model instance %s (%s) is left out: %s", row.pk, row, error)
            return None
    listed = row.tenant_id is None and row.sharing == ModelInstance.Sharing.LISTED
    return Entry(
        instance=instance,
        label=row.label,
        adapter=adapter,
        health=health,
        fingerprint=fingerprint,
        owner=row.tenant.slug if row.tenant is not None else "",
        tenants=frozenset(granted) if listed else None,
        created=int(row.created_at.timestamp()),
    )


def _instance(row: ModelInstance, terms: _Terms) -> Instance:
    return Instance(
        id=row.pk,
        name=row.name,
        tenant_id=row.tenant_id,
        task=cast(Task, row.task),
        adapter=row.adapter,
        endpoint=row.endpoint,
        upstream_model=row.upstream_model,
        version=row.version,
        weight=row.weight,
        context_window=row.context_window,
        max_concurrency=ceil(row.max_concurrency / terms.workers) if row.max_concurrency is not None else None,
        languages=tuple(row.languages),
        price_in=float(row.price_in),
        price_out=float(row.price_out),
        timeout=terms.timeout if row.timeout is None else row.timeout,
        connect_timeout=row.connect_timeout,
        first_token_timeout=row.first_token_timeout,
        idle_timeout=row.idle_timeout,
        total_timeout=row.total_timeout,
        probe_interval=row.probe_interval,
        batch_window=row.batch_window,
        batch_size=row.batch_size,
        allow_private=row.allow_private,
    )


def _fingerprint(row: ModelInstance, instance: Instance) -> str:
    """Of everything the adapter is built from, and of whose it is; the key in its sealed form."""
    built_from = (
        row.tenant_id, row.task, row.adapter, row.endpoint, row.sealed_key, instance.timeout, row.connect_timeout,
        row.first_token_timeout, row.idle_timeout, row.total_timeout, row.upstream_model, row.options,
        row.allow_private,
    )  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(built_from, order="deterministic")).hexdigest()


def compile_rule(row: RoutingRule, before: Rule | None = None) -> Rule | None:
    """None: a condition does not compile, which is logged. Conditions the rule had `before` are taken over."""
    known = {condition.text: condition for condition in before.conditions} if before is not None else {}
    try:
        conditions = tuple([known.get(text) or compile_condition(text) for text in row.conditions])
    except ConditionError as error:
        log.error("routing rule %s (%s) is left out: %s", row.pk, row, error)
        return None
    if before is not None and conditions == before.conditions:
        conditions = before.conditions
    return Rule(
        id=row.pk,
        name=str(row),
        tenant_id=row.tenant_id,
        priority=row.priority,
        model=row.model,
        weight=row.weight,
        conditions=conditions,
        fallbacks=tuple(row.fallbacks),
    )
