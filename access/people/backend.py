"""Who has this name, or address, and this password."""

from __future__ import annotations

from allauth.account.auth_backends import AuthenticationBackend

from tenants.models import User


class SignInBackend(AuthenticationBackend):
    """Names are told apart by case, as the database does."""

    def _authenticate_by_username(self, username: str, password: str) -> User | None:
        found: User | None = self._check_password(User.objects.filter(username=username).first(), password)
        return found
