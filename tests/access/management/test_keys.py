import time
from datetime import timedelta

import msgspec
import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from access.management import keys as management
from access.management.paging import Page
from compliance.usage import reader
from tenants import keys
from tenants.models import ApiKey
from tests.access.managed import manager, refused
from tests.access.used import AT, turn, use
from tests.cast import ALICE, BOB, CHARLIE


def stored():
    return list(ApiKey.objects.everywhere().order_by("id"))


async def made(client, **changes):
    answer = await client.post("/api/keys", {"name": "robot", **changes})
    assert answer.status == 201, answer.json
    return answer.json


async def test_it_makes_a_key_and_tells_it_once(site):
    answer = await site.alice.post("/api/keys", {"name": " robot ", "scopes": ["manage", "chat"], "expires_at": None})
    assert answer.status == 201 and answer.headers["cache-control"] == "no-store"
    shown = answer.json
    key = shown.pop("key")
    row = (await site.rows(stored))[-1]
    assert (row.digest, row.tenant_id) == (keys.digest(key), ALICE.company.id)
    assert shown == {
        "id": row.pk, "name": "robot", "hint": row.hint, "scopes": ["chat", "manage"], "state": "active",
        "created_at": row.created_at.timestamp(), "created_by": None, "expires_at": None, "revoked_at": None,
        "last_used": None, "replaces": None,
    }  # fmt: skip
    for later in (await site.alice.get("/api/keys"), await site.alice.get(f"/api/keys/{row.pk}/")):
        assert key.encode() not in later.body and row.digest.encode() not in later.body
    assert (await site.alice.get(f"/api/keys/{row.pk}")).json == shown
    assert (await made(site.signed_in(ALICE, "admin")))["created_by"] == "alice"


async def test_it_lists_by_pages_searches_and_filters(site):
    for name in ("one", "Two", "a two"):
        await made(site.alice, name=name)
    first = (await site.alice.get("/api/keys?limit=2")).json
    assert [key["name"] for key in first["keys"]] == ["a two", "Two"]
    rest = (await site.alice.get(f"/api/keys?limit=200&after={first['next']}")).json
    assert [key["name"] for key in rest["keys"]] == ["one", "bob", "alice"] and rest["next"] is None
    assert {key["name"] for key in (await site.alice.get("/api/keys?search=two")).json["keys"]} == {"Two", "a two"}
    await site.alice.request("DELETE", f"/api/keys/{first['keys'][0]['id']}")
    assert [key["name"] for key in (await site.alice.get("/api/keys?state=revoked")).json["keys"]] == ["a two"]
    assert len((await site.alice.get("/api/keys?state=active")).json["keys"]) == 4
    assert (await site.alice.get("/api/keys?state=expired")).json == {"keys": [], "next": None}


async def test_it_tells_when_a_key_was_used_last(site):
    used, unused = await made(site.alice), await made(site.alice)
    await site.rows(lambda: use(*(turn(ALICE.company.id, at=at, key_id=used["id"]) for at in (AT, AT - 86_400))))
    told = {key["id"]: key["last_used"] for key in (await site.alice.get("/api/keys")).json["keys"]}
    assert (told[used["id"]], told[unused["id"]]) == (AT, None)
    assert (await site.alice.get(f"/api/keys/{used['id']}")).json["last_used"] == AT
    assert (await site.alice.request("PATCH", f"/api/keys/{used['id']}", {"name": "x"})).json["last_used"] == AT


async def test_keys_are_told_and_revoked_without_a_journal(site, monkeypatch):
    key = await made(site.alice)

    def away(*_):
        raise DatabaseError("away")

    monkeypatch.setattr(reader, "last_used", away)
    assert (await site.alice.get("/api/keys")).json["keys"][0]["last_used"] is None
    assert (await site.alice.request("DELETE", f"/api/keys/{key['id']}")).status == 204


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("after=-1", "after"),
        ("state=no", "state"),
        ("colour=red", "colour"),
        (f"search={'x' * 101}", "search"),
        ("search=%00", "search"),
        ("limit=1&limit=2", "limit"),
        ("after=9999999999999999999", "after"),
        ("limit=%D9%A1", "limit"),
    ],
)
async def test_it_says_what_is_wrong_with_a_query(site, query, param):
    refused(await site.alice.get(f"/api/keys?{query}"), 400, "invalid_request", param)


async def test_a_page_is_one_query_however_many_there_are(site, cast):
    def filled():
        rows = [
            ApiKey(tenant=cast.acme, name=f"key {number}", digest=f"{number:064}", hint="cb_x", created_by_id=ALICE.id)
            for number in range(1_000)
        ]
        ApiKey.objects.bulk_create(rows)
        counts = []
        for page in (Page(None, 5, {"search": ""}), Page(None, 200, {"search": ""}), Page(500, 200, {"search": "key"})):
            with CaptureQueriesContext(connection) as queries:
                management.listed(ALICE.company.id, page)
            counts.append(len(queries))
        plan = management.keys_of(ALICE.company.id).filter(pk__lt=500).order_by("-pk")[:51].explain()
        return counts, plan

    counts, plan = await site.rows(filled)
    assert counts == [1, 1, 1]
    assert "SEARCH" in plan and "TEMP B-TREE" not in plan, plan
    seen, after = [], ""
    while after is not None:
        page = (await site.alice.get(f"/api/keys?limit=200{after and f'&after={after}'}")).json
        seen += [key["id"] for key in page["keys"]]
        after = page["next"]
    assert len(seen) == len(set(seen)) == 1_002 and seen == sorted(seen, reverse=True)


async def test_it_changes_what_is_named(site):
    key = await made(site.alice, scopes=["chat"])
    path, end = f"/api/keys/{key['id']}", time.time() + 1_000
    del key["key"]
    patched = (await site.alice.request("PATCH", path, {"name": "other", "expires_at": end})).json
    assert patched == {**key, "name": "other", "expires_at": pytest.approx(end, abs=0.001)}
    assert (await site.alice.request("PATCH", path, {})).json == patched
    assert (await site.alice.request("PATCH", path, {"expires_at": None})).json["expires_at"] is None
    wide = (await site.alice.request("PATCH", path, {"scopes": ["manage", "audit", "audit"]})).json
    assert wide["scopes"] == ["audit", "manage"]


async def test_it_revokes_and_a_revoked_key_stays_as_it_is(site):
    key = await made(site.alice)
    path = f"/api/keys/{key['id']}"
    for _ in range(2):
        answer = await site.alice.request("DELETE", path)
        assert (answer.status, answer.body) == (204, b"")
    shown = (await site.alice.get(path)).json
    assert shown["state"] == "revoked" and shown["revoked_at"] > 0
    refused(await site.alice.request("PATCH", path, {"name": "again"}), 409, "conflict")
    refused(await site.alice.post(f"{path}/rotate", {}), 409, "conflict")


async def test_it_rotates_with_and_without_grace(site):
    old = await made(site.alice, scopes=["chat", "audit"])
    answer = await site.alice.post(f"/api/keys/{old['id']}/rotate", {"grace_seconds": 600})
    assert answer.status == 201 and answer.headers["cache-control"] == "no-store"
    new = answer.json
    assert (new["name"], new["scopes"], new["replaces"]) == ("robot", ["chat", "audit"], old["id"])
    assert new["key"] != old["key"]
    kept = (await site.alice.get(f"/api/keys/{old['id']}")).json
    assert kept["state"] == "active" and kept["expires_at"] == pytest.approx(time.time() + 600, abs=30)
    last = (await site.alice.post(f"/api/keys/{new['id']}/rotate", {})).json
    assert (await site.alice.get(f"/api/keys/{new['id']}")).json["state"] == "revoked"
    assert last["replaces"] == new["id"] and last["state"] == "active"


async def test_a_grace_does_not_lengthen_a_life(site):
    end = time.time() + 60
    old = await made(site.alice, expires_at=end)
    new = (await site.alice.post(f"/api/keys/{old['id']}/rotate", {"grace_seconds": 86_400})).json
    for key in (new["id"], old["id"]):
        assert (await site.alice.get(f"/api/keys/{key}")).json["expires_at"] == pytest.approx(end, abs=0.001)


async def test_a_key_that_has_ended_is_not_rotated(site):
    key = await made(site.alice)

    def ended():
        ApiKey.objects.everywhere().filter(pk=key["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))

    await site.rows(ended)
    assert (await site.alice.get(f"/api/keys/{key['id']}")).json["state"] == "expired"
    refused(await site.alice.post(f"/api/keys/{key['id']}/rotate", {}), 409, "conflict")


async def test_a_developer_makes_and_changes_no_key_that_may_do_more(site):
    developer, admin = site.signed_in(BOB, "developer"), site.signed_in(ALICE, "admin")
    own = await made(developer, scopes=["chat"])
    for scopes in (["manage"], ["audit"], ["chat", "manage"]):
        refused(await developer.post("/api/keys", {"name": "x", "scopes": scopes}), 403, "forbidden", "scopes")
        answer = await developer.request("PATCH", f"/api/keys/{own['id']}", {"scopes": scopes})
        refused(answer, 403, "forbidden", "scopes")
    theirs = await made(admin, scopes=["manage"])
    path = f"/api/keys/{theirs['id']}"
    refused(await developer.request("PATCH", path, {"scopes": ["chat"]}), 403, "forbidden")
    refused(await developer.request("DELETE", path), 403, "forbidden")
    refused(await developer.post(f"{path}/rotate", {}), 403, "forbidden")
    assert (await developer.get(path)).json["state"] == "active"
    assert (await developer.request("DELETE", f"/api/keys/{own['id']}")).status == 204


@pytest.mark.parametrize(
    ("role", "read", "change"),
    [("owner", 200, 201), ("admin", 200, 201), ("developer", 200, 201), ("auditor", 200, 403), ("member", 403, 403)],
)
async def test_roles_may_what_the_table_says(site, role, read, change):
    client = site.signed_in(BOB, role)
    assert (await client.get("/api/keys")).status == read
    assert (await client.post("/api/keys", {"name": "x"})).status == change


async def test_a_key_may_what_its_scopes_stand_for(site):
    auditor = msgspec.structs.replace(BOB.key_principal, scopes=frozenset({"audit"}))
    refused(await site.bob.get("/api/keys"), 403, "forbidden")
    site.site.keys.people[BOB.key] = auditor
    assert (await site.bob.get("/api/keys")).status == 200
    refused(await site.bob.post("/api/keys", {"name": "x"}), 403, "forbidden")
    refused(await site.site.stranger.get("/api/keys"), 401, "unauthenticated")


async def test_a_key_that_revokes_itself_is_refused_from_then_on(site):
    site.site.keys.people[BOB.key] = manager(BOB)
    assert (await site.bob.request("DELETE", f"/api/keys/{BOB.id}")).status == 204
    site.site.keys.revoked.add(BOB.key)
    refused(await site.bob.get("/api/keys"), 401, "unauthenticated")


async def test_charlie_sees_nothing_of_it(site):
    key = await made(site.alice)
    missing = refused(await site.charlie.get("/api/keys/999999"), 404, "not_found")
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")):
        answer = await site.charlie.request(
            method, f"/api/keys/{key['id']}{path}", {} if method != "PATCH" else {"name": "m"}
        )
        assert refused(answer, 404, "not_found")["message"] == missing["message"]
    assert [row["name"] for row in (await site.charlie.get("/api/keys")).json["keys"]] == [CHARLIE.username]
    assert (await site.alice.get(f"/api/keys/{key['id']}")).json["state"] == "active"


async def test_it_knows_no_other_ids(site, unknown):
    for name in unknown:
        for method in ("GET", "PATCH", "DELETE"):
            refused(await site.alice.request(method, f"/api/keys/{name}", {"name": "x"}), 404, "not_found")
        refused(await site.alice.post(f"/api/keys/{name}/rotate", {}), 404, "not_found")


WRONG = [
    ({"name": ""}, "name"),
    ({"name": "  "}, "name"),
    ({"name": "n" * 101}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": None}, "name"),
    ({"name": 5}, "name"),
    ({"scopes": "chat"}, "scopes"),
    ({"scopes": ["root"]}, "scopes[0]"),
    ({"scopes": None}, "scopes"),
    ({"scopes": ["chat"] * 17}, "scopes"),
    ({"expires_at": 1}, "expires_at"),
    ({"expires_at": -1}, "expires_at"),
    ({"expires_at": 1e300}, "expires_at"),
    ({"expires_at": "soon"}, "expires_at"),
    ({"expires_at": True}, "expires_at"),
    ({"tenant": 2}, "tenant"),
    ({"tenant_id": 2}, "tenant_id"),
    ({"digest": "0" * 64}, "digest"),
    ({"hint": "cb_"}, "hint"),
    ({"revoked_at": None}, "revoked_at"),
    ({"created_by": 1}, "created_by"),
    ({"replaces": 1}, "replaces"),
    ({"key": "cb_x"}, "key"),
    ({"id": 1}, "id"),
]


async def test_it_names_the_field_it_refuses(site):
    before = await site.rows(stored)
    for body, param in WRONG:
        refused(await site.alice.post("/api/keys", {"name": "x", **body}), 400, "invalid_request", param)
        refused(await site.alice.request("PATCH", f"/api/keys/{BOB.id}", body), 400, "invalid_request", param)
    for body, param in (({"grace_seconds": -1}, "grace_seconds"), ({"grace_seconds": 30 * 86_400 + 1}, "grace_seconds"),
                        ({"grace_seconds": "5"}, "grace_seconds"), ({"name": "x"}, "name")):  # fmt: skip
        refused(await site.alice.post(f"/api/keys/{BOB.id}/rotate", body), 400, "invalid_request", param)
    assert [(row.pk, row.name, row.digest) for row in await site.rows(stored)] == [
        (row.pk, row.name, row.digest) for row in before
    ]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "=1+1", "'; DROP TABLE tenants_apikey;--", "{{7*7}}",
                                  "‮evil", "🐙" * 100, "%s%n", "../../etc/passwd", "null"])  # fmt: skip
async def test_it_keeps_naughty_names_as_they_are(site, name):
    key = await made(site.alice, name=name)
    assert (await site.alice.get(f"/api/keys/{key['id']}")).json["name"] == name
