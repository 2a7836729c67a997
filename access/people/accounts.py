"""Making accounts. An address counts as the person's only once they have shown that mail to it reaches them."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.utils import perform_login
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.translation import gettext as _

from tenants import services
from tenants.models import Member, Role, Tenant, User


def make_person(*, username: str, password: str, email: str, verified: bool) -> User:
    with transaction.atomic():
        user = User(username=username, email=email, language=translation.get_language() or "")
        user.set_password(password)
        user.full_clean()
        try:
            with transaction.atomic():
                user.save(force_insert=True)
        except IntegrityError:  # somebody else was faster
            raise ValidationError({"username": _("This name is taken.")}) from None
        if email:
            taken = EmailAddress.objects.filter(email__iexact=email, verified=True).exists()
            EmailAddress.objects.create(user=user, email=email, verified=verified and not taken, primary=True)
    return user


def make_company(*, username: str, password: str, email: str, verified: bool, slug: str, name: str) -> Member:
    """A person and their tenant, with the limits of the settings (SIGN_UP_…; 0: none)."""
    limits: dict[str, Any] = {
        "requests_per_minute": settings.SIGN_UP_REQUESTS_PER_MINUTE or None,
        "tokens_per_minute": settings.SIGN_UP_TOKENS_PER_MINUTE or None,
        "concurrent_turns": settings.SIGN_UP_CONCURRENT_TURNS or None,
    }
    with transaction.atomic():
        user = make_person(username=username, password=password, email=email, verified=verified)
        tenant: Tenant = services.create_tenant(slug=slug, name=name, **limits)
        return services.add_member(tenant=tenant, user=user, role=Role.OWNER)


def enter(request: HttpRequest, user: User, goes_to: str) -> HttpResponse:
    """Signs in whoever just made their account."""
    response: HttpResponse = perform_login(request, user, email_verification="none", redirect_url=goes_to)
    return response
