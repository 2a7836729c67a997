import pytest

from access.management import own_tenant
from tenants.models import Member, Tenant
from tests.access.managed import manager, refused
from tests.cast import ALICE, BOB, CHARLIE


def acme():
    return Tenant.objects.get(pk=ALICE.company.id)


async def test_it_shows_and_changes_the_callers_tenant(site):
    shown = (await site.alice.get("/api/tenant")).json
    assert (shown["slug"], shown["name"], shown["time_zone"], shown["at_limit"]) == ("acme", "Acme", "UTC", "refuse")
    change = {"name": "Acme & Söhne", "time_zone": "Asia/Shanghai", "at_limit": "cheaper",
              "budget_webhook": "https://example.com/hook?token=s3cret", "stream_interval": 20}  # fmt: skip
    for _ in range(2):
        assert (await site.alice.request("PATCH", "/api/tenant", change)).json == {**shown, **change}
    assert (await site.rows(acme)).time_zone == "Asia/Shanghai"
    assert (await site.charlie.get("/api/tenant")).json["name"] == "Globex"
    auditors = (await site.signed_in(BOB, "auditor").get("/api/tenant")).json
    assert auditors == {**shown, **change, "budget_webhook": None}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"time_zone": "Mars/One"}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"at_limit": "never"}, "at_limit"),
        ({"budget_webhook": "javascript:alert(1)"}, "budget_webhook"),
        ({"budget_webhook": None}, "budget_webhook"),
        ({"stream_interval": 0}, "stream_interval"),
        ({"stream_interval": 51}, "stream_interval"),
        ({"stream_interval": "20"}, "stream_interval"),
        ({"slug": "globex"}, "slug"),
        ({"is_active": False}, "is_active"),
        ({"money_per_day": 1e6}, "money_per_day"),
        ({"requests_per_minute": None}, "requests_per_minute"),
        ({"share": 100}, "share"),
        ({"body_limit": 20}, "body_limit"),
        ({"store_url": "x"}, "store_url"),
        ({"legal_hold": False}, "legal_hold"),
        ({"retention_days": 0}, "retention_days"),
        ({"closed_at": None}, "closed_at"),
    ],
)
async def test_it_names_the_field_it_refuses(site, body, param):
    before = (await site.alice.get("/api/tenant")).json
    refused(await site.alice.request("PATCH", "/api/tenant", body), 400, "invalid_request", param)
    assert (await site.alice.get("/api/tenant")).json == before


@pytest.mark.parametrize(
    ("role", "read", "change"), [("developer", 200, 403), ("auditor", 200, 403), ("member", 403, 403)]
)
async def test_roles_may_what_the_table_says(site, role, read, change):
    client = site.signed_in(BOB, role)
    assert (await client.get("/api/tenant")).status == read
    assert (await client.request("PATCH", "/api/tenant", {"name": "Mine"})).status == change


async def test_it_says_who_asks(site, cast):
    def joins():
        Member.objects.create(tenant=cast.globex, user_id=ALICE.id, role="auditor")

    await site.rows(joins)
    owner = (await site.signed_in(ALICE, "owner").get("/api/me")).json
    assert (owner["kind"], owner["subject"], owner["username"], owner["role"]) == (
        "member",
        "member:1",
        "alice",
        "owner",
    )
    assert set(owner["areas"].values()) == {"change"} and owner["key"] is None
    assert owner["tenant"] == {"slug": "acme", "name": "Acme", "role": "owner"}
    assert owner["tenants"] == [owner["tenant"], {"slug": "globex", "name": "Globex", "role": "auditor"}]
    key = (await site.alice.get("/api/me")).json
    assert (key["kind"], key["username"], key["key"], key["role"]) == ("key", None, "alice", "admin")
    assert key["areas"]["tenant"] == "read" and key["scopes"] == ["chat", "manage", "sessions"]
    plain = (await site.bob.get("/api/me")).json
    assert (plain["role"], plain["areas"], plain["tenants"]) == ("member", {}, [])
    refused(await site.site.stranger.get("/api/me"), 401, "unauthenticated")


def test_it_names_a_tenant_as_the_row_does():
    fields = {field.name for field in Tenant._meta.get_fields()}
    assert set(own_tenant.TenantAnswer.__struct_fields__) <= fields


async def test_who_was_removed_meanwhile_is_still_told_what_they_may(site):
    """The cache of members is two seconds late; nothing breaks in between."""
    await site.rows(lambda: Member.objects.for_tenant(CHARLIE.company.id).all().delete())
    me = (await site.signed_in(CHARLIE, "owner").get("/api/me")).json
    assert (me["username"], me["tenants"]) == (None, [])
    assert (await site.charlie.get("/api/me")).status == 200 and manager(CHARLIE).key_id
