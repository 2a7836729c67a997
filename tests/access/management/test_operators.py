import pytest
from django.core import mail
from django.test import Client as Browser
from django.utils import timezone

from compliance.models import ChangeRecord
from tenants.models import Tenant, User
from tests.access.managed import managed, refused
from tests.cast import ALICE, BOB

PASSWORD = "correct horse battery"


@pytest.fixture
async def site(transactional_db, cast, valkey_server, valkey_url):
    async with managed() as site:
        await site.rows(lambda: User.objects.create_superuser("root", password=PASSWORD))
        yield site


def token(**changes):
    body = {"username": "root", "password": PASSWORD, "operator": True, **changes}
    return Browser().post("/api/token/", body, content_type="application/json")


@pytest.fixture
async def root(site):
    answer = await site.rows(token)
    assert answer.status_code == 200, answer.content
    return site.site.client(answer.json()["access"])


async def made(root, **changes):
    answer = await root.post("/api/tenants", {"slug": "initech", "name": "Initech", **changes})
    assert answer.status == 201, answer.json
    return answer.json


async def test_it_lists_makes_and_changes_tenants(site, root):
    tenant = await made(root, requests_per_minute=60, money_per_month=12.5, share=3)
    assert (tenant["slug"], tenant["requests_per_minute"], tenant["money_per_month"], tenant["share"]) == (
        "initech", 60, 12.5, 3,
    )  # fmt: skip
    page = (await root.get("/api/tenants?limit=2")).json
    assert [row["slug"] for row in page["tenants"]] == ["initech", "globex"] and page["next"] == 2
    assert (await root.get(f"/api/tenants/{tenant['id']}")).json == tenant
    change = {"is_active": False, "money_per_day": 1, "requests_per_minute": None, "legal_hold": True, "cache_ttl": 60,
              "body_limit": 20, "stream_interval": 20}  # fmt: skip
    for _ in range(2):
        changed = (await root.request("PATCH", f"/api/tenants/{tenant['id']}", change)).json
        assert changed == {**tenant, **change}
    assert [row["slug"] for row in (await root.get("/api/tenants?state=suspended")).json["tenants"]] == ["initech"]
    assert [row["slug"] for row in (await root.get("/api/tenants?search=ACM")).json["tenants"]] == ["acme"]


async def test_it_asks_the_owner_by_mail_or_makes_nothing(site, root):
    await made(root, owner_email="dora@example.com")
    assert [message.to for message in mail.outbox] == [["dora@example.com"]]
    body = {"slug": "hooli", "name": "Hooli", "owner_email": "no address"}
    refused(await root.post("/api/tenants", body), 400, "invalid_request", "owner_email")
    assert not await site.rows(lambda: Tenant.objects.filter(slug="hooli").exists())


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"slug": "Bad Slug"}, "slug"),
        ({"slug": "acme"}, "slug"),
        ({"name": ""}, "name"),
        ({"share": 0}, "share"),
        ({"share": 101}, "share"),
        ({"body_limit": 1}, "body_limit"),
        ({"body_limit": 21}, "body_limit"),
        ({"money_per_day": 0.0000001}, "money_per_day"),
        ({"time_zone": "Mars"}, "time_zone"),
        ({"requests_per_minute": -1}, "requests_per_minute"),
        ({"store_url": "redis://x"}, "store_url"),
        ({"store_database": 1}, "store_database"),
        ({"id": 7}, "id"),
    ],
)
async def test_it_names_the_field_it_refuses(site, root, body, param):
    refused(
        await root.post("/api/tenants", {"slug": "initech", "name": "Initech", **body}), 400, "invalid_request", param
    )
    if param != "slug":
        refused(await root.request("PATCH", "/api/tenants/1", body), 400, "invalid_request", param)


@pytest.mark.parametrize("wrong", [0, 51, 1.5, "20"])
async def test_it_spaces_streams_by_1_to_50_milliseconds(site, root, wrong):
    change = {"stream_interval": wrong}
    refused(await root.request("PATCH", "/api/tenants/1", change), 400, "invalid_request", "stream_interval")


async def test_it_knows_no_other_ids(site, root, unknown):
    for name in unknown:
        for method in ("GET", "PATCH"):
            refused(await root.request(method, f"/api/tenants/{name}", {}), 404, "not_found")


async def test_no_credential_of_a_tenant_opens_it(site):
    for client in (site.alice, site.signed_in(ALICE, "owner"), site.bob):
        for method, path in (("GET", "/api/tenants"), ("POST", "/api/tenants"), ("PATCH", "/api/tenants/1")):
            refused(await client.request(method, path, {"share": 100}), 403, "forbidden")
    refused(await site.site.stranger.get("/api/tenants"), 401, "unauthenticated")
    refused(await site.site.client("cb_nonsense").get("/api/tenants"), 401, "unauthenticated")


async def test_it_opens_no_tenant(site, root):
    for path in ("/api/tenant", "/api/keys", "/api/me", "/api/sessions", "/api/audit"):
        refused(await root.get(path), 401, "unauthenticated")


async def test_only_operators_get_a_token_and_it_is_on_record(site):
    for who in ("alice", "bob"):
        answer = await site.rows(lambda who=who: token(username=who, password=ALICE.password))
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    wrong = await site.rows(lambda: token(password="wrong"))
    assert wrong.status_code == 401
    both = await site.rows(lambda: token(tenant="acme"))
    assert (both.status_code, both.json()["error"]["param"]) == (400, "tenant")
    assert (await site.rows(token)).status_code == 200
    recorded = await site.rows(lambda: [bytes(record.body) for record in ChangeRecord.objects.everywhere()])
    assert len([body for body in recorded if b"operator_token" in body and b"root" in body]) == 1


async def test_who_is_no_operator_any_more_is_refused_at_the_next_call(site, root):
    def change(**values):
        return lambda: User.objects.filter(username="root").update(**values)

    assert (await root.get("/api/tenants")).status == 200
    for values in ({"is_superuser": False}, {"is_active": False}):
        await site.rows(change(**values))
        refused(await root.get("/api/tenants"), 401, "unauthenticated")
        await site.rows(change(is_superuser=True, is_active=True))
        assert (await root.get("/api/tenants")).status == 200


async def test_a_new_password_ends_tokens_made_before_it(site):
    pair = (await site.rows(token)).json()

    def renew():
        return Browser().post("/api/token/refresh/", {"refresh": pair["refresh"]}, content_type="application/json")

    fresh = await site.rows(renew)
    assert fresh.status_code == 200
    root = site.site.client(fresh.json()["access"])
    assert (await root.get("/api/tenants")).status == 200

    def password():
        user = User.objects.get(username="root")
        user.set_password("another one entirely")
        user.save()

    await site.rows(password)
    refused(await root.get("/api/tenants"), 401, "unauthenticated")
    assert (await site.rows(renew)).status_code == 401


async def test_a_refresh_token_opens_nothing_itself(site):
    pair = (await site.rows(token)).json()
    refused(await site.site.client(pair["refresh"]).get("/api/tenants"), 401, "unauthenticated")
    assert BOB.company is ALICE.company


async def test_a_tenant_that_is_being_closed_is_not_let_in_again(site, root):
    def closing():
        Tenant.objects.filter(pk=2).update(closed_at=timezone.now(), is_active=False)

    await site.rows(closing)
    refused(await root.request("PATCH", "/api/tenants/2", {"is_active": True}), 409, "conflict")
    assert [row["slug"] for row in (await root.get("/api/tenants?state=closed")).json["tenants"]] == ["globex"]
