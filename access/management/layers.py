"""`/api/sessions/{id}/layers` and `…/window`: a session's summaries, and what of it a model is sent."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.session_versions import PlacesView
from access.management.sessions import SessionView, known_form
from engine.errors import InvalidRequest
from engine.types import AUTO

MAX_MODEL = 200


class LayerBody(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /api/sessions/{id}/layers`: how many turns are summed up, the first ones; without it about half of them."""

    through: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None


class LayerList(SessionView):
    """GET: the session's summaries, the oldest first. POST `{through?}`: makes one now, 201."""

    needs = ("sessions",)
    http_method_names = ["get", "post"]

    async def get(self, request: Request, session_id: str, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.summaries.list(self.owner, known_form(session_id)))

    async def post(self, request: Request, session_id: str, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body(), LayerBody)
        layer = await self.parts.summaries.make(self.owner, known_form(session_id), body.through)
        return self.json(layer, status=201)


class LayerDetail(SessionView):
    """DELETE: undoes a summary; models are sent the turns again."""

    needs = ("sessions",)
    http_method_names = ["delete"]

    async def delete(self, request: Request, session_id: str, layer_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.summaries.undo(self.owner, known_form(session_id), layer_id)
        return HttpResponse(status=204)


class SessionWindow(PlacesView):
    """GET `?model=`: which of the session's messages a model would be sent. All of it is counted for that."""

    needs = ("sessions",)
    http_method_names = ["get"]

    async def get(self, request: Request, session_id: str, **kwargs: Any) -> JsonReply:
        model = request.GET.get("model") or AUTO
        if len(model) > MAX_MODEL:
            raise InvalidRequest(f"model has more than {MAX_MODEL} characters.", param="model")
        owner, known = self.owner, known_form(session_id)
        await self.count()
        return self.json(await self.parts.sight.read(owner, known, model))
