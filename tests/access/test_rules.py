import pytest
from django.db import OperationalError

from access.management.rules import RuleAnswer, RuleBody, RulePatch
from routing.models import ModelInstance, RoutingRule
from routing.services import MAX_RULES, save_instance, save_rule
from tenants.models import ConfigVersion
from tests.access.managed import managed
from tests.cast import ALICE, CHARLIE

RULE = {
    "name": "long ones",
    "priority": 5,
    "model": "shared",
    "weight": 60,
    "conditions": ["max_tokens >= 2000", "temperature <= 0.7"],
    "fallbacks": ["acme-own", "vendor/some-7b"],
    "enabled": True,
}
UNKNOWN = ["999999", "0", "-1", "01", "1.0", "x", "%00", "9" * 30, "١", "{}", "null"]
NOT_YOURS = ["globex-own", "granted-to-globex", "switched-off", "nobodys", "vendor/*"]


@pytest.fixture
async def site(transactional_db, cast):
    def instances():
        for name, tenant in (
            ("acme-own", cast.acme),
            ("globex-own", cast.globex),
            ("shared", None),
            ("vendor/*", None),
        ):
            save_instance(instance=ModelInstance(name=name, tenant=tenant, adapter="echo"))
        save_instance(instance=ModelInstance(name="switched-off", adapter="echo", enabled=False))
        save_instance(instance=ModelInstance(name="granted-to-acme", adapter="echo"), tenants=[cast.acme])
        save_instance(instance=ModelInstance(name="granted-to-globex", adapter="echo"), tenants=[cast.globex])

    async with managed() as site:
        await site.rows(instances)
        yield site


async def made(client, **changes):
    answer = await client.post("/api/rules", {**RULE, **changes})
    assert answer.status == 201, answer.json
    return answer.json


async def refused(answer, status, code):
    error = answer.json["error"]
    assert (answer.status, error["code"]) == (status, code)
    return error


def stored():
    return list(RoutingRule.objects.everywhere().order_by("id"))


def version():
    return ConfigVersion.objects.get(section="routing").version


async def test_it_makes_lists_reads_and_deletes(site):
    rule = await made(site.alice)
    assert rule == {**RULE, "id": rule["id"], "scope": "tenant"}
    assert (await site.alice.get("/api/rules/")).json == {"rules": [rule]}
    assert (await site.alice.get(f"/api/rules/{rule['id']}/")).json == rule
    row = (await site.rows(stored))[0]
    assert (row.tenant_id, row.conditions, row.fallbacks) == (ALICE.company.id, RULE["conditions"], RULE["fallbacks"])
    answer = await site.alice.request("DELETE", f"/api/rules/{rule['id']}")
    assert (answer.status, answer.body) == (204, b"")
    assert await site.rows(stored) == []
    await refused(await site.alice.get(f"/api/rules/{rule['id']}"), 404, "not_found")


async def test_it_needs_no_more_than_a_model(site):
    answer = await site.alice.post("/api/rules", {"model": "granted-to-acme"})
    assert answer.status == 201
    del answer.json["id"]
    assert {**answer.json, "id": 0} == {
        "id": 0, "name": "", "priority": 0, "model": "granted-to-acme", "weight": 1, "conditions": [], "fallbacks": [],
        "enabled": True, "scope": "tenant",
    }  # fmt: skip


async def test_it_changes_what_is_named_and_replaces_as_a_whole(site):
    rule = await made(site.alice)
    path = f"/api/rules/{rule['id']}"
    patched = await site.alice.request("PATCH", path, {"weight": 7, "conditions": []})
    assert patched.json == {**rule, "weight": 7, "conditions": []}
    put = await site.alice.request("PUT", path, {"model": "vendor/other", "name": "new"})
    assert put.json == {
        "id": rule["id"], "name": "new", "priority": 0, "model": "vendor/other", "weight": 1, "conditions": [],
        "fallbacks": [], "enabled": True, "scope": "tenant",
    }  # fmt: skip
    assert (await site.alice.get(path)).json == put.json
    error = await refused(await site.alice.request("PUT", path, {"name": "no model"}), 400, "invalid_request")
    assert error["param"] == "model"


async def test_it_announces_a_change_and_not_what_changes_nothing(site):
    rule = await made(site.alice)
    before = await site.rows(version)
    for body in ({}, {"weight": 60}, {"model": "shared", "enabled": True}):
        assert (await site.alice.request("PATCH", f"/api/rules/{rule['id']}", body)).json == rule
    assert await site.rows(version) == before
    await site.alice.request("PATCH", f"/api/rules/{rule['id']}", {"enabled": False})
    await site.alice.request("DELETE", f"/api/rules/{rule['id']}")
    assert await site.rows(version) == before + 2


async def test_it_lists_in_the_order_the_rules_are_asked(site):
    def platform():
        return [save_rule(rule=RoutingRule(model="shared", priority=priority)).pk for priority in (1, 100)]

    low, high = await site.rows(platform)
    own = [(await made(site.alice, priority=priority))["id"] for priority in (0, 3)]
    listed = (await site.alice.get("/api/rules")).json["rules"]
    assert [rule["id"] for rule in listed] == [own[1], own[0], high, low]
    assert [rule["scope"] for rule in listed] == ["tenant", "tenant", "platform", "platform"]


async def test_it_shows_the_platforms_rules_that_apply_and_lets_nobody_change_them(site):
    def platform():
        rules = [
            RoutingRule(model="shared", name="seen", fallbacks=["granted-to-globex", "vendor/x", "globex-own"]),
            RoutingRule(model="granted-to-globex", name="of others"),
            RoutingRule(model="nobodys", name="of nobody"),
            RoutingRule(model="shared", name="off", enabled=False),
        ]
        return [save_rule(rule=rule).pk for rule in rules]

    seen, *unseen = await site.rows(platform)
    listed = (await site.alice.get("/api/rules")).json["rules"]
    assert [(rule["id"], rule["scope"], rule["fallbacks"]) for rule in listed] == [(seen, "platform", ["vendor/x"])]
    assert (await site.alice.get(f"/api/rules/{seen}")).json == listed[0]
    for method in ("PUT", "PATCH", "DELETE"):
        await refused(await site.alice.request(method, f"/api/rules/{seen}", {"model": "shared"}), 403, "forbidden")
        for hidden in unseen:
            answer = await site.alice.request(method, f"/api/rules/{hidden}", {"model": "shared"})
            await refused(answer, 404, "not_found")
    assert (await site.charlie.get(f"/api/rules/{unseen[0]}")).status == 200
    assert len(await site.rows(stored)) == 4


async def test_it_shows_a_rule_of_the_platforms_that_decides_by_its_fallback(site):
    """Its model is somebody else's, so nobody of it is left and the tenant's turns go to the fallback."""

    def platform():
        rules = [
            RoutingRule(model="granted-to-globex", name="in effect", fallbacks=["nobodys", "shared", "globex-own"]),
            RoutingRule(model="granted-to-globex", name="of others", fallbacks=["globex-own"]),
        ]
        return [save_rule(rule=rule).pk for rule in rules]

    seen, hidden = await site.rows(platform)
    (rule,) = (await site.alice.get("/api/rules")).json["rules"]
    assert (rule["id"], rule["model"], rule["fallbacks"]) == (seen, None, ["shared"])
    assert (await site.alice.get(f"/api/rules/{seen}")).json == rule
    await refused(await site.alice.request("DELETE", f"/api/rules/{seen}"), 403, "forbidden")
    await refused(await site.alice.get(f"/api/rules/{hidden}"), 404, "not_found")
    theirs = (await site.charlie.get("/api/rules")).json["rules"]
    assert [(each["id"], each["model"]) for each in theirs] == [
        (seen, "granted-to-globex"),
        (hidden, "granted-to-globex"),
    ]


async def test_charlie_sees_nothing_of_it(site):
    rule = await made(site.alice)
    assert (await site.charlie.get("/api/rules")).json == {"rules": []}
    unknown = await site.charlie.get("/api/rules/999999")
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = await site.charlie.request(method, f"/api/rules/{rule['id']}", {"model": "shared"})
        await refused(answer, 404, "not_found")
        assert answer.json["error"]["message"] == unknown.json["error"]["message"]
    assert (await site.alice.get(f"/api/rules/{rule['id']}")).json == rule


async def test_it_knows_no_other_ids(site):
    await made(site.alice)
    for name in UNKNOWN:
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            await refused(await site.alice.request(method, f"/api/rules/{name}", {"model": "shared"}), 404, "not_found")


async def test_it_needs_the_scope_manage(site):
    rule = await made(site.alice)
    for method, path in (("GET", "/api/rules"), ("POST", "/api/rules"), ("GET", f"/api/rules/{rule['id']}"),
                         ("DELETE", f"/api/rules/{rule['id']}")):  # fmt: skip
        await refused(await site.bob.request(method, path, RULE), 403, "forbidden")
        await refused(await site.site.stranger.request(method, path, RULE), 401, "unauthenticated")


async def test_it_takes_names_a_tenant_may_use_and_tells_of_no_others(site):
    messages = set()
    for name in NOT_YOURS:
        for field, value in (("model", name), ("fallbacks", ["shared", name])):
            error = await refused(await site.alice.post("/api/rules", {**RULE, field: value}), 400, "invalid_request")
            assert error["param"] == field
            messages.add(error["message"].removeprefix(f"{field}: ").replace(repr(name), "…"))
    assert len(messages) == 1
    for name in ("shared", "acme-own", "granted-to-acme", "vendor/anything"):
        await made(site.alice, model=name, fallbacks=[name])


async def test_it_keeps_names_that_went_away_but_takes_no_new_ones(site, cast):
    rule = await made(site.alice, model="granted-to-acme", fallbacks=["acme-own"])
    path = f"/api/rules/{rule['id']}"

    def taken_away():
        shared = ModelInstance.objects.everywhere().get(name="granted-to-acme")
        save_instance(instance=shared, tenants=[cast.globex])

    await site.rows(taken_away)
    assert (await site.alice.request("PATCH", path, {"enabled": False})).json["enabled"] is False
    swapped = {"model": "acme-own", "fallbacks": ["granted-to-acme"]}
    assert (await site.alice.request("PATCH", path, swapped)).status == 200
    assert (await site.alice.request("PATCH", path, {"fallbacks": []})).status == 200
    await refused(await site.alice.request("PATCH", path, {"model": "granted-to-acme"}), 400, "invalid_request")


WRONG_CONDITIONS = [
    (["stream", "max_tokens <"], "Condition 2, column 13: expected a field, a value"),
    (["max_token < 3"], "Condition 1, column 1: there is no field 'max_token'"),
    (["(" * 40 + "stream" + ")" * 40], "Condition 1, column"),
    (["x" * 1001], "Condition 1, column"),
    (["stream"] * 51, "At most 50 conditions"),
    (["stream", "stream and\nhas_tools"], "Condition 2, column 11: control characters are not allowed here"),
    (["user\t== 'a'"], "Condition 1, column 5: control characters"),
    (["user == 'a\u007f'"], "Condition 1, column 11: control characters"),
]


async def test_it_says_what_is_wrong_with_a_condition(site):
    for conditions, said in WRONG_CONDITIONS:
        answer = await site.alice.post("/api/rules", {**RULE, "conditions": conditions})
        error = await refused(answer, 400, "invalid_request")
        assert error["param"] == "conditions" and said in error["message"], error
    assert await site.rows(stored) == []


WRONG_FIELDS = [
    ({"model": None}, "model"),
    ({"model": ""}, "model"),
    ({"model": "auto"}, "model"),
    ({"model": "two words"}, "model"),
    ({"model": "m" * 201}, "model"),
    ({"model": ["shared"]}, "model"),
    ({"weight": 0}, "weight"),
    ({"weight": 2**63}, "weight"),
    ({"weight": "5"}, "weight"),
    ({"weight": None}, "weight"),
    ({"weight": True}, "weight"),
    ({"priority": 10**9}, "priority"),
    ({"priority": 0.5}, "priority"),
    ({"enabled": 1}, "enabled"),
    ({"name": "n" * 101}, "name"),
    ({"name": "two\nlines"}, "name"),
    ({"conditions": "stream"}, "conditions"),
    ({"conditions": [1]}, "conditions[0]"),
    ({"fallbacks": {"a": 1}}, "fallbacks"),
    ({"fallbacks": ["shared"] * 9}, "fallbacks"),
    ({"fallbacks": ["auto"]}, "fallbacks"),
    ({"tenant": 2}, "tenant"),
    ({"tenant_id": 2}, "tenant_id"),
    ({"id": 1}, "id"),
    ({"scope": "platform"}, "scope"),
    ({"colour": "red"}, "colour"),
]


async def test_it_names_the_field_it_refuses(site):
    rule = await made(site.alice)
    calls = [("POST", "/api/rules"), ("PUT", f"/api/rules/{rule['id']}"), ("PATCH", f"/api/rules/{rule['id']}")]
    for body, param in WRONG_FIELDS:
        for method, path in calls:
            given = body if method == "PATCH" else {**RULE, **body}
            error = await refused(await site.alice.request(method, path, given), 400, "invalid_request")
            assert error["param"] == param, error
    assert (await site.alice.get("/api/rules")).json == {"rules": [rule]}
    assert [row.tenant_id for row in await site.rows(stored)] == [ALICE.company.id]


async def test_it_refuses_what_is_no_object(site):
    for body in (b"", b"[]", b"null", b"{", b'{"model": "\\ud800"}', b'{"model": "a\\u0000"}', b"\xff"):
        assert (await site.alice.post("/api/rules", body)).status == 400


async def test_a_tenant_has_so_many_rules_at_most(site, cast):
    def filled():
        RoutingRule.objects.bulk_create(
            [RoutingRule(tenant=cast.acme, model="shared", name=f"{number}") for number in range(MAX_RULES - 1)]
        )

    await site.rows(filled)
    await made(site.alice)
    error = await refused(await site.alice.post("/api/rules", RULE), 400, "invalid_request")
    assert "200" in error["message"] and "param" not in error
    await made(site.charlie, model="shared", fallbacks=[])
    listed = (await site.alice.get("/api/rules")).json["rules"]
    assert len(listed) == MAX_RULES
    assert (await site.alice.request("PATCH", f"/api/rules/{listed[0]['id']}", {"weight": 2})).status == 200


async def test_a_database_that_is_away_is_503(site, monkeypatch):
    def away(*_, **__):
        raise OperationalError("no such host")

    monkeypatch.setattr("routing.services.usable_names", away)
    await refused(await site.alice.get("/api/rules"), 503, "store_unavailable")


async def test_its_bodies_and_answers_have_the_same_fields():
    assert set(RuleBody.__struct_fields__) == set(RulePatch.__struct_fields__)
    assert set(RuleAnswer.__struct_fields__) == set(RuleBody.__struct_fields__) | {"id", "scope"}


async def test_two_managers_do_not_overwrite_each_other(site):
    rule = await made(site.alice)
    path = f"/api/rules/{rule['id']}"
    exchanges = [site.alice.begin("PATCH", path, {"weight": 9}), site.alice.begin("PATCH", path, {"priority": 9})]
    assert [(await exchange.rest()).status for exchange in exchanges] == [200, 200]
    after = (await site.alice.get(path)).json
    assert (after["weight"], after["priority"]) == (9, 9)
    assert CHARLIE.company.id not in {row.tenant_id for row in await site.rows(stored)}
