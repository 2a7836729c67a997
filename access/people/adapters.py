"""What django-allauth asks us: who may sign in and up, where people go then, how secrets are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from access.people import invited, places, signing_in
from access.people.addresses import address_of
from tenants import secrets
from tenants.attempts import CannotCount
from tenants.models import User

if TYPE_CHECKING:
    from requests import Session

PURPOSE: Final = "second factor"
LINKS: Final = {"signup_url": "account_signup", "password_reset_url": "account_reset_password"}  # in mails
LOCKED_FOR: Final = "_locked_for"  # of a request: seconds


class AccountAdapter(DefaultAccountAdapter):
    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Name and password, counted."""
        login = str(credentials.get("username") or credentials.get("email") or "")
        try:
            found = signing_in.sign_in(request, login, str(credentials.get("password") or ""))
            if found is None:
                return None
            user, attempt = found
            if is_mfa_enabled(user):
                attempt.half_way()
            else:
                attempt.succeeded(user)
        except signing_in.Locked as locked:
            setattr(request, LOCKED_FOR, locked.wait)
            raise ValidationError(too_many(locked.wait)) from None
        except CannotCount:
            raise ValidationError(_("Nobody can sign in at the moment. Try again soon.")) from None
        return user

    def get_client_ip(self, request: HttpRequest) -> str:
        return address_of(request)

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return places.first_page(request)

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        return places.first_page(request)

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGN_UP) or invited.waiting(request) is not None

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        return str(settings.PUBLIC_URL) + reverse("account_confirm_email", args=[emailconfirmation.key])

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """What mails call this place, and their links, are settings: a request may name any `Host`."""
        here = {name: str(settings.PUBLIC_URL) + reverse(view) for name, view in LINKS.items() if name in context}
        host = urlsplit(settings.PUBLIC_URL).netloc
        site = {"name": host, "domain": host}
        super().send_mail(template_prefix, email, {**context, "current_site": site, **here})

    def get_reset_password_from_key_url(self, key: str) -> str:
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": "UID", "key": "KEY"})
        return str(settings.PUBLIC_URL) + path.replace("UID-KEY", key)


class FactorAdapter(DefaultMFAAdapter):
    """Secrets of second factors are sealed with the master key, like every other."""

    def encrypt(self, text: str) -> str:
        return secrets.seal(text, tenant_id=None, row_id=0, purpose=PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        return secrets.open_sealed(encrypted_text, tenant_id=None, row_id=0, purpose=PURPOSE)

    def get_totp_label(self, user: Any) -> str:
        return str(user.get_username())


class ProviderAdapter(DefaultSocialAccountAdapter):
    def get_requests_session(self) -> Session:
        from access.people import provider_calls  # noqa: PLC0415  # loads requests

        return provider_calls.session()

    def can_authenticate_by_email(self, login: SocialLogin, email: str) -> bool:
        """Only into an account whose owner has shown that the address is theirs, on a word of the provider that it is
        the caller's. What an operator or a member typed into a form shows nothing."""
        theirs = any(address.verified and address.email.lower() == email.lower() for address in login.email_addresses)
        return theirs and EmailAddress.objects.filter(email__iexact=email, verified=True).exists()

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Whoever the provider knows may have an account; what they may do a tenant's invitation says."""
        return bool(settings.SIGN_UP) or invited.waiting(request) is not None


def too_many(wait: int) -> str:
    minutes = max(1, -(-wait // 60))
    return ngettext(
        "Too many failed attempts. Try again in %(count)s minute.",
        "Too many failed attempts. Try again in %(count)s minutes.",
        minutes,
    ) % {"count": minutes}
