from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.test import Client

from tenants.models import Member, User

SignIn = Callable[[str], Client]
ROLES = ("owner", "admin", "developer", "auditor", "member")


@pytest.fixture
def sign_in(cast: SimpleNamespace, valkey_url: str) -> SignIn:
    """A browser in which one of the cast has signed in."""

    def signed_in(username: str) -> Client:
        client = Client()
        client.force_login(User.objects.get(username=username))
        return client

    return signed_in


@pytest.fixture
def alice(sign_in: SignIn) -> Client:
    """The owner of acme."""
    return sign_in("alice")


@pytest.fixture
def charlie(sign_in: SignIn) -> Client:
    """The owner of globex."""
    return sign_in("charlie")


@pytest.fixture
def as_role(cast: SimpleNamespace, sign_in: SignIn) -> SignIn:
    """Bob of acme in the role that is named."""

    def signed_in(role: str) -> Client:
        Member.objects.for_tenant(cast.acme.pk).filter(pk=cast.bob.pk).update(role=role)
        return sign_in("bob")

    return signed_in


@pytest.fixture
def somebody(cast: SimpleNamespace, sign_in: SignIn) -> SignIn:
    """One more member of acme with the role that is named."""

    def signed_in(role: str) -> Client:
        user = User.objects.create_user(f"some-{role}")
        Member.objects.create(tenant=cast.acme, user=user, role=role)
        return sign_in(user.username)

    return signed_in
