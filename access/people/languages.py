"""The switch of languages on every page for people: kept in the browser, and with whoever is signed in."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from tenants.models import User

YEAR = 365 * 24 * 3600


@require_POST
def change(request: HttpRequest) -> HttpResponse:
    """`language`, and `next`: the page to come back to."""
    language = request.POST.get("language", "")
    if language not in dict(settings.LANGUAGES):
        raise SuspiciousOperation
    if isinstance(request.user, User) and request.user.language != language:
        request.user.language = language
        request.user.save(update_fields=["language"])
    wanted = request.POST.get("next", "")
    inside = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    response = HttpResponseRedirect(wanted if inside else reverse("account"))
    remember(response, language)
    return response


def remember(response: HttpResponse, language: str) -> None:
    """In the browser, for pages where nobody is signed in. Empty: whatever the browser asks for."""
    if language:
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            language,
            max_age=YEAR,
            secure=settings.LANGUAGE_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
    else:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME)
