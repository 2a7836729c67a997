"""`/api/route`: why a request would go where, without sending it; where recorded ones would go under other rules."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.authentication import with_user
from access.lean import JsonReply
from access.management.jobs import JobAnswer, answer
from access.management.rules import RuleBody
from access.parts import Parts
from access.replay_requests import request_replay
from access.replaying import Period, period
from access.views import LeanView
from engine.turn import new_turn_id
from engine.types import ChatRequest, Json, Principal
from routing import proposals
from routing.complexity import complexity_score
from routing.services import MAX_RULES
from tenants.models import Tenant


class ReplayedRule(RuleBody, kw_only=True, forbid_unknown_fields=True):
    """A rule as `/api/rules` takes it or lists it; `id` says nothing, and with the `scope` `platform` all is passed
    over."""

    id: int | None = None
    scope: Literal["tenant", "platform"] = "tenant"


class ReplayBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """`rules` are all of the tenant's own; the platform's stay. `from` and `to` are in Unix seconds or ISO 8601: the
    last 24 hours unless told, at most 90 days."""

    rules: Annotated[list[ReplayedRule], Meta(max_length=MAX_RULES)]
    from_: float | Annotated[str, Meta(max_length=40)] | None = None
    to: float | Annotated[str, Meta(max_length=40)] | None = None


class Found(msgspec.Struct, forbid_unknown_fields=True):
    """What plugins would find out, where it is not as they do."""

    language: schemas.Language | UnsetType = UNSET
    intent: schemas.Text | UnsetType = UNSET


class ExplainBody(schemas.ChatBody, kw_only=True):
    """A body of `/api/chat`. `features` are what plugins would find out: those that do nothing else are asked, and what
    is given here goes before what they say."""

    features: Found | None = None


class RouteExplain(LeanView):
    """POST a body of `/api/chat`: the model, instance, rules, candidates and features it would be routed by, in its
    session. Nothing is written."""

    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        body = self.body()
        given = schemas.fields(body, ExplainBody).features
        found: Json = msgspec.to_builtins(given) if given is not None else {}
        chat = schemas.chat_request(
            body,
            edge="rest",
            request_id=self.lean_request.request_id,
            headers=self.raw_headers,
        )
        principal = with_user(self.principal, chat.user)
        await count(self.parts, principal, chat)
        async with self.parts.engine.rehearsed(principal, chat) as turn:
            found = {**turn.features, **found}
            decision = self.parts.router.explain(principal, turn.request, turn.history(), found, turn.constraints)
        return self.json(decision)


class RouteScore(LeanView):
    """POST `{"text"}`: its `complexity_score`, 0 to 1."""

    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body(), schemas.ScoreBody)
        await count(self.parts, self.principal, ChatRequest(messages=[]))
        return self.json({"complexity_score": complexity_score(body.text)})


class RouteReplay(LeanView):
    """POST `{"rules", "from", "to"}`: queues a replay of the tenant's recorded turns under these rules, 202 with the
    job. Nothing is saved or sent to a model."""

    needs = ("manage",)
    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        body = schemas.fields(_own(self.body()), ReplayBody)
        during = period(body.from_, body.to)
        fields = [{name: getattr(rule, name) for name in RuleBody.__struct_fields__} for rule in body.rules]
        principal = self.principal
        job = await self.parts.rows.run(partial(replay, principal.tenant_id, principal.subject, fields, during))
        return self.json(job, status=202)


async def count(parts: Parts, principal: Principal, request: ChatRequest) -> None:
    """Against the tenant's limits, as a turn: it takes the same thought, on the loop all tenants share. Raises like
    `Limiter.admit`."""
    admission = await parts.engine.limiter.admit(principal, request, new_turn_id(time.time()))
    admission.release()


def _own(body: Json) -> Json:
    """Without the platform's rules, of which a tenant is not told everything."""
    rules = body.get("rules")
    if not isinstance(rules, list):
        return body
    own = [rule for rule in rules if not (isinstance(rule, dict) and rule.get("scope") == "platform")]
    return {**body, "rules": own}


def replay(tenant_id: int, subject: str, fields: list[Json], during: Period) -> JobAnswer:
    """Raises ValidationError, RateLimited, StoreUnavailable."""
    rules = proposals.from_fields(fields, tenant_id)
    tenant = Tenant.objects.get(pk=tenant_id)
    return answer(request_replay(rules=rules, tenant=tenant, during=during, created_by=subject))
