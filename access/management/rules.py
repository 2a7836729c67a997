"""`/api/rules`: a tenant's own routing rules, and the platform's that apply to it."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from django.db import transaction
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.views import LeanView
from engine.errors import Forbidden, NotFound
from engine.types import Json
from routing import services
from routing.models import RoutingRule

RuleName = Annotated[str, Meta(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\Z")]

_RULE_ID = re.compile(r"[1-9][0-9]{0,17}\Z")


class RuleBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A whole rule. `conditions` must all hold (none: always); of the rules that match at the highest `priority` each
    gives its `model` a share by `weight`; `fallbacks` are names to go on with where the model cannot answer."""

    model: str
    name: RuleName = ""
    priority: int = 0
    weight: int = 1
    conditions: list[str] = []
    fallbacks: list[str] = []
    enabled: bool = True


class RulePatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of a rule is to change; what is absent stays."""

    model: str | UnsetType = UNSET
    name: RuleName | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    weight: int | UnsetType = UNSET
    conditions: list[str] | UnsetType = UNSET
    fallbacks: list[str] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class RuleAnswer(msgspec.Struct, kw_only=True):
    """A rule. Those of `scope` `platform` apply to the tenant and are not its to change; of their names only those the
    tenant may use are shown: `model` null is another, and the rule decides by its fallbacks."""

    id: int
    name: str
    priority: int
    model: str | None
    weight: int
    conditions: list[str]
    fallbacks: list[str]
    enabled: bool
    scope: Literal["tenant", "platform"]


class RulePage(msgspec.Struct):
    """In the order they are asked: the tenant's own, then the platform's."""

    rules: list[RuleAnswer]


class RuleList(LeanView):
    """GET: the tenant's rules and the platform's that apply to it. POST: makes one of its own, 201."""

    area = "rules"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(RulePage(await self.parts.rows.run(partial(listed, self.principal.tenant_id))))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        values = msgspec.structs.asdict(schemas.fields(self.body(), RuleBody))
        return self.json(await self.parts.rows.run(partial(make, self.principal.tenant_id, values)), status=201)


class RuleDetail(LeanView):
    """GET, PUT (a whole rule), PATCH (what changes) and DELETE of one rule. Unknown and foreign ids alike are 404; a
    rule of the platform's that applies to the tenant can be read, changing it is 403."""

    area = "rules"
    http_method_names = ["get", "put", "patch", "delete"]

    async def get(self, request: Request, rule_id: str, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(read, self.principal.tenant_id, _known_form(rule_id))))

    async def put(self, request: Request, rule_id: str, **kwargs: Any) -> JsonReply:
        return await self._change(rule_id, RuleBody)

    async def patch(self, request: Request, rule_id: str, **kwargs: Any) -> JsonReply:
        return await self._change(rule_id, RulePatch)

    async def delete(self, request: Request, rule_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(remove, self.principal.tenant_id, _known_form(rule_id)))
        return HttpResponse(status=204)

    async def _change(self, rule_id: str, kind: type[RuleBody] | type[RulePatch]) -> JsonReply:
        found = _known_form(rule_id)
        values = schemas.given(schemas.fields(self.body(), kind))
        return self.json(await self.parts.rows.run(partial(change, self.principal.tenant_id, found, values)))


def listed(tenant_id: int) -> list[RuleAnswer]:
    usable = services.usable_names(tenant_id)
    return [_answer(rule, usable) for rule in (*services.rules_of(tenant_id), *services.platform_rules(usable))]


def read(tenant_id: int, rule_id: int) -> RuleAnswer:
    """Raises NotFound."""
    usable = services.usable_names(tenant_id)
    own = services.rules_of(tenant_id).filter(pk=rule_id).first()
    applying = services.platform_rules(usable) if own is None else [own]
    for rule in applying:
        if rule.pk == rule_id:
            return _answer(rule, usable)
    raise NotFound("There is no such rule.")


def make(tenant_id: int, values: Json) -> RuleAnswer:
    """Raises ValidationError."""
    rule = RoutingRule(tenant_id=tenant_id, **values)
    return _answer(services.save_rule(rule=rule, usable=services.usable_names(tenant_id)))


def change(tenant_id: int, rule_id: int, values: Json) -> RuleAnswer:
    """Raises NotFound, Forbidden, ValidationError."""
    with transaction.atomic():
        rule = _own(tenant_id, rule_id)
        changed = {name: value for name, value in values.items() if getattr(rule, name) != value}
        for name, value in changed.items():
            setattr(rule, name, value)
        if changed:
            services.save_rule(rule=rule, usable=services.usable_names(tenant_id))
    return _answer(rule)


def remove(tenant_id: int, rule_id: int) -> None:
    """Raises NotFound, Forbidden."""
    with transaction.atomic():
        services.delete_rule(rule=_own(tenant_id, rule_id))


def _own(tenant_id: int, rule_id: int) -> RoutingRule:
    """Locked until the transaction ends."""
    rule = services.rules_of(tenant_id).select_for_update().filter(pk=rule_id).first()
    if rule is not None:
        return rule
    read(tenant_id, rule_id)
    raise Forbidden("This rule is the platform's: its operators change it.")


def _answer(rule: RoutingRule, usable: frozenset[str] | None = None) -> RuleAnswer:
    """`usable`: of a rule of the platform's only the names the tenant may use are shown."""
    own = rule.tenant_id is not None
    known = rule.model if own or services.is_usable(rule.model, usable or ()) else None
    return RuleAnswer(
        id=rule.pk,
        name=rule.name,
        priority=rule.priority,
        model=known,
        weight=rule.weight,
        conditions=rule.conditions,
        fallbacks=[name for name in rule.fallbacks if own or services.is_usable(name, usable or ())],
        enabled=rule.enabled,
        scope="tenant" if own else "platform",
    )


def _known_form(rule_id: str) -> int:
    """No rule has another form of id, so there is nothing to look for."""
    if not _RULE_ID.match(rule_id):
        raise NotFound("There is no such rule.")
    return int(rule_id)
