"""`/api/route`: why a request would go where, without sending it; where recorded ones would go under other rules."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from rest_framework.request import Request

from access import schemas
from access.authentication import with_user
from access.lean import JsonReply
from access.management.jobs import JobAnswer, answer
from access.management.rules import RuleBody
from access.replay_requests import request_replay
from access.replaying import Period, period
from access.views import LeanView
from engine.types import Json
from routing import proposals
from routing.complexity import complexity_score
from routing.services import MAX_RULES
from tenants.models import Tenant


class ReplayBody(msgspec.Struct, kw_only=True, rename={"from_": "from"}):
    """`rules` are all of the tenant's own, as `/api/rules` takes them; the platform's stay. `from` and `to` are in
    Unix seconds or ISO 8601: the last 24 hours unless told, at most 90 days."""

    rules: Annotated[list[RuleBody], Meta(max_length=MAX_RULES)]
    from_: float | Annotated[str, Meta(max_length=40)] | None = None
    to: float | Annotated[str, Meta(max_length=40)] | None = None


class RouteExplain(LeanView):
    """POST a body of `/api/chat`: the model, instance, rules, candidates and features it would be routed by."""

    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        chat = schemas.chat_request(
            self.body(),
            edge="rest",
            request_id=self.lean_request.request_id,
            headers=self.raw_headers,
        )
        principal = with_user(self.principal, chat.user)
        return self.json(self.parts.router.explain(principal, chat, chat.messages))


class RouteScore(LeanView):
    """POST `{"text"}`: its `complexity_score`, 0 to 1."""

    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body(), schemas.ScoreBody)
        return self.json({"complexity_score": complexity_score(body.text)})


class RouteReplay(LeanView):
    """POST `{"rules", "from", "to"}`: queues a replay of the tenant's recorded turns under these rules, 202 with the
    job. Nothing is saved or sent to a model."""

    needs = ("manage",)
    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body(), ReplayBody)
        during = period(body.from_, body.to)
        fields = [msgspec.structs.asdict(rule) for rule in body.rules]
        principal = self.principal
        job = await self.parts.rows.run(partial(replay, principal.tenant_id, principal.subject, fields, during))
        return self.json(job, status=202)


def replay(tenant_id: int, subject: str, fields: list[Json], during: Period) -> JobAnswer:
    """Raises ValidationError, RateLimited, StoreUnavailable."""
    rules = proposals.from_fields(fields, tenant_id)
    tenant = Tenant.objects.get(pk=tenant_id)
    return answer(request_replay(rules=rules, tenant=tenant, during=during, created_by=subject))
