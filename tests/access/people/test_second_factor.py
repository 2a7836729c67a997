import json
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.core.cache import cache
from django.urls import reverse

from access.people import sealed_factors, second_factor
from tenants.rotating import Rotated
from tests.access.people.told import actions

pytestmark = pytest.mark.usefixtures("valkey_url")
PASSWORD = "correct horse battery staple"


def code(secret, steps=0):
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))


@pytest.fixture
def secret(cast):
    made = generate_totp_secret()
    TOTP.activate(cast.alice.user, made)
    return made


def token(client, **more):
    body = {"username": "alice", "password": PASSWORD, **more}
    answer = client.post("/api/token/", json.dumps(body), content_type="application/json")
    return answer.status_code, answer.json().get("error", {}).get("code", "")


def test_a_person_sets_one_up_and_needs_it_from_then_on(cast, browser, django_capture_on_commit_callbacks):
    alice = browser(cast.alice.user)
    again = alice.get("/accounts/2fa/totp/activate/")["Location"]
    assert again.startswith("/accounts/reauthenticate/")
    assert alice.get(again).status_code == 200
    alice.post(again, {"password": PASSWORD})
    page = alice.get("/accounts/2fa/totp/activate/")
    assert page.status_code == 200 and "data:image/svg+xml" in page.content.decode()
    made = alice.session["mfa.totp.secret"]
    with django_capture_on_commit_callbacks(execute=True):
        assert alice.post("/accounts/2fa/totp/activate/", {"code": code(made)}).status_code == 302
    assert alice.get("/accounts/2fa/").status_code == 200
    stored = json.dumps(list(Authenticator.objects.values_list("data", flat=True)))
    assert made not in stored and "v1." in stored
    cache.clear()
    other = browser()
    answer = other.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    assert answer["Location"].startswith("/accounts/2fa/authenticate/")
    assert other.get("/console/").status_code == 302
    assert other.get("/accounts/2fa/authenticate/").status_code == 200
    assert other.post("/accounts/2fa/authenticate/", {"code": "000000"}).status_code == 200
    assert other.post("/accounts/2fa/authenticate/", {"code": code(made)}).status_code == 302
    assert other.get("/console/").status_code == 200
    assert {"second_factor_added", "second_factor_refused"} <= set(actions())


def test_a_token_needs_a_code_which_is_good_once(client, secret):
    assert token(client) == (400, "otp_required")
    assert token(client, otp="000000") == (401, "unauthenticated")
    good = code(secret)
    assert token(client, otp=good) == (200, "")
    assert token(client, otp=good) == (401, "unauthenticated")


def test_a_recovery_code_will_do_once(cast, client, secret):
    codes = RecoveryCodes.activate(cast.alice.user).generate_codes()
    assert token(client, otp=codes[0]) == (200, "")
    assert token(client, otp=codes[0]) == (401, "unauthenticated")
    assert token(client, otp=codes[1]) == (200, "")


def test_a_right_password_forgets_no_wrong_codes(client, browser, secret):
    """Else whoever has the password alone could guess at codes for ever."""
    for _ in range(5):
        assert token(client, otp="000000")[0] == 401
        answer = browser().post("/accounts/login/", {"login": "alice", "password": PASSWORD})
        assert answer.status_code in (302, 429)
    assert token(client, otp=code(secret)) == (429, "rate_limited")


def test_signing_in_with_a_second_factor_counts_as_no_failure(browser, secret):
    for _ in range(7):
        answer = browser().post("/accounts/login/", {"login": "alice", "password": PASSWORD})
        assert answer.status_code == 302


def test_wrong_codes_lock_the_account(client, secret):
    for _ in range(5):
        assert token(client, otp="000000")[0] == 401
    assert token(client, otp=code(secret)) == (429, "rate_limited")


def test_asking_without_a_code_does_not_open_the_lock_anew(client, secret):
    """The password alone is no success: what failed before still counts."""
    for _ in range(4):
        token(client, otp="000000")
    assert token(client) == (400, "otp_required")
    assert token(client, otp=code(secret)) == (429, "rate_limited")


@pytest.mark.parametrize("otp", ["", " ", "\x00", "１２３４５６", "x" * 65, 123456, None, ["1"], "-1", "1e5"])
def test_bad_codes_are_refused(client, secret, otp):
    assert token(client, otp=otp)[0] in (400, 401)


def test_the_platform_can_ask_operators_for_one(operator, cast, browser, settings):
    settings.REQUIRE_MFA = "operators"
    client = browser(operator)
    assert client.get("/admin/")["Location"] == "/accounts/2fa/totp/activate/"
    client.post("/accounts/reauthenticate/", {"password": "operate the platform"})
    assert client.get("/accounts/2fa/totp/activate/").status_code == 200
    TOTP.activate(operator, generate_totp_secret())
    assert client.get("/admin/").status_code == 200
    assert browser(cast.alice.user).get("/console/").status_code == 200


def test_the_platform_can_ask_everybody_for_one(cast, browser, client, settings):
    settings.REQUIRE_MFA = "everybody"
    assert browser(cast.alice.user).get("/console/")["Location"] == "/accounts/2fa/totp/activate/"
    assert token(client) == (403, "forbidden")
    assert browser(cast.bob.user).post("/chat/token", "{}", content_type="application/json").status_code == 302


def test_no_token_of_before_is_renewed_once_the_platform_asks_for_one(operator, cast, client, settings):
    """Neither while the person has none, nor with a token that none was asked for."""
    pairs = {}
    for name, password in (("alice", PASSWORD), ("operator", "operate the platform")):
        body = {"username": name, "password": password, **({"operator": True} if name == "operator" else {})}
        pairs[name] = client.post("/api/token/", body, content_type="application/json").json()

    def renewed(name):
        body = {"refresh": pairs[name]["refresh"]}
        return client.post("/api/token/refresh/", body, content_type="application/json").status_code

    assert [renewed(name) for name in pairs] == [200, 200]
    settings.REQUIRE_MFA = "operators"
    assert [renewed(name) for name in pairs] == [200, 401]
    settings.REQUIRE_MFA = "everybody"
    assert [renewed(name) for name in pairs] == [401, 401]
    secret = generate_totp_secret()
    TOTP.activate(cast.alice.user, secret)
    assert renewed("alice") == 401
    body = {"username": "alice", "password": PASSWORD, "otp": code(secret)}
    pairs["alice"] = client.post("/api/token/", body, content_type="application/json").json()
    assert renewed("alice") == 200


def test_an_operator_can_take_a_lost_one_away(cast, client, secret):
    assert second_factor.kinds(cast.alice.user) == ["TOTP Authenticator"]
    assert second_factor.reset(user=cast.alice.user) == 1
    assert token(client) == (200, "")
    assert "second_factors_reset" in actions()


def test_an_operator_does_so_in_the_console(operator, cast, browser, client, secret):
    console = browser(operator)
    page = f"/admin/tenants/user/{cast.alice.user_id}"
    assert "TOTP Authenticator" in console.get(f"{page}/change/").content.decode()
    form = {"_form_submitted": "True"}
    where = reverse("admin:tenants_user_reset_factors", args=[cast.alice.user_id])
    assert browser(cast.charlie.user).post(where, form).status_code in (302, 403)
    assert second_factor.kinds(cast.alice.user)
    console.post(where, form)
    assert second_factor.kinds(cast.alice.user) == []


def test_another_master_key_seals_it_again(cast, client, secret, settings):
    RecoveryCodes.activate(cast.alice.user)
    settings.MASTER_KEY_FILE, old = None, settings.MASTER_KEY
    settings.MASTER_KEY = f"another,{old}"
    told = Rotated()
    sealed_factors.seal_again(told, only_look=True)
    assert (told.sealed, told.current) == (2, 0)
    sealed_factors.seal_again(Rotated())
    settings.MASTER_KEY = "another"
    assert token(client, otp=code(secret)) == (200, "")
    settings.MASTER_KEY = old
    told = Rotated()
    sealed_factors.seal_again(told)
    assert len(told.broken) == 2
