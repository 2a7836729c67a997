import pytest

from tenants.models import IpRule
from tests.access.managed import refused
from tests.cast import BOB


def stored():
    return list(IpRule.objects.everywhere().values_list("tenant_id", "network", "note"))


async def made(client, **changes):
    answer = await client.post("/api/addresses", {"network": "10.0.0.0/8", **changes})
    assert answer.status == 201, answer.json
    return answer.json


async def test_it_allows_lists_notes_and_removes(site):
    first = await made(site.alice, note=" the office ")
    second = await made(site.alice, network="2001:db8::/32")
    assert (first["network"], first["note"]) == ("10.0.0.0/8", "the office")
    page = (await site.alice.get("/api/addresses?limit=1")).json
    assert page == {"addresses": [second], "next": second["id"]}
    assert (await site.alice.get(f"/api/addresses?after={page['next']}")).json == {"addresses": [first], "next": None}
    path = f"/api/addresses/{first['id']}"
    assert (await site.alice.request("PATCH", path, {"note": "home"})).json == {**first, "note": "home"}
    assert (await site.alice.get(path)).json["note"] == "home"
    assert (await site.alice.request("DELETE", path)).status == 204
    assert await site.rows(stored) == [(1, "2001:db8::/32", "")]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"network": "10.0.0.1/8"}, "network"),
        ({"network": "nonsense"}, "network"),
        ({"network": ""}, "network"),
        ({"network": 5}, "network"),
        ({"network": "1" * 65}, "network"),
        ({"note": "a\tb"}, "note"),
        ({"note": "n" * 201}, "note"),
        ({"tenant": 2}, "tenant"),
        ({"id": 1}, "id"),
    ],
)
async def test_it_names_the_field_it_refuses(site, body, param):
    refused(await site.alice.post("/api/addresses", {"network": "10.0.0.0/8", **body}), 400, "invalid_request", param)
    assert await site.rows(stored) == []


async def test_a_network_is_there_once(site):
    await made(site.alice)
    refused(await site.alice.post("/api/addresses", {"network": "10.0.0.0/8"}), 400, "invalid_request", "network")
    await made(site.charlie)


async def test_charlie_sees_nothing_of_it(site, unknown):
    row = await made(site.alice)
    assert (await site.charlie.get("/api/addresses")).json == {"addresses": [], "next": None}
    for name in (row["id"], *unknown):
        for method in ("GET", "PATCH", "DELETE"):
            refused(await site.charlie.request(method, f"/api/addresses/{name}", {"note": "x"}), 404, "not_found")
    assert (await site.alice.get(f"/api/addresses/{row['id']}")).json == row


@pytest.mark.parametrize(
    ("role", "read", "change"), [("developer", 403, 403), ("auditor", 200, 403), ("member", 403, 403)]
)
async def test_roles_may_what_the_table_says(site, role, read, change):
    client = site.signed_in(BOB, role)
    assert (await client.get("/api/addresses")).status == read
    assert (await client.post("/api/addresses", {"network": "10.0.0.0/8"})).status == change
