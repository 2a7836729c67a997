import json

import jwt
import pytest
from django.conf import settings
from django.db import connection
from django.urls import include, path

from access.bodies import MAX_BYTES
from tenants.models import Member, Tenant, User
from tenants.services import add_member, suspend_tenant
from tenants.tokens import TokenVerifier
from tests.cast import ALICE, BOB, PASSWORD

pytestmark = [pytest.mark.urls(__name__), pytest.mark.usefixtures("valkey_url")]
urlpatterns = [path("api/", include("access.management.tokens"))]

VERIFIER = TokenVerifier(settings.SIMPLE_JWT)


@pytest.fixture
def post(client):
    def post(body, address="/api/token/"):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = client.post(address, raw, content_type="application/json")
        return answer.status_code, answer.json()

    return post


def login(person=ALICE, **changes):
    body = {"username": person.username, "password": PASSWORD} | changes
    return {name: value for name, value in body.items() if value is not None}


def code(answer):
    status, body = answer
    assert set(body) == {"error"}
    assert set(body["error"]) - {"param"} == {"code", "message", "request_id", "retryable"}
    assert body["error"]["request_id"]
    return status, body["error"]["code"]


@pytest.mark.parametrize("address", ["/api/token/", "/api/token"])
def test_it_gives_a_member_two_tokens(cast, post, address):
    status, body = post(login(BOB), address)
    assert status == 200
    assert set(body) == {"access", "refresh"}
    claims = jwt.decode(body["access"], options={"verify_signature": False})
    assert (claims["member"], claims["tenant"], claims["role"], claims["user_id"]) == (BOB.id, "acme", "member", "2")
    assert (claims["iss"], claims["aud"]) == ("clawdbot", "clawdbot-api")
    assert jwt.get_unverified_header(body["access"]) == {"alg": "HS256", "typ": "JWT"}
    assert VERIFIER.verify(body["access"]).member == BOB.id
    assert VERIFIER.verify(body["refresh"], "refresh").member == BOB.id


@pytest.mark.parametrize("address", ["/api/token/refresh/", "/api/token/refresh"])
def test_it_refreshes(cast, post, address):
    _, pair = post(login())
    status, body = post({"refresh": pair["refresh"]}, address)
    assert (status, set(body)) == (200, {"access"})
    assert VERIFIER.verify(body["access"]).member == ALICE.id


def test_it_asks_which_tenant_of_several(cast, post):
    add_member(tenant=cast.globex, user=cast.alice.user)
    assert code(post(login())) == (400, "tenant_required")
    _, body = post(login(tenant="globex"))
    assert VERIFIER.verify(body["access"]).tenant == "globex"


@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"username": "nobody"}, {"username": "ALICE"}])
def test_it_refuses_a_wrong_name_or_password_alike(cast, post, changes):
    assert code(post(login(**changes))) == (401, "unauthenticated")
    assert post(login(**changes))[1]["error"]["message"] == "Wrong username or password."


def test_it_does_not_tell_which_tenants_exist(cast, post):
    answers = [post(login(tenant=slug)) for slug in ("globex", "no-such-tenant")]
    assert [code(answer) for answer in answers] == [(403, "forbidden")] * 2
    assert len({body["error"]["message"] for _, body in answers}) == 1


def test_it_refuses_who_is_no_member_or_no_longer_one(cast, post):
    User.objects.create_user("dora", password=PASSWORD)
    assert code(post(login(username="dora"))) == (403, "forbidden")
    Member.objects.for_tenant(cast.acme.id).filter(user=cast.bob.user).update(is_active=False)
    assert code(post(login(BOB))) == (403, "forbidden")
    User.objects.filter(pk=cast.alice.user_id).update(is_active=False)
    assert code(post(login())) == (401, "unauthenticated")


def test_it_refuses_a_suspended_tenant_and_takes_the_other_one(cast, post):
    _, pair = post(login())
    suspend_tenant(tenant=cast.acme)
    assert code(post(login())) == (403, "tenant_suspended")
    assert code(post({"refresh": pair["refresh"]}, "/api/token/refresh/")) == (403, "tenant_suspended")
    add_member(tenant=cast.globex, user=cast.alice.user)
    assert VERIFIER.verify(post(login())[1]["access"]).tenant == "globex"


@pytest.mark.parametrize(
    "change",
    [
        lambda cast: cast.alice.delete(),
        lambda cast: Member.objects.for_tenant(1).update(is_active=False),
        lambda cast: User.objects.filter(username="alice").update(is_active=False),
        lambda cast: Tenant.objects.filter(slug="acme").update(slug="emca"),
    ],
    ids=["removed", "deactivated", "user", "renamed"],
)
def test_it_refreshes_for_nobody_who_is_no_longer_the_member(cast, post, change):
    _, pair = post(login())
    change(cast)
    assert code(post({"refresh": pair["refresh"]}, "/api/token/refresh/")) == (401, "unauthenticated")


def test_it_refreshes_neither_with_an_access_token_nor_with_garbage(cast, post):
    _, pair = post(login())
    for token in (pair["access"], pair["refresh"][:-5], "a.b.c", "x"):
        assert code(post({"refresh": token}, "/api/token/refresh/")) == (401, "unauthenticated")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"username": NaN}',
        b"[" * 100_000,
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b'{"username": "\\u0000", "password": "x"}',
        b'{"username": "alice", "password": "\\u0000"}',
        b'{"username": "\\ud800", "password": "x"}',
        b'{"username": "alice", "password": "x", "\\u0000": 1}',
        {},
        {"username": "alice"},
        {"username": 1, "password": "x"},
        {"username": ["alice"], "password": "x"},
        {"username": {"$ne": ""}, "password": "x"},
        {"username": "alice", "password": True},
        {"username": "", "password": "x"},
        {"username": "a" * 151, "password": "x"},
        {"username": "alice", "password": "x" * 1025},
        {"username": "alice", "password": "x", "tenant": 1},
        {"username": "alice", "password": "x", "role": "owner"},
        {"refresh": 5},
    ],
    ids=lambda body: ascii(body)[:40],
)
def test_it_calls_a_malformed_body_invalid(cast, post, body):
    for address in ("/api/token/", "/api/token/refresh/"):
        assert code(post(body, address)) == (400, "invalid_request")


def test_it_refuses_a_body_that_is_too_large(cast, post):
    assert code(post(b" " * (MAX_BYTES + 1))) == (413, "payload_too_large")


def test_it_refuses_an_address_of_too_many_fields(post):
    assert code(post(b"{}", f"/api/token/?{'a&' * 1100}")) == (400, "invalid_request")


def test_it_answers_other_methods_in_the_same_shape(cast, client):
    answer = client.get("/api/token/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer["X-Request-Id"] == answer.json()["error"]["request_id"] != ""


def test_it_says_unavailable_while_the_database_is_away(transactional_db, cast, post):
    with connection.schema_editor() as editor:
        editor.alter_db_table(User, "tenants_user", "elsewhere")
    try:
        assert code(post(login())) == (503, "store_unavailable")
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(User, "elsewhere", "tenants_user")
