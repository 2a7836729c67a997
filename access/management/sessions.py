"""`/api/sessions`: a caller's conversations."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from access import schemas
from access.views import LeanView
from engine.errors import InvalidRequest, SessionNotFound

PAGE = 50
LARGEST_PAGE = 200


class SessionList(LeanView):
    """GET `?limit=&cursor=`: the newest first, with the cursor of the next page."""

    needs = "sessions"
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        limit, cursor = request.GET.get("limit", str(PAGE)), request.GET.get("cursor")
        if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= LARGEST_PAGE):
            raise InvalidRequest(f"limit must be 1 to {LARGEST_PAGE}.", param="limit")
        if cursor is not None:
            schemas.safe_session_id(cursor, "cursor")
        return self.json(await self.parts.sessions.list(self.principal, int(limit), cursor))


class SessionDetail(LeanView):
    """GET, PATCH `{user_profile?, name?}` and DELETE of one session; unknown and foreign ids alike are 404."""

    needs = "sessions"
    http_method_names = ["get", "patch", "delete"]

    async def get(self, request: Request, session_id: str, **kwargs: Any) -> HttpResponse:
        return self.json(await self.parts.sessions.read(self.principal, _known_form(session_id)))

    async def patch(self, request: Request, session_id: str, **kwargs: Any) -> HttpResponse:
        changes = msgspec.to_builtins(schemas.fields(self.body(), schemas.ProfilePatch))
        return self.json(await self.parts.sessions.patch(self.principal, _known_form(session_id), changes))

    async def delete(self, request: Request, session_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.sessions.delete(self.principal, _known_form(session_id))
        return HttpResponse(status=204)


def _known_form(session_id: str) -> str:
    """No session has another form of id, so there is nothing to look for."""
    try:
        return schemas.safe_session_id(session_id)
    except InvalidRequest:
        raise SessionNotFound from None
