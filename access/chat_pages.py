"""The web chat's pages: `/chat/`, `/chat/embed/`, `/chat/token`, and `/widget.js` for other people's pages.

They are read from the tenant's rows; what the pages then ask goes through the API like anybody's requests."""

from __future__ import annotations

from typing import Any, Final

import orjson
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.urls import path, re_path
from django.utils.cache import patch_vary_headers
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.http import require_GET, require_POST

from access import bodies, errors, languages, schemas
from access.management.tokens import Membership, membership, pair
from access.management.visitors import TITLE
from access.public_files import public_file
from engine.errors import EngineError, Unauthenticated
from engine.types import Json
from tenants.models import ChatSite, Member, Tenant, User

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; "
    "connect-src 'self' ws: wss:; font-src 'self'; frame-ancestors {ancestors}; base-uri 'none'; form-action 'self'"
)
FEATURES: Final = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), clipboard-write=(self)"
WIDGET: Final = "widget/widget.js"
WIDGET_AGE: Final = 300  # seconds


@require_GET
def chat(request: HttpRequest) -> HttpResponse:
    """The whole page. Who has signed in to a console is shown as a member at once."""
    user = request.user if isinstance(request.user, User) else None
    wanted = request.GET.get("tenant", "")
    member = _member(user, wanted)
    tenant = member.tenant if member is not None else _tenant(wanted)
    site = _site(request, wanted, tenant)
    if member is not None:
        site["member"] = {"username": member.user.get_username(), "role": member.role}
        site["csrf"] = get_token(request)
    answer = _page(request, "chat/chat.html", site, "'none'")
    patch_vary_headers(answer, ["Cookie"])
    return answer


@require_GET
@xframe_options_exempt
def embed(request: HttpRequest) -> HttpResponse:
    """The same in a frame of a page whose origin the tenant allows. Looks at no cookie."""
    wanted = request.GET.get("tenant", "")
    tenant = _tenant(wanted)
    origins = _row(tenant).origins if tenant is not None else []
    return _page(request, "chat/embed.html", _site(request, wanted, tenant), " ".join(["'self'", *origins]))


@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """A member's tokens for whoever has signed in to a console; `{tenant?}`."""
    try:
        if not isinstance(request.user, User):
            raise Unauthenticated("Sign in first.")
        body = request.read(bodies.MAX_BYTES + 1)
        asked = schemas.fields(bodies.parse(body) if body else {}, Membership)
        found = pair(membership(request.user, asked.tenant))
    except EngineError as error:
        return errors.numbered(error, request)
    answer = HttpResponse(orjson.dumps(found), content_type="application/json")
    answer["Cache-Control"] = "no-store"
    return answer


@require_GET
def widget(request: HttpRequest) -> HttpResponse:
    """The launcher, for pages of any origin."""
    answer = public_file(WIDGET, "text/javascript; charset=utf-8", WIDGET_AGE)
    answer["Access-Control-Allow-Origin"] = "*"
    answer["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


def shown(request: HttpRequest, row: ChatSite, slug: str) -> HttpResponse:
    """The chat for a frame of our own pages, as this row would have it, saved or not. It offers nobody a ticket."""
    return _page(request, "chat/embed.html", {**_told(request, row, slug), "visitors": False}, "'self'")


def _member(user: User | None, slug: str) -> Member | None:
    if user is None:
        return None
    try:
        return membership(user, slug or None)
    except EngineError:
        return None  # of none, of another tenant, or of several


def _tenant(slug: str) -> Tenant | None:
    """The one that is named; unnamed, the only one there is."""
    found = Tenant.objects.filter(is_active=True)
    rows = list(found.filter(slug=slug)[:1] if slug else found[:2])
    return rows[0] if len(rows) == 1 else None


def _row(tenant: Tenant) -> ChatSite:
    return ChatSite.objects.for_tenant(tenant.pk).first() or ChatSite(tenant=tenant)


def _site(request: HttpRequest, slug: str, tenant: Tenant | None) -> Json:
    """What the page is told. Of a tenant that is not there the same as of one that has set nothing."""
    row = _row(tenant) if tenant is not None else ChatSite()
    return _told(request, row, tenant.slug if tenant is not None else slug[:63] or None)


def _told(request: HttpRequest, row: ChatSite, slug: str | None) -> Json:
    return {
        "tenant": slug,
        "name": row.name or TITLE,
        "greeting": row.greeting,
        "colors": {"accent": row.accent, "background": row.background},
        "visitors": row.visitors == ChatSite.Visitors.ANYONE,
        "language": _language(request),
        "member": None,
    }


def _language(request: HttpRequest) -> str:
    header = request.headers.get("Accept-Language", "").encode("latin-1", "replace")
    return languages.wanted(None, header, ("en", "zh-hans", "zh-hant")).partition("-")[0]


def _page(request: HttpRequest, template: str, site: Json, ancestors: str) -> HttpResponse:
    context: dict[str, Any] = {"site": site}
    answer = render(request, template, context)
    answer["Content-Security-Policy"] = POLICY.format(ancestors=ancestors)
    answer["Referrer-Policy"] = "no-referrer"
    answer["Permissions-Policy"] = FEATURES
    answer["Cache-Control"] = "no-store"
    patch_vary_headers(answer, ["Accept-Language"])
    return answer


urlpatterns = [
    re_path(r"^chat/?$", chat, name="chat"),
    re_path(r"^chat/embed/?$", embed, name="chat-embed"),
    re_path(r"^chat/token/?$", token, name="chat-token"),
    path("widget.js", widget, name="widget"),
]
