"""`/api/route`: why a request would go where, without sending it."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from access import schemas
from access.authentication import with_user
from access.lean import JsonReply
from access.views import LeanView
from routing.complexity import complexity_score


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
