import re

import pytest
import requests
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.core import mail
from django.core.exceptions import ImproperlyConfigured

from clawdbot_site import oidc
from tenants import invitations
from tenants.models import Member, User
from tests.outbound.network import watched
from tests.services.oidc import CLIENT, SECRET, Provider

START = "/accounts/oidc/oidc/login/"


@pytest.fixture
def provider(settings, cast, valkey_url):
    made = Provider()
    settings.OIDC_PRIVATE = True
    settings.SOCIALACCOUNT_PROVIDERS = oidc.provider(made.issuer, CLIENT, SECRET, "Acme ID", private=True)
    yield made
    made.stop()


def sign_in(client, provider, **claims):
    """As a browser does it; the last answer."""
    provider.person = {"sub": "dora-1", "preferred_username": "dora", **claims}
    away = client.post(START)
    assert away["Location"].startswith(f"{provider.issuer}/authorize")
    back = requests.get(away["Location"], allow_redirects=False, timeout=5).headers["Location"]
    return client.get(back.replace("http://testserver", ""))


def test_a_stranger_gets_no_account_by_it(provider, browser):
    client = browser()
    assert "Acme ID" in client.get("/accounts/login/").content.decode()
    sign_in(client, provider, email="dora@acme.example", email_verified=True)
    assert not User.objects.filter(username="dora").exists()
    assert client.get("/accounts/").status_code == 302


def test_whoever_is_invited_makes_an_account_with_it(provider, browser, cast):
    invitations.invite(tenant=cast.acme, email="dora@acme.example", role="developer", by=cast.alice)
    link = re.search(r"/accounts/invitation/[\w-]+/", mail.outbox[-1].body).group()
    client = browser()
    client.get(link)
    answer = sign_in(client, provider, email="dora@acme.example", email_verified=True)
    assert (answer.status_code, answer["Location"]) == (302, link)
    client.post(link)
    member = Member.objects.for_tenant(cast.acme.pk).get(user__username="dora")
    assert member.role == "developer" and not member.user.has_usable_password()
    assert EmailAddress.objects.get(user=member.user).verified
    again = browser()
    assert sign_in(again, provider, email="dora@acme.example", email_verified=True)["Location"] == "/console/"


@pytest.mark.parametrize("said", [False, None, "false", 0, ""])
@pytest.mark.parametrize("ours", [True, False])
def test_an_address_the_provider_has_not_verified_opens_nothing(provider, browser, cast, said, ours, settings):
    settings.SIGN_UP = True
    User.objects.filter(pk=cast.alice.user_id).update(email="alice@acme.example")
    EmailAddress.objects.create(user=cast.alice.user, email="alice@acme.example", verified=ours, primary=True)
    client = browser()
    sign_in(client, provider, email="alice@acme.example", email_verified=said)
    assert not SocialAccount.objects.filter(user=cast.alice.user).exists()
    assert client.get("/accounts/").status_code == 302


def test_an_address_we_have_not_verified_opens_nothing(provider, browser, cast):
    """Or whoever typed a foreign address into a form would share an account with its owner."""
    User.objects.filter(pk=cast.alice.user_id).update(email="alice@acme.example")
    client = browser()
    sign_in(client, provider, email="alice@acme.example", email_verified=True)
    assert client.get("/accounts/").status_code == 302
    cast.alice.user.refresh_from_db()
    assert cast.alice.user.has_usable_password()


def test_an_address_both_have_verified_is_the_same_person(provider, browser, cast):
    EmailAddress.objects.create(user=cast.alice.user, email="alice@acme.example", verified=True, primary=True)
    client = browser()
    assert sign_in(client, provider, email="Alice@acme.example", email_verified=True)["Location"] == "/console/"
    assert client.get("/accounts/").content.decode().count("<h1>alice</h1>") == 1


def test_a_code_of_another_browser_is_refused(provider, browser, cast):
    EmailAddress.objects.create(user=cast.alice.user, email="alice@acme.example", verified=True, primary=True)
    provider.person = {"sub": "a", "email": "alice@acme.example", "email_verified": True}
    away = browser().post(START)["Location"]
    back = requests.get(away, allow_redirects=False, timeout=5).headers["Location"]
    other = browser()
    assert other.get(back.replace("http://testserver", "")).status_code in (200, 302, 401)
    assert other.get("/accounts/").status_code == 302


def test_a_provider_in_a_private_network_is_not_asked(provider, browser, settings):
    settings.OIDC_PRIVATE = False
    with watched() as places:
        assert browser().post(START).status_code < 500
    assert places == []


def test_a_provider_that_is_away_is_no_fault_of_ours(provider, browser):
    provider.stop()
    assert browser().post(START).status_code < 500


def test_settings_that_make_no_sense_stop_the_start():
    for issuer, client in (
        ("ftp://x", "c"),
        ("https://", "c"),
        ("https://id.example", ""),
        ("http://127.0.0.1:8080", "c"),
        ("https://localhost/realm", "c"),
        ("https://169.254.169.254", "c"),
    ):
        with pytest.raises(ImproperlyConfigured):
            oidc.provider(issuer, client, "", "x")
    assert oidc.provider("", "", "", "") == {}
