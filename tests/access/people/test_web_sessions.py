import json

import pytest
from allauth.usersessions.models import UserSession

from access.people import web_sessions
from tests.access.people.told import actions

pytestmark = pytest.mark.usefixtures("valkey_url")


def signed_in(client):
    return client.get("/accounts/").status_code == 200


def test_it_lists_a_persons_own_sessions(cast, browser):
    alice, other = browser(cast.alice.user), browser(cast.alice.user)
    browser(cast.charlie.user)
    text = alice.get("/accounts/sessions/").content.decode()
    assert text.count("Tests/1") == 2 and "127.0.0.1" in text and text.count('name="end"') == 1
    assert signed_in(other)


def test_a_session_that_is_ended_is_refused_at_once(cast, browser):
    alice, other = browser(cast.alice.user), browser(cast.alice.user)
    number = UserSession.objects.get(session_key=other.session.session_key).pk
    alice.post("/accounts/sessions/", {"end": number})
    assert signed_in(alice) and not signed_in(other)
    assert "session_ended" in actions()


@pytest.mark.parametrize("number", ["", "0", "-1", "x", "9" * 18, "9" * 40, "１", "\x00"])
def test_nobody_ends_anothers(cast, browser, number):
    alice, charlie = browser(cast.alice.user), browser(cast.charlie.user)
    theirs = UserSession.objects.get(user=cast.charlie.user).pk
    for asked in (theirs, number):
        assert alice.post("/accounts/sessions/", {"end": asked}).status_code == 302
    assert signed_in(charlie)


def test_signing_out_everywhere_ends_sessions_and_tokens(cast, browser):
    alice, other = browser(cast.alice.user), browser(cast.alice.user)
    UserSession.objects.filter(session_key=other.session.session_key).delete()  # one that no list knows
    who = json.dumps({"username": "alice", "password": "correct horse battery staple"})
    refresh = other.post("/api/token/", who, content_type="application/json").json()["refresh"]
    alice.post("/accounts/sessions/", {"everywhere": "1"})
    assert signed_in(alice) and not signed_in(other)
    again = other.post("/api/token/refresh/", json.dumps({"refresh": refresh}), content_type="application/json")
    assert again.status_code == 401
    assert "signed_out_everywhere" in actions()


def test_another_password_ends_sessions_and_tokens(cast, browser):
    alice, other = browser(cast.alice.user), browser(cast.alice.user)
    who = json.dumps({"username": "alice", "password": "correct horse battery staple"})
    refresh = other.post("/api/token/", who, content_type="application/json").json()["refresh"]
    new = {
        "oldpassword": "correct horse battery staple",
        "password1": "yet another phrase",
        "password2": "yet another phrase",
    }
    assert alice.post("/accounts/password/change/", new).status_code == 302
    assert signed_in(alice) and not signed_in(other)
    again = other.post("/api/token/refresh/", json.dumps({"refresh": refresh}), content_type="application/json")
    assert again.status_code == 401
    assert "password_changed" in actions()


def test_the_service_ends_all_of_a_member(cast, browser):
    bob = browser(cast.bob.user)
    web_sessions.sign_out_everywhere(user=cast.bob.user)
    assert not signed_in(bob) and web_sessions.sessions_of(cast.bob.user) == []
