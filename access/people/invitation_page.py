"""`/accounts/invitation/<secret>/`: what one is asked to join; as whom one joins is always said, and asked."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.contrib.auth import logout
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from access.people import accounts, invited, places
from access.people.addresses import counted_as
from access.people.forms import PersonForm
from tenants import invitations
from tenants.attempts import Attempts
from tenants.models import Invitation, User

ACCOUNTS: Final = Attempts("accounts", 20, 3600)  # made from one address


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    row = invitations.find(secret=secret)
    if row is None:
        invited.forget(request)
        return render(request, "people/invitation_gone.html", status=410)
    invited.keep(request, secret)
    if request.method == "POST":
        return _answered(request, row, secret)
    return _page(request, row, PersonForm(initial={"username": row.email.partition("@")[0][:150]}))


def _answered(request: HttpRequest, row: Invitation, secret: str) -> HttpResponse:
    if isinstance(request.user, User):
        if "another" in request.POST:
            logout(request)
            invited.keep(request, secret)
            return HttpResponseRedirect(f"{reverse('account_login')}?next={request.path}")
        return _joined(request, request.user, secret)
    form = PersonForm(request.POST)
    if not form.is_valid():
        return _page(request, row, form)
    if ACCOUNTS.take(counted_as(request)).wait:
        form.add_error(None, _("Too many accounts were made from where you are. Try again later."))
        return _page(request, row, form, status=429)
    data = form.cleaned_data
    try:
        with transaction.atomic():  # no account without a place
            user = accounts.make_person(
                username=data["username"], password=data["password"], email=row.email, verified=True
            )
            member = invitations.accept(secret=secret, user=user)
    except ValidationError as error:
        form.add_error(None, error.messages)
        return _page(request, row, form)
    invited.forget(request)
    messages.success(request, _("You are a member of %(tenant)s now.") % {"tenant": member.tenant.name})
    return accounts.enter(request, user, "")


def _joined(request: HttpRequest, user: User, secret: str) -> HttpResponse:
    try:
        member = invitations.accept(secret=secret, user=user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("You are a member of %(tenant)s now.") % {"tenant": member.tenant.name})
    invited.forget(request)
    return HttpResponseRedirect(places.first_page(request))


def _page(request: HttpRequest, row: Invitation, form: PersonForm, status: int = 200) -> HttpResponse:
    context = {"invitation": row, "form": form, "sign_in": f"{reverse('account_login')}?next={request.path}"}
    return render(request, "people/invitation.html", context, status=status)
