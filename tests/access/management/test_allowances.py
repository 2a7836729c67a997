import pytest

from tenants.models import Allowance
from tests.access.managed import refused
from tests.cast import ALICE, BOB, CHARLIE

NONE = {"requests_per_minute": None, "tokens_per_minute": None, "concurrent_turns": None, "money_per_day": None,
        "money_per_month": None, "at_limit": ""}  # fmt: skip


def stored():
    return Allowance.objects.everywhere().count()


async def made(client, **body):
    answer = await client.post("/api/allowances", body)
    assert answer.status == 201, answer.json
    return answer.json


async def test_it_limits_members_keys_and_models(site):
    member = await made(site.alice, member=BOB.id, requests_per_minute=5, money_per_day=0.000001)
    key = await made(site.alice, key=ALICE.id, money_per_month=99.5, at_limit="cheaper")
    model = await made(site.alice, model="gpt-4o", tokens_per_minute=1_000)
    assert {**NONE, "requests_per_minute": 5, "money_per_day": 0.000001}.items() <= member.items()
    assert [(row["of"], row["subject"]) for row in (member, key, model)] == [
        ("member", "bob"), ("key", "alice"), ("model", "gpt-4o"),
    ]  # fmt: skip
    assert (await site.alice.get("/api/allowances")).json == {"allowances": [model, key, member], "next": None}
    assert (await site.alice.get("/api/allowances?of=key")).json["allowances"] == [key]
    path = f"/api/allowances/{key['id']}"
    changed = (await site.alice.request("PATCH", path, {"money_per_month": None, "concurrent_turns": 2})).json
    assert changed == {**key, "money_per_month": None, "concurrent_turns": 2}
    assert (await site.alice.request("PATCH", path, {})).json == (await site.alice.get(path)).json == changed
    assert (await site.alice.request("DELETE", path)).status == 204
    refused(await site.alice.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "member"),
        ({"member": 2, "key": 1}, "member"),
        ({"member": 999_999}, "member"),
        ({"member": CHARLIE.id}, "member"),
        ({"key": CHARLIE.id}, "key"),
        ({"key": 0}, "key"),
        ({"member": True}, "member"),
        ({"model": "x" * 201}, "model"),
        ({"model": "a\x01b"}, "model"),
        ({"model": "m", "money_per_day": -1}, "money_per_day"),
        ({"model": "m", "money_per_day": 0.0000001}, "money_per_day"),
        ({"model": "m", "money_per_day": "NaN"}, "money_per_day"),
        ({"model": "m", "requests_per_minute": -1}, "requests_per_minute"),
        ({"model": "m", "at_limit": "no"}, "at_limit"),
        ({"model": "m", "concurrent_turns": 2**31}, "concurrent_turns"),
        ({"model": "m", "of": "platform"}, "of"),
        ({"model": "m", "tenant": None}, "tenant"),
        ({"model": " "}, "model"),
    ],
)
async def test_it_names_the_field_it_refuses(site, body, param):
    refused(await site.alice.post("/api/allowances", body), 400, "invalid_request", param)
    assert await site.rows(stored) == 0


async def test_of_each_there_is_one(site):
    await made(site.alice, model="gpt-4o")
    refused(await site.alice.post("/api/allowances", {"model": "gpt-4o"}), 400, "invalid_request", "model")
    await made(site.charlie, model="gpt-4o")


async def test_charlie_sees_nothing_of_it(site, unknown):
    row = await made(site.alice, model="gpt-4o", requests_per_minute=5)
    assert (await site.charlie.get("/api/allowances")).json == {"allowances": [], "next": None}
    for name in (row["id"], *unknown):
        for method in ("GET", "PATCH", "DELETE"):
            answer = await site.charlie.request(method, f"/api/allowances/{name}", {"requests_per_minute": None})
            refused(answer, 404, "not_found")
    assert (await site.alice.get(f"/api/allowances/{row['id']}")).json == row


async def test_the_platforms_own_are_nobodys(site):
    def platform():
        rows = [
            Allowance(of="platform", requests_per_minute=1),
            Allowance(of="model", model="m", requests_per_minute=1),
        ]
        for row in rows:
            row.save()
        return [row.pk for row in rows]

    numbers = await site.rows(platform)
    assert (await site.alice.get("/api/allowances")).json["allowances"] == []
    for number in numbers:
        for method in ("GET", "PATCH", "DELETE"):
            refused(await site.alice.request(method, f"/api/allowances/{number}", {}), 404, "not_found")


@pytest.mark.parametrize(
    ("role", "read", "change"), [("developer", 200, 403), ("auditor", 200, 403), ("member", 403, 403)]
)
async def test_roles_may_what_the_table_says(site, role, read, change):
    client = site.signed_in(BOB, role)
    assert (await client.get("/api/allowances")).status == read
    assert (await client.post("/api/allowances", {"model": "m"})).status == change
