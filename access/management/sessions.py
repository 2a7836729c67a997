"""`/api/sessions`: a caller's conversations."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from access import schemas
from access.authentication import with_user
from access.lean import JsonReply
from access.views import LeanView
from engine.errors import InvalidRequest, SessionNotFound
from engine.types import Principal

PAGE = 50
LARGEST_PAGE = 200
MAX_USER = 256


class SessionView(LeanView):
    """`?user=` names one of the users an API key speaks for, as the body of a turn does."""

    needs: ClassVar[tuple[str, ...]] = ("sessions", "visit")

    @property
    def owner(self) -> Principal:
        user = self.request.GET.get("user")
        if user is not None and len(user) > MAX_USER:
            raise InvalidRequest(f"user has more than {MAX_USER} characters.", param="user")
        return with_user(self.principal, user)


class SessionList(SessionView):
    """GET `?limit=&cursor=`: the newest first, with the cursor of the next page."""

    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        limit, cursor = page_limit(request.GET.get("limit", str(PAGE))), request.GET.get("cursor")
        return self.json(await self.parts.sessions.list(self.owner, limit, cursor))


class SessionDetail(SessionView):
    """GET, PATCH `{user_profile?, name?, pinned?, if_version?}` and DELETE of one session; unknown and foreign ids
    alike are 404."""

    http_method_names = ["get", "patch", "delete"]

    async def get(self, request: Request, session_id: str, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.sessions.read(self.owner, known_form(session_id)))

    async def patch(self, request: Request, session_id: str, **kwargs: Any) -> JsonReply:
        changes = msgspec.to_builtins(schemas.fields(self.body(), schemas.ProfilePatch))
        owner, known, expected = self.owner, known_form(session_id), changes.pop("if_version", None)
        if expected is not None:
            return self.json(await self.parts.versions.patch(owner, known, changes, expected))
        return self.json(await self.parts.sessions.patch(owner, known, changes))

    async def delete(self, request: Request, session_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.sessions.delete(self.owner, known_form(session_id))
        return HttpResponse(status=204)


def known_form(session_id: str) -> str:
    """No session has another form of id, so there is nothing to look for."""
    try:
        return schemas.safe_session_id(session_id)
    except InvalidRequest:
        raise SessionNotFound from None


def page_limit(text: str) -> int:
    """Raises InvalidRequest."""
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LARGEST_PAGE):
        raise InvalidRequest(f"limit must be 1 to {LARGEST_PAGE}.", param="limit")
    return int(text)
