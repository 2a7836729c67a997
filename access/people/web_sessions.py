"""A person's web sessions: which there are, and ending them.

Signing out everywhere ends what is not listed too, and every token: `User.signed_out_at` is part of what
each carries."""

from __future__ import annotations

from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from compliance import changes
from tenants import actors
from tenants.models import User

ENDED = "session_ended"
EVERYWHERE = "signed_out_everywhere"


def sessions_of(user: User) -> list[UserSession]:
    """Those that are still there, the newest first."""
    found: list[UserSession] = UserSession.objects.purge_and_list(user)
    return sorted(found, key=lambda session: session.created_at, reverse=True)


def end(*, user: User, number: int) -> bool:
    """Refused from its next request on. False: it was not there any more, or is another person's."""
    session = UserSession.objects.filter(user=user, pk=number).first()
    if session is None:
        return False
    session.end()
    _record(ENDED, user)
    return True


def sign_out_everywhere(*, user: User) -> None:
    """Every web session is refused from its next request on, every token within two seconds."""
    for session in UserSession.objects.filter(user=user):
        session.end()
    user.signed_out_at = timezone.now()
    user.save(update_fields=["signed_out_at"])
    _record(EVERYWHERE, user)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def listing(request: HttpRequest) -> HttpResponse:
    user = request.user
    assert isinstance(user, User)
    if request.method == "POST":
        _asked(request, user)
        return HttpResponseRedirect(reverse("usersessions_list"))
    return render(request, "people/sessions.html", {"sessions": sessions_of(user)})


def _asked(request: HttpRequest, user: User) -> None:
    number = request.POST.get("end", "")
    if request.POST.get("everywhere"):
        sign_out_everywhere(user=user)
        update_session_auth_hash(request, user)  # but here; the session has another number from now on
        UserSession.objects.create_from_request(request)
        messages.success(request, _("You are signed out everywhere else."))
    elif number.isascii() and number.isdigit() and len(number) < 19 and end(user=user, number=int(number)):
        messages.success(request, _("The session has ended."))
    else:
        messages.error(request, _("This session is not there any more."))


def _record(action: str, user: User) -> None:
    changes.record(
        action=action, model=User._meta.label_lower, row=str(user.pk), label=user.get_username(), actor=actors.current()
    )
