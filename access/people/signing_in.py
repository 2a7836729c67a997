"""Name and password, on every way in: the sign-in page, `/api/token/`, and whatever asks for a password again.

Attempts are counted by account and by address, before they are tried. Whether an account exists is not to be learnt:
a name nobody has is counted and answered like any other. With the store away nobody signs in: web sessions lie there
too."""

from __future__ import annotations

from dataclasses import dataclass

from allauth.account.utils import filter_users_by_email
from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpRequest

from access.people.addresses import counted_as
from compliance import changes
from tenants import actors
from tenants.actors import Actor
from tenants.attempts import Attempts
from tenants.models import User

LOCKED = "locked"
USERS = User._meta.label_lower


class Locked(Exception):
    """Too many attempts; `wait` seconds until the next."""

    def __init__(self, wait: int) -> None:
        super().__init__(wait)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt that has been counted. `accounts` and `address` are what it was counted under."""

    accounts: tuple[str, ...]
    address: str

    def succeeded(self, user: User) -> None:
        """The account's failures are forgotten, the address's are not: it may go on to guess at others. So may it at
        whoever else the same word could have meant."""
        _by_account().forget(_counted(user))
        for account in self.accounts:
            if account != _counted(user):
                _by_account().give_back(account)
        _by_address().give_back(self.address)

    def half_way(self) -> None:
        """The password is right, and a second factor is still to come: the attempt does not count, but whoever knows
        the password must not begin to guess anew at the codes that were counted before."""
        for account in self.accounts:
            _by_account().give_back(account)
        _by_address().give_back(self.address)


def begin(request: HttpRequest, login: str) -> Try:
    """Counts an attempt to be `login`, a username or an e-mail address. Raises Locked, CannotCount."""
    users = accounts_of(login)
    accounts: dict[str, User | None] = {_counted(user): user for user in users}
    accounts = accounts or {f"name {login.casefold()}": None}
    attempt = Try(tuple(accounts), counted_as(request))
    of_address = _by_address().take(attempt.address)
    if of_address.wait:
        if of_address.first:
            _record(request, None, attempt.address)
        raise Locked(of_address.wait)
    wait = 0
    for account, user in accounts.items():
        taken = _by_account().take(account)
        if taken.first:
            _record(request, user, attempt.address)
        wait = max(wait, taken.wait)
    if wait:
        raise Locked(wait)
    return attempt


def sign_in(request: HttpRequest, login: str, password: str) -> tuple[User, Try] | None:
    """Who that is; None: nobody with this password. The caller says when the attempt succeeded, which may still need
    a second factor. Raises Locked, CannotCount."""
    attempt = begin(request, login)
    user = authenticate(request, username=login, password=password)
    return (user, attempt) if isinstance(user, User) else None


def account_of(login: str) -> User | None:
    """The first whom it may mean."""
    return next(iter(accounts_of(login)), None)


def accounts_of(login: str) -> list[User]:
    """Everybody whose password is tried for it: whose name it is first, then whose address. Somebody may have called
    themselves like another's address, and a person may have several."""
    if "\x00" in login:
        return []
    found: list[User] = list(User.objects.filter(username=login))
    if "@" in login:
        by_address: list[User] = filter_users_by_email(login, prefer_verified=True)
        found += sorted((user for user in by_address if user not in found), key=lambda user: user.pk)
    return found


def _counted(user: User) -> str:
    return f"user {user.pk}"


def _by_account() -> Attempts:
    return Attempts("account", settings.SIGN_IN_ATTEMPTS, settings.SIGN_IN_LOCK_SECONDS)


def _by_address() -> Attempts:
    return Attempts("address", settings.SIGN_IN_ADDRESS_ATTEMPTS, settings.SIGN_IN_LOCK_SECONDS)


def _record(request: HttpRequest, user: User | None, address: str) -> None:
    """Once a window, and without a name that nobody has: it may be a password in the wrong field."""
    row, label = (str(user.pk), user.get_username()) if user is not None else ("", address)
    actor = Actor("anonymous", "", getattr(request, "request_id", "") or actors.current().request_id)
    changes.record(action=LOCKED, model=USERS, row=row, label=label, actor=actor)
