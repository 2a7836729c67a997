"""`/api/visitors`, `/api/visitor-tickets`, `/api/chat-site`: visitors' tickets, and what a tenant's chat looks like."""

from __future__ import annotations

from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta
from rest_framework.request import Request

from access import asgi, schemas
from access.asgi import RawHeaders
from access.lean import JsonReply
from access.views import LeanView, OpenView
from engine.errors import InvalidRequest
from tenants.visitor_tickets import MAX_LENGTH, NAMED, UNNAMED

PRIVATE: Final[RawHeaders] = [(b"cache-control", b"no-store")]
SHARED: Final[RawHeaders] = [
    (b"cache-control", b"public, max-age=60"),
    (b"access-control-allow-origin", b"*"),
    (b"cross-origin-resource-policy", b"cross-origin"),
]
TITLE: Final = "Clawdbot"

Slug = Annotated[str, Meta(min_length=1, max_length=63)]


class VisitorBody(msgspec.Struct, forbid_unknown_fields=True):
    """`previous` is an earlier ticket, which may have ended up to 30 days ago: its visitor stays who they were."""

    tenant: Slug
    previous: Annotated[str, Meta(max_length=MAX_LENGTH)] | None = None


class SignedVisitorBody(msgspec.Struct, forbid_unknown_fields=True):
    """`visitor` is the tenant's own name for somebody it has signed in; `expires_in` is in seconds."""

    visitor: Annotated[str, Meta(min_length=1, max_length=120)]
    name: Annotated[str, Meta(max_length=100)] = ""
    expires_in: Annotated[int, Meta(ge=60, le=86_400)] | None = None


class Colors(msgspec.Struct):
    accent: str
    background: str


class ChatSiteAnswer(msgspec.Struct):
    tenant: str
    name: str
    greeting: str
    colors: Colors
    visitors: bool


class Visitors(OpenView):
    """POST: a ticket for whoever asks, where the tenant takes anyone."""

    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        asked = schemas.fields(self.body(), VisitorBody)
        peer = asgi.peer(cast(asgi.Scope, self.lean_request.scope))
        ticket = await self.parts.visiting.welcome(asked.tenant, asked.previous, self.raw_headers, peer)
        return self.json(ticket, 201, PRIVATE)


class VisitorTickets(LeanView):
    """POST: a ticket for somebody whom the tenant's own application has signed in."""

    area = "chat_site"
    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        asked = schemas.fields(self.body(), SignedVisitorBody)
        if not NAMED.match(asked.visitor) or asked.visitor.startswith(UNNAMED):
            raise InvalidRequest(
                f"visitor: letters, digits and . _ @ + - only, not first; and not {UNNAMED}…, which others have.",
                param="visitor",
            )
        ticket = self.parts.visiting.vouch(self.principal, asked.visitor, asked.name, asked.expires_in)
        return self.json(ticket, 201, PRIVATE)


class ChatSite(OpenView):
    """GET `?tenant=`: what a launcher on any page may know. Does not tell whether there is such a tenant."""

    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        slug = request.query_params.get("tenant", "")
        if not 1 <= len(slug) <= 63:
            raise InvalidRequest("tenant: give the tenant's slug.", param="tenant")
        site = self.parts.visiting.site(slug)
        answer = ChatSiteAnswer(
            slug, site.name or TITLE, site.greeting, Colors(site.accent, site.background), site.visitors == "anyone"
        )
        return self.json(answer, headers=SHARED)
