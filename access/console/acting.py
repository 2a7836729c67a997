"""Who acts in a console, for the journal: the person who signed in, as whom, and that they did.

In `/admin/` an operator is `operator:<user>`; in `/console/` people are `member:<member>`, and an operator on a support
visit is `operator:<user>` with the visit in the label. On pages of neither, such as those of one's own account, people
are `user:<user>`, operators still operators."""

from __future__ import annotations

from asyncio import iscoroutinefunction
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from allauth.account.signals import password_changed, password_reset, password_set
from allauth.mfa import signals as factors
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from access import asgi
from access.console.tenant.place import place_of
from access.people.signing_in import account_of
from compliance import changes
from tenants import actors
from tenants.actors import Actor
from tenants.models import User

SIGNED_IN = "signed_in"
SIGNED_OUT = "signed_out"
REFUSED = "sign_in_refused"
FACTORS = {
    factors.authenticator_added: "second_factor_added",
    factors.authenticator_removed: "second_factor_removed",
    factors.authenticator_reset: "recovery_codes_renewed",
    factors.authentication_failed: "second_factor_refused",
    password_changed: "password_changed",
    password_set: "password_changed",
    password_reset: "password_reset",
}
USERS = User._meta.label_lower
CONSOLE: Final = "console"  # the namespace of a tenant's console, and the first step of its addresses


@sync_and_async_middleware
def acting(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Changes made by a request are those of its user; the request has a number, which its answer repeats."""
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponse:
            with actors.acting(_begun(request)):
                return _ended(request, await get_response(request))

        return middleware

    def plain(request: HttpRequest) -> HttpResponse:
        with actors.acting(_begun(request)):
            return _ended(request, get_response(request))

    return plain


def connect() -> None:
    user_logged_in.connect(_signed_in, dispatch_uid="access.console.acting")
    user_logged_out.connect(_signed_out, dispatch_uid="access.console.acting")
    user_login_failed.connect(_refused, dispatch_uid="access.console.acting")
    for signal, action in FACTORS.items():
        signal.connect(partial(_factor, action), weak=False, dispatch_uid=f"access.console.acting.{action}")


def actor_of(request: HttpRequest) -> Actor:
    """Asks the database in a tenant's console."""
    user, number = getattr(request, "user", None), getattr(request, "request_id", "")
    if user is None or not user.is_authenticated:
        return Actor("anonymous", "", number)
    place = place_of(request) if _in_console(request) else None
    if place is not None and place.member is not None:
        return Actor(f"member:{place.member.pk}", user.get_username(), number)
    label = user.get_username()
    if place is not None and place.visit is not None:
        label = f"{label} (support visit {place.visit.pk})"
    return Actor(name_of(user), label, number)


def name_of(user: Any) -> str:
    """A person outside of any tenant."""
    return f"{'operator' if user.is_superuser else 'user'}:{user.pk}"


def _in_console(request: HttpRequest) -> bool:
    return request.path.split("/", 2)[1:2] == [CONSOLE]


def _begun(request: HttpRequest) -> Callable[[], Actor]:
    given = request.headers.get("X-Request-Id", "")
    request.request_id = asgi.request_id({b"x-request-id": given.encode("latin-1", "replace")})  # type: ignore[attr-defined]
    return lambda: actor_of(request)


def _ended(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
    return response


def _signed_in(request: HttpRequest, user: User, **_: object) -> None:
    _of_themselves(SIGNED_IN, request, user)


def _signed_out(request: HttpRequest, user: User | None, **_: object) -> None:
    if isinstance(user, User):
        _of_themselves(SIGNED_OUT, request, user)


def _factor(action: str, /, request: HttpRequest, user: User, **_: object) -> None:
    _of_themselves(action, request, user)


def _of_themselves(action: str, request: HttpRequest, user: User) -> None:
    actor = Actor(name_of(user), user.get_username(), getattr(request, "request_id", ""))
    changes.record(action=action, model=USERS, row=str(user.pk), label=user.get_username(), actor=actor)


def _refused(credentials: dict[str, Any], request: HttpRequest | None = None, **_: object) -> None:
    """On any way in: how often is bounded by what locks people out. A name nobody has may be a password in the wrong
    field: it is not written down."""
    if request is None:
        return
    user = account_of(str(credentials.get("username", ""))[:254])
    row, label = (str(user.pk), user.get_username()) if user is not None else ("", "")
    actor = Actor("anonymous", "", getattr(request, "request_id", ""))
    changes.record(action=REFUSED, model=USERS, row=row, label=label, actor=actor)
