from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.test import Client

from tenants.models import Member, User

ROLES = ("owner", "admin", "developer", "auditor", "member")


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def alice(cast: SimpleNamespace, valkey_url: str) -> Client:
    """The owner of acme in front of its console."""
    return browser(cast.alice.user)


@pytest.fixture
def charlie(cast: SimpleNamespace, valkey_url: str) -> Client:
    """The owner of globex, who must see nothing of acme's."""
    return browser(cast.charlie.user)


@pytest.fixture
def somebody(cast: SimpleNamespace, valkey_url: str) -> Callable[[str], Client]:
    """A member of acme with this role."""

    def made(role: str) -> Client:
        user = User.objects.create_user(f"some-{role}")
        Member.objects.create(tenant=cast.acme, user=user, role=role)
        return browser(user)

    return made
