import json
from unittest import mock

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import MD5PasswordHasher

from tenants.models import User
from tests.access.people.told import actions

pytestmark = pytest.mark.usefixtures("cast", "valkey_url")


def page(client, login="alice", password="wrong", **more):
    return client.post("/accounts/login/", {"login": login, "password": password}, **more)


def token(client, login="alice", password="wrong", **more):
    body = json.dumps({"username": login, "password": password})
    return client.post("/api/token/", body, content_type="application/json", **more)


def test_it_lets_in_by_name_and_by_address(cast, client):
    cast.alice.user.email = "alice@acme.example"
    cast.alice.user.save()
    for login in ("alice", "Alice@acme.example"):
        answer = page(client, login, "correct horse battery staple")
        assert (answer.status_code, answer["Location"]) == (302, "/console/")
        client.post("/accounts/logout/")


@pytest.mark.parametrize("way", [page, token])
def test_it_locks_an_account_after_so_many_failures(client, way):
    for _ in range(5):
        assert way(client).status_code in (200, 401)
    locked = way(client, password="correct horse battery staple")
    assert locked.status_code == 429 and 0 < int(locked["Retry-After"]) <= 900
    assert way(client, "bob", "correct horse battery staple").status_code in (200, 302)
    assert actions().count("locked") == 1 and actions().count("sign_in_refused") == 5


def test_every_way_in_counts_together(cast, client):
    cast.alice.user.email = "alice@acme.example"
    cast.alice.user.save()
    for _ in range(2):
        page(client)
        token(client, "ALICE@acme.example")
    page(client)
    assert token(client, password="correct horse battery staple").status_code == 429


def test_a_name_nobody_has_is_answered_alike(client):
    answers = {name: [page(client, name) for _ in range(7)] for name in ("alice", "nobody-at-all")}
    shown = {
        name: [(each.status_code, each.content.decode().replace(name, "").count("errorlist")) for each in each_of]
        for name, each_of in answers.items()
    }
    assert shown["alice"] == shown["nobody-at-all"]
    assert "nobody-at-all" not in str(actions())


@pytest.mark.parametrize("way", [page, token])
@pytest.mark.parametrize("login", ["alice", "nobody-at-all", "nobody@acme.example"])
def test_a_name_nobody_has_costs_the_same_work(client, way, login):
    with mock.patch.object(MD5PasswordHasher, "encode", autospec=True, side_effect=MD5PasswordHasher.encode) as encode:
        way(client, login)
    assert encode.call_count == 1


def test_success_forgets_the_accounts_failures(client):
    for _ in range(3):
        for _ in range(4):
            token(client)
        assert token(client, password="correct horse battery staple").status_code == 200


def test_it_locks_an_address(client, settings):
    settings.SIGN_IN_ADDRESS_ATTEMPTS = 6
    for number in range(6):
        assert token(client, f"name-{number}").status_code == 401
    assert token(client, "alice", "correct horse battery staple").status_code == 429
    assert page(client, "alice", "correct horse battery staple").status_code == 429
    elsewhere = token(client, "alice", "correct horse battery staple", REMOTE_ADDR="198.51.100.9")
    assert elsewhere.status_code == 200


def test_an_address_is_what_trusted_proxies_say(client, settings):
    settings.SIGN_IN_ADDRESS_ATTEMPTS, settings.TRUSTED_PROXIES = 3, ["127.0.0.1"]
    for number in range(3):
        token(client, f"name-{number}", headers={"X-Forwarded-For": "192.0.2.1"})
    assert token(client, "x", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 429
    assert token(client, "x", headers={"X-Forwarded-For": "192.0.2.2"}).status_code == 401


@pytest.mark.parametrize("login", ["\x00", "a" * 100_000, "<script>", "' OR 1=1 --", "名", "a@" + "b" * 300, "\u202e"])
def test_bad_input_is_refused_like_any_other(client, login):
    for password in ("x", "\x00", "p" * 100_000):
        assert page(client, login, password).status_code in (200, 429)
        assert token(client, login, password).status_code in (400, 401, 429)


def test_it_goes_only_where_it_should(client):
    answer = client.post(
        "/accounts/login/?next=https://evil.example/",
        {"login": "alice", "password": "correct horse battery staple", "next": "https://evil.example/"},
    )
    assert answer["Location"] == "/console/"


def test_the_console_sends_people_here_and_says_why_not(cast, browser):
    answer = browser().get("/console/")
    assert answer["Location"] == "/console/login/?next=/console/"
    assert browser().get(answer["Location"])["Location"] == "/accounts/login/?next=/console/"
    bob = browser(cast.bob.user)
    door = bob.get("/console/login/?next=/console/")
    assert door.status_code == 403 and "Acme" in door.content.decode()
    assert browser(cast.alice.user).get("/console/login/?next=//evil.example/")["Location"] == "/console/"


def test_a_suspended_tenants_people_see_why(cast, browser):
    alice = browser(cast.alice.user)
    assert alice.get("/console/").status_code == 200
    cast.acme.is_active = False
    cast.acme.save()
    for path in ("/console/", "/console/login/?next=/console/"):
        door = alice.get(path)
        assert door.status_code == 403 and "Suspended by the platform" in door.content.decode()


def test_it_tells_the_journal_of_signing_out(cast, browser):
    alice = browser(cast.alice.user)
    alice.post("/accounts/logout/")
    assert actions() == ["signed_in", "signed_out"]


def test_it_counts_under_everybody_whom_a_word_may_mean(cast, client):
    """Who calls themselves like somebody's address does not forget the other's failures by signing in."""
    alice = cast.alice.user
    for address in ("alice@acme.example", "alice@home.example"):
        EmailAddress.objects.create(user=alice, email=address, verified=True)
    User.objects.create_user("alice@acme.example", password="the name of another")
    for address in ("alice@acme.example", "alice@home.example"):
        for _ in range(2):
            assert token(client, address).status_code == 401
        assert token(client, "alice@acme.example", "the name of another").status_code == 403  # of no tenant
    assert token(client).status_code == 401
    assert token(client, "alice", "correct horse battery staple").status_code == 429


def test_mails_name_the_place_and_not_what_a_request_calls_it(cast, browser, settings, mailoutbox):
    settings.ALLOWED_HOSTS, settings.PUBLIC_URL = ["*"], "https://gateway.example"
    cast.alice.user.email = "alice@acme.example"
    cast.alice.user.save()
    for email in ("alice@acme.example", "nobody@acme.example"):
        answer = browser().post("/accounts/password/reset/", {"email": email}, HTTP_HOST="evil.example")
        assert answer.status_code == 302
    assert len(mailoutbox) == 2
    for mail in mailoutbox:
        said = f"{mail.subject} {mail.body}"
        assert "evil.example" not in said and "https://gateway.example/accounts/" in said


def test_the_page_says_once_where_a_forgotten_password_leads(client):
    assert client.get("/accounts/login/").content.decode().count('href="/accounts/password/reset/"') == 1
