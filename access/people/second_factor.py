"""Second factors where there is no page: a code beside name and password; and taking them away."""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.contrib.auth.models import AnonymousUser

from access.people.demands import asks_factor, needs_factor
from compliance import changes
from engine.errors import Forbidden, OtpRequired, Unauthenticated
from tenants import actors
from tenants.models import User
from tenants.secrets import SealBroken

RESET = "second_factors_reset"
USERS = User._meta.label_lower


def check(user: User, code: str | None) -> None:
    """A code is good once. Raises OtpRequired, Unauthenticated, Forbidden where the platform asks for a factor that
    the person has not set up yet."""
    if needs_factor(user):
        raise Forbidden("A second factor is needed here. Set one up at /accounts/2fa/ first.")
    if not is_mfa_enabled(user):
        return
    if code is None:
        raise OtpRequired(param="otp")
    if not _matches(user, code.strip()):
        raise Unauthenticated("Wrong code.")


def check_renewal(user: User, *, with_factor: bool) -> None:
    """Of a token that was issued when no factor may have been asked for. Raises Unauthenticated: they sign in anew."""
    if asks_factor(user) and not with_factor:
        raise Unauthenticated("A second factor is needed here by now. Sign in again.")


def kinds(user: User | AnonymousUser) -> list[str]:
    """What the person has set up, for people to read."""
    return [str(factor.get_type_display()) for factor in Authenticator.objects.filter(user_id=user.pk).order_by("pk")]


def reset(*, user: User) -> int:
    """Takes every second factor of a person who lost theirs; how many there were."""
    count, _ = Authenticator.objects.filter(user=user).delete()
    if count:
        changes.record(action=RESET, model=USERS, row=str(user.pk), label=user.get_username(), actor=actors.current())
    return int(count)


def _matches(user: User, code: str) -> bool:
    """Security keys need a page: who has nothing else signs in there and opens the chat from it."""
    factors = Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.WEBAUTHN)
    for factor in factors:
        try:
            if factor.wrap().validate_code(code):
                factor.record_usage()
                return True
        except SealBroken:  # a master key that is not there any more
            continue
    return False
