"""A tenant's web chat, with a look at it as the form would make it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.http import require_GET

from access import chat_pages
from access.console.chat_site import ChatSiteAdmin
from access.console.tenant.scoped import OnlyRow, here
from tenants.models import ChatSite
from tenants.validation import clean_colour, clean_line, clean_lines


class OwnChatSite(OnlyRow, ChatSiteAdmin):
    area = "chat_site"
    change_form_outer_after_template = "tenant/chat_preview.html"

    def get_custom_urls(self) -> tuple[tuple[str, str, Callable[..., Any]], ...]:
        return (*super().get_custom_urls(), ("preview/", "tenants_chatsite_preview", preview))


@require_GET
@xframe_options_exempt
def preview(request: HttpRequest, model_admin: OwnChatSite) -> HttpResponse:
    """The chat's own page with what is in the form now; what cannot be saved is left out. It asks no model and takes
    nobody in: its frame has an origin of its own, which our API refuses."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    row = ChatSite(
        name=_if_right(request, "name", lambda text: clean_line("name", text[:100])),
        greeting=_if_right(request, "greeting", lambda text: clean_lines("greeting", text, 1000)),
    )
    for field in ("accent", "background"):
        colour = _if_right(request, field, lambda text, field=field: clean_colour(field, text))
        setattr(row, field, colour or getattr(row, field))
    return chat_pages.shown(request, row, here(request).tenant.slug)


def _if_right(request: HttpRequest, field: str, clean: Callable[[str], str]) -> str:
    try:
        return clean(request.GET.get(field, ""))
    except ValidationError:
        return ""
