import re

import pytest
from allauth.account.models import EmailAddress
from django.core import mail

from tenants import invitations
from tenants.models import Member, User

NEW = {"username": "dora", "password": "a long enough phrase"}


@pytest.fixture
def link(cast, valkey_url):
    invitations.invite(tenant=cast.acme, email="dora@acme.example", role="developer", by=cast.alice)
    return re.search(r"/accounts/invitation/[\w-]+/", mail.outbox[-1].body).group()


def roles(cast):
    return {
        member.user.username: member.role for member in Member.objects.for_tenant(cast.acme.pk).select_related("user")
    }


def test_whoever_has_no_account_makes_one_and_joins(cast, browser, link):
    stranger = browser()
    text = stranger.get(link).content.decode()
    assert "dora@acme.example" in text and "Developer" in text and "Acme" in text
    answer = stranger.post(link, NEW)
    assert (answer.status_code, answer["Location"]) == (302, "/console/")
    assert roles(cast)["dora"] == "developer"
    assert EmailAddress.objects.get(user__username="dora").verified
    assert stranger.get("/console/").status_code == 200
    assert stranger.get(link).status_code == 410


def test_whoever_has_an_account_signs_in_and_is_asked(cast, browser, link):
    stranger = browser()
    assert f"/accounts/login/?next={link}" in stranger.get(link).content.decode()
    who = {"login": "charlie", "password": "correct horse battery staple"}
    answer = stranger.post(f"/accounts/login/?next={link}", who)
    assert answer["Location"] == link
    assert "Join as charlie" in stranger.get(link).content.decode()
    assert "charlie" not in roles(cast)
    assert stranger.post(link).status_code == 302
    assert roles(cast)["charlie"] == "developer"


def test_somebody_else_can_sign_out_first(cast, browser, link):
    charlie = browser(cast.charlie.user)
    answer = charlie.post(link, {"another": "1"})
    assert answer["Location"] == f"/accounts/login/?next={link}"
    assert "Make an account" in charlie.get(link).content.decode()
    assert "charlie" not in roles(cast)


def test_looking_joins_nobody(cast, browser, link):
    browser(cast.charlie.user).get(link)
    assert "charlie" not in roles(cast)


@pytest.mark.parametrize(
    "changes",
    [
        {"username": ""},
        {"username": "alice"},
        {"username": "ALICE"},
        {"username": "a b"},
        {"username": "\x00"},
        {"username": "x" * 151},
        {"password": ""},
        {"password": "short"},
        {"password": "password1234"[:8]},
        {"password": "x" * 2000},
    ],
)
def test_it_refuses_at_the_field_and_makes_nothing(cast, browser, link, changes):
    answer = browser().post(link, NEW | changes)
    assert answer.status_code == 200 and "errorlist" in answer.content.decode()
    assert not User.objects.filter(username__in=["dora", "a b"]).exists()
    assert browser().get(link).status_code == 200


@pytest.mark.parametrize("secret", ["x", "a" * 43, "A" * 100])
def test_a_link_that_is_none_is_gone(cast, browser, secret):
    assert browser().get(f"/accounts/invitation/{secret}/").status_code == 410
    assert browser().post(f"/accounts/invitation/{secret}/", NEW).status_code == 410
    assert browser().get(f"/accounts/invitation/{secret}%00/").status_code == 404


def test_a_naughty_tenants_name_is_only_text(cast, browser, link):
    cast.acme.name = "<script>alert(1)</script>"
    cast.acme.save()
    assert "<script>alert(1)" not in browser().get(link).content.decode()
