import pytest
from django.test import Client

from tenants.models import User


@pytest.fixture
def operator(cast, valkey_url):
    return User.objects.create_superuser("operator", password="operate the platform")


@pytest.fixture
def browser(valkey_url):
    """Of nobody in particular; `browser()` is another one, `browser(user)` one in which they have signed in."""

    def browser(user=None):
        client = Client(headers={"User-Agent": "Tests/1"})
        if user is not None:
            answer = client.post("/accounts/login/", {"login": user.username, "password": PASSWORDS[user.username]})
            assert answer.status_code == 302, answer.content.decode()
        return client

    return browser


PASSWORDS = {"operator": "operate the platform"} | dict.fromkeys(
    ("alice", "bob", "charlie"), "correct horse battery staple"
)
