"""Holds people to a second factor where the platform asks for one (REQUIRE_MFA), and says when the store is away."""

from __future__ import annotations

import logging
from asyncio import iscoroutinefunction
from collections.abc import Callable
from typing import Any, Final

from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import sync_and_async_middleware
from django.utils.translation import gettext as _
from requests import RequestException

from access import errors
from engine.errors import StoreUnavailable
from tenants.attempts import AWAY, CannotCount
from tenants.models import User

log = logging.getLogger(__name__)

ASKING: Final = ("/admin/", "/console/", "/chat/token")


@sync_and_async_middleware
def demands(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponse:
            found: HttpResponse | None = await sync_to_async(_refused)(request) if _asks(request) else None
            return found or await get_response(request)

        found: Any = middleware
    else:

        def plain(request: HttpRequest) -> HttpResponse:
            return (_refused(request) if _asks(request) else None) or get_response(request)

        found = plain
    found.process_exception = _away
    return found  # type: ignore[no-any-return]


def needs_factor(user: User) -> bool:
    """Whether the platform asks for a second factor that this person does not have yet."""
    return asks_factor(user) and not is_mfa_enabled(user)


def asks_factor(user: User) -> bool:
    """Whether the platform asks for one, whatever this person has."""
    return settings.REQUIRE_MFA == "everybody" or (settings.REQUIRE_MFA == "operators" and user.is_superuser)


def _asks(request: HttpRequest) -> bool:
    return settings.REQUIRE_MFA != "nobody" and request.path.startswith(ASKING)


def _refused(request: HttpRequest) -> HttpResponse | None:
    user = request.user
    if not isinstance(user, User) or not needs_factor(user) or request.path.endswith("/logout/"):
        return None
    messages.warning(request, _("A second factor is needed here: set one up first."))
    return HttpResponseRedirect(reverse("mfa_activate_totp"))


def _away(request: HttpRequest, exception: Exception) -> HttpResponse | None:
    """What is no fault of ours: web sessions and counters lie in the store, and a provider of sign-ins is elsewhere."""
    if isinstance(exception, (*AWAY, CannotCount)):
        return errors.numbered(StoreUnavailable(), request)
    if isinstance(exception, RequestException | OAuth2Error) and request.path.startswith("/accounts/"):
        log.warning("the provider of sign-ins does not answer as it should: %s", exception)
        messages.error(request, _("The sign-in service does not answer. Try again soon, or use your password."))
        return HttpResponseRedirect(reverse("account_login"))
    return None
