import re

import pytest
from allauth.account.models import EmailAddress
from django.core import mail

from tenants.models import Member, Tenant, User

TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="\w+"')
COMPANY = {"company": "Initech", "slug": "initech", "username": "dora", "password": "a long enough phrase"}


@pytest.fixture
def open_door(settings, cast, valkey_url):
    settings.SIGN_UP, settings.EMAIL_HOST = True, "mail.example"


def asked(client, email="dora@initech.example"):
    answer = client.post("/accounts/signup/", {"email": email})
    found = re.search(r"/accounts/signup/\S+/", mail.outbox[-1].body) if mail.outbox else None
    return answer, found and found.group()


def test_it_is_closed_unless_it_is_switched_on(cast, browser, settings):
    assert browser().get("/accounts/signup/").status_code == 403
    assert browser().post("/accounts/signup/", COMPANY).status_code == 403
    assert "Sign up" not in browser().get("/accounts/login/").content.decode()


def test_the_mail_comes_first_then_the_tenant(open_door, browser, settings):
    settings.SIGN_UP_REQUESTS_PER_MINUTE, settings.SIGN_UP_TOKENS_PER_MINUTE = 7, 0
    client = browser()
    answer, link = asked(client)
    assert answer.status_code == 200 and not User.objects.filter(username="dora").exists()
    answer = client.post(link, COMPANY)
    assert answer["Location"] == "/console/"
    member = Member.objects.everywhere().get(user__username="dora")
    assert (member.role, member.tenant.slug) == ("owner", "initech")
    assert (member.tenant.requests_per_minute, member.tenant.tokens_per_minute) == (7, None)
    assert EmailAddress.objects.get(user=member.user).verified
    assert client.get("/console/").status_code == 200
    assert browser().post(link, COMPANY | {"slug": "again", "username": "eve"}).status_code == 410


def test_whether_an_address_has_an_account_only_its_mailbox_learns(open_door, browser):
    client = browser()
    _, link = asked(client)
    client.post(link, COMPANY)
    first, second = (asked(browser(), email)[0].content for email in ("dora@initech.example", "eve@initech.example"))
    assert TOKEN.sub(b"", first).replace(b"dora", b"") == TOKEN.sub(b"", second).replace(b"eve", b"")
    assert "There is an account" in mail.outbox[-2].body


def test_without_mail_no_address_is_anybodys(cast, browser, settings):
    settings.SIGN_UP = True
    assert browser().post("/accounts/signup/", COMPANY).status_code == 302
    assert not EmailAddress.objects.exists() and Tenant.objects.filter(slug="initech").exists()


@pytest.mark.parametrize("token", ["x", "a:b:c", "dora@initech.example:1:x"])
def test_a_link_that_is_none_is_gone(open_door, browser, token):
    assert browser().get(f"/accounts/signup/{token}/").status_code == 410


@pytest.mark.parametrize(
    "changes",
    [{"slug": "acme"}, {"slug": "A b"}, {"slug": ""}, {"company": " "}, {"company": "\x00"}, {"username": "bob"}],
)
def test_it_refuses_at_the_field_and_makes_nothing(open_door, browser, changes):
    client = browser()
    _, link = asked(client)
    answer = client.post(link, COMPANY | changes)
    assert answer.status_code == 200 and "errorlist" in answer.content.decode()
    assert Tenant.objects.count() == 2 and not User.objects.filter(username="dora").exists()


def test_mails_to_one_box_are_few(open_door, browser):
    for _ in range(10):
        asked(browser())
    assert len(mail.outbox) == 3
