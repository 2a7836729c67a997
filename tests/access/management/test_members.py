import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from access.management import members as management
from access.management.paging import Page
from tenants.models import Member, User
from tests.access.managed import refused
from tests.cast import ALICE, BOB, CHARLIE


async def test_it_lists_who_belongs(site):
    page = (await site.alice.get("/api/members")).json
    assert [(row["id"], row["username"], row["role"], row["is_active"]) for row in page["members"]] == [
        (BOB.id, "bob", "member", True), (ALICE.id, "alice", "owner", True),
    ]  # fmt: skip
    assert page["next"] is None
    assert (await site.alice.get(f"/api/members/{BOB.id}")).json == page["members"][0]
    assert [row["username"] for row in (await site.alice.get("/api/members?search=ALI")).json["members"]] == ["alice"]
    assert [row["username"] for row in (await site.alice.get("/api/members?role=member")).json["members"]] == ["bob"]
    refused(await site.alice.get("/api/members?role=king"), 400, "invalid_request", "role")


async def test_it_changes_a_role_and_switches_off(site):
    path = f"/api/members/{BOB.id}"
    assert (await site.alice.request("PATCH", path, {"role": "developer"})).json["role"] == "developer"
    off = (await site.alice.request("PATCH", path, {"is_active": False, "role": "auditor"})).json
    assert (off["role"], off["is_active"]) == ("auditor", False)
    assert (await site.alice.request("PATCH", path, {})).json == off
    assert (await site.alice.request("DELETE", path)).status == 204
    refused(await site.alice.get(path), 404, "not_found")
    assert await site.rows(lambda: User.objects.filter(pk=BOB.id).exists())


async def test_only_owners_make_owners_and_the_last_one_stays(site):
    admin, owner = site.signed_in(BOB, "admin"), site.signed_in(ALICE, "owner")
    bob, alice = f"/api/members/{BOB.id}", f"/api/members/{ALICE.id}"
    for asker in (admin, site.alice):  # a key acts as an admin
        refused(await asker.request("PATCH", bob, {"role": "owner"}), 403, "forbidden", "role")
        for method, body in (("PATCH", {"role": "member"}), ("PATCH", {"is_active": False}), ("DELETE", {})):
            refused(await asker.request(method, alice, body), 403, "forbidden")
    for method, body, param in (("PATCH", {"role": "admin"}, "role"), ("PATCH", {"is_active": False}, "is_active"),
                                ("DELETE", {}, "member")):  # fmt: skip
        refused(await owner.request(method, alice, body), 400, "invalid_request", param)
    assert (await owner.request("PATCH", bob, {"role": "owner"})).json["role"] == "owner"
    assert (await owner.request("DELETE", alice)).status == 204


@pytest.mark.parametrize(
    ("role", "read", "change"),
    [("admin", 200, 200), ("developer", 403, 403), ("auditor", 200, 403), ("member", 403, 403)],
)
async def test_roles_may_what_the_table_says(site, role, read, change):
    client = site.signed_in(ALICE, role)
    assert (await client.get("/api/members")).status == read
    assert (await client.request("PATCH", f"/api/members/{BOB.id}", {"role": "member"})).status == change


async def test_charlie_sees_nothing_of_it(site, unknown):
    assert [row["username"] for row in (await site.charlie.get("/api/members")).json["members"]] == [CHARLIE.username]
    for method in ("GET", "PATCH", "DELETE"):
        for name in (BOB.id, *unknown):
            refused(await site.charlie.request(method, f"/api/members/{name}", {"role": "admin"}), 404, "not_found")
    assert await site.rows(lambda: Member.objects.for_tenant(1).get(pk=BOB.id).role) == "member"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"role": "king"}, "role"),
        ({"role": None}, "role"),
        ({"is_active": 1}, "is_active"),
        ({"user": 3}, "user"),
        ({"tenant": 2}, "tenant"),
        ({"username": "x"}, "username"),
        ({"is_superuser": True}, "is_superuser"),
        ({"email": "x@y.z"}, "email"),
    ],
)
async def test_it_names_the_field_it_refuses(site, body, param):
    answer = await site.alice.request("PATCH", f"/api/members/{BOB.id}", body)
    assert refused(answer, 400, "invalid_request", param)


async def test_a_page_is_one_query_however_many_there_are(site, cast):
    def filled():
        users = User.objects.bulk_create([User(username=f"user{number}") for number in range(1_000)])
        Member.objects.bulk_create([Member(tenant=cast.acme, user=user) for user in users])
        with CaptureQueriesContext(connection) as queries:
            page = management.listed(1, Page(None, 200, {"search": "", "role": ""}))
        return len(queries), len(page.members), page.next is None

    assert await site.rows(filled) == (1, 200, False)
