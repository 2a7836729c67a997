"""`/accounts/signup/`: a person and a tenant of their own, where SIGN_UP is on.

With mail the address comes first: the link in the mail leads to the form, and nothing is stored before. Whether an
address has an account already is said in the mail alone. Without mail the form is there at once, and no address counts
as anybody's."""

from __future__ import annotations

from typing import Final

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.signing import BadSignature, TimestampSigner
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from access.people import accounts
from access.people.addresses import counted_as
from access.people.forms import AddressForm, CompanyForm
from access.people.invitation_page import ACCOUNTS
from tenants import mails
from tenants.attempts import Attempts

MAILS: Final = Attempts("sign-up mails", 20, 3600)  # asked for from one address
TO: Final = Attempts("sign-up mail", 3, 3600)  # to one mailbox
GOOD_FOR: Final = 24 * 3600  # seconds
WITHOUT_MAIL: Final = "now"
signer = TimestampSigner(salt="access.people.sign_up")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    if not settings.SIGN_UP:
        return render(request, "people/sign_up_closed.html", status=403)
    if not settings.EMAIL_HOST:
        return _company(request, "", verified=False)
    form = AddressForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return render(request, "people/sign_up.html", {"form": form})
    email = form.cleaned_data["email"]
    if MAILS.take(counted_as(request)).wait:
        form.add_error(None, _("Too many mails were asked for from where you are. Try again later."))
        return render(request, "people/sign_up.html", {"form": form}, status=429)
    try:
        if not TO.take(email.casefold()).wait:
            _write(email)
    except mails.NotSent:
        form.add_error("email", _("The mail could not be sent. Try again later."))
        return render(request, "people/sign_up.html", {"form": form})
    return render(request, "people/sign_up_sent.html", {"email": email})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def company(request: HttpRequest, token: str) -> HttpResponse:
    if not settings.SIGN_UP:
        raise Http404
    try:
        email = signer.unsign(token, max_age=GOOD_FOR)
    except BadSignature:
        return render(request, "people/sign_up_gone.html", status=410)
    if EmailAddress.objects.filter(email__iexact=email, verified=True).exists():
        return render(request, "people/sign_up_gone.html", status=410)  # the link has been used
    return _company(request, email, verified=True)


def _company(request: HttpRequest, email: str, *, verified: bool) -> HttpResponse:
    form = CompanyForm(request.POST if request.method == "POST" else None)
    context = {"form": form, "email": email}
    if not form.is_valid():
        return render(request, "people/sign_up_company.html", context)
    if ACCOUNTS.take(counted_as(request)).wait:
        form.add_error(None, _("Too many accounts were made from where you are. Try again later."))
        return render(request, "people/sign_up_company.html", context, status=429)
    data = form.cleaned_data
    try:
        member = accounts.make_company(
            username=data["username"],
            password=data["password"],
            email=email,
            verified=verified,
            slug=data["slug"],
            name=data["company"],
        )
    except ValidationError as error:  # somebody else was faster, or no more tenants fit
        form.add_error(None, error.messages)
        return render(request, "people/sign_up_company.html", context)
    return accounts.enter(request, member.user, reverse("console:index"))


def _write(email: str) -> None:
    if EmailAddress.objects.filter(email__iexact=email, verified=True).exists():
        text = _("There is an account with this address already. Sign in, or ask for another password:")
        link = reverse("account_login")
    else:
        text = _("Follow this link to make your account. It is good for a day:")
        link = reverse("sign-up-company", args=[signer.sign(email)])
    lines = [text, f"{settings.PUBLIC_URL}{link}", _("If you did not expect this, do nothing.")]
    mails.send(email, _("Your account"), "\n\n".join(lines))
