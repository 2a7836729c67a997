"""Cookies and forms: nobody else's page acts in the name of who has signed in, and nobody gets a session prepared by
somebody else."""

from __future__ import annotations

import pytest
from allauth.account.forms import default_token_generator
from django.conf import settings as configured
from django.test import Client

from clawdbot_site.selftest.isolation.surface import pages
from tenants.credentials import read_members
from tests.cast import PASSWORD

# Parameters of addresses; where a row is named there need not be one: the token is looked at first.
FILLED = {"app_label": "tenants", "url": "nowhere", "token": "x", "secret": "x", "uidb36": "1", "key": "1-x"}
# Take nothing from cookies: whoever calls shows a password or a token in the body. The last two are only read.
WITHOUT_COOKIES = {"/api/token", "/api/token/refresh", "/api/docs", "/api/schema"}
POSTS = sorted({door.path.removesuffix("/?") for door in pages() if door.method == "POST"} - WITHOUT_COOKIES)
EVIL = "https://evil.example"


def address(path: str) -> str:
    for name in [each.partition("}")[0] for each in path.split("{")[1:]]:
        path = path.replace(f"{{{name}}}", FILLED.get(name, "1"))
    return path if "." in path.rpartition("/")[2] else f"{path.rstrip('/')}/"


@pytest.fixture
def owner(cast, valkey_url):
    """Alice, who may do everything, in a browser that holds to what Django asks of forms."""
    cast.alice.user.is_superuser = cast.alice.user.is_staff = True
    cast.alice.user.save()
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.alice.user)
    return client


def test_there_are_many():
    assert len(POSTS) > 150


def test_every_page_refuses_a_form_without_its_token(owner):
    """Whatever the page: each route that Django serves."""
    answers = {path: owner.post(address(path), headers={"Origin": "http://testserver"}).status_code for path in POSTS}
    assert {path: status for path, status in answers.items() if status != 403} == {}  # noqa: PLR2004
    for method in ("put", "patch", "delete"):
        assert getattr(owner, method)("/console/tenants/apikey/add/").status_code == 403


@pytest.mark.parametrize(
    "origin", [EVIL, "null", "http://testserver.evil.example", "http://testserver:81", "https://testserver"]
)
def test_a_right_token_from_another_page_is_no_use(owner, origin):
    page = owner.get("/accounts/email/")
    token = page.context["csrf_token"]
    form = {"action_add": "", "email": "new@acme.example", "csrfmiddlewaretoken": str(token)}
    assert owner.post("/accounts/email/", form, headers={"Origin": origin}).status_code == 403
    assert owner.post("/accounts/email/", form, headers={"Origin": "http://testserver"}).status_code == 302


def test_a_refused_form_is_explained_to_people_and_said_in_the_one_shape_to_others(owner):
    page = owner.post("/accounts/logout/", headers={"Accept": "text/html,*/*"})
    assert page.status_code == 403 and "out of date" in page.content.decode()
    said = owner.post("/chat/token")
    assert said.status_code == 403 and said.json()["error"]["code"] == "forbidden"


def test_signing_in_changes_the_sessions_id_and_the_forms_token(cast, valkey_url):
    client = Client()
    client.get("/accounts/login/")
    session = client.session
    session["prepared"] = "by somebody else"
    session.save()
    client.cookies[configured.SESSION_COOKIE_NAME] = session.session_key
    before = client.cookies[configured.CSRF_COOKIE_NAME].value
    client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    after = client.cookies[configured.SESSION_COOKIE_NAME].value
    assert after != session.session_key
    assert client.cookies[configured.CSRF_COOKIE_NAME].value != before
    attacker = Client()
    attacker.cookies[configured.SESSION_COOKIE_NAME] = session.session_key
    assert attacker.get("/accounts/").status_code == 302  # to the sign-in page


def test_signing_out_ends_the_session_for_whoever_copied_it(cast, valkey_url):
    client, thief = Client(), Client()
    client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    thief.cookies[configured.SESSION_COOKIE_NAME] = client.cookies[configured.SESSION_COOKIE_NAME].value
    assert thief.get("/accounts/").status_code == 200
    client.post("/accounts/logout/")
    assert thief.get("/accounts/").status_code == 302


def test_cookies_are_for_us_alone(cast, valkey_url):
    client = Client()
    client.get("/accounts/login/")
    client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    client.post("/accounts/language/", {"language": "zh-hans", "next": "/accounts/"})
    for name in (configured.SESSION_COOKIE_NAME, configured.CSRF_COOKIE_NAME, configured.LANGUAGE_COOKIE_NAME):
        cookie = client.cookies[name]
        assert cookie["httponly"] and cookie["samesite"] == "Lax" and cookie["path"] == "/" and not cookie["domain"]


def test_over_https_no_cookie_travels_otherwise_whatever_the_proxy_says(cast, valkey_url, settings):
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = settings.LANGUAGE_COOKIE_SECURE = True
    client = Client()
    client.get("/accounts/login/")
    client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    client.post("/accounts/language/", {"language": "zh-hans", "next": "/accounts/"})
    assert len(client.cookies) == 4  # and what a page is to say once
    assert all(cookie["secure"] and cookie["httponly"] for cookie in client.cookies.values())


def test_replacing_the_secret_key_signs_nobody_out_and_breaks_no_link(cast, valkey_url, settings):
    visitor, absent = Client(), Client()
    for client in (visitor, absent):
        client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    alice, old = cast.alice.user, settings.SECRET_KEY
    link, stamp = default_token_generator.make_token(alice), read_members([cast.alice.id])[cast.alice.id].stamp
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n3w-" * 16, [old]
    assert visitor.get("/accounts/").status_code == 200
    assert default_token_generator.check_token(alice, link)
    member = read_members([cast.alice.id])[cast.alice.id]
    assert member.is_stamp(stamp) and member.stamp != stamp
    settings.SECRET_KEY_FALLBACKS = []
    assert visitor.get("/accounts/").status_code == 200  # seen meanwhile
    assert absent.get("/accounts/").status_code == 302
    assert not default_token_generator.check_token(alice, link)
    assert not read_members([cast.alice.id])[cast.alice.id].is_stamp(stamp)
