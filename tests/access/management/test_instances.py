import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from access.management import instances as management
from access.management.instance_fields import InstanceAnswer, InstanceBody, InstancePatch
from access.management.paging import Page
from engine.errors import ModelNotFound, UpstreamError
from routing.models import ModelInstance
from routing.services import api_key_of, save_instance
from tests.access.managed import manager, refused
from tests.cast import ALICE, BOB

OWN = {"name": "mine", "endpoint": "https://api.example.com/v1", "api_key": "sk-secret", "price_in": 0.5,
       "price_out": 1.5, "languages": ["zh-CN"], "timeout": 30}  # fmt: skip


@pytest.fixture
async def shared(site, cast):
    def instances():
        rows = {}
        for name, tenants in (("all", None), ("acme-granted", [cast.acme]), ("globex-granted", [cast.globex])):
            row = ModelInstance(name=name, adapter="echo", label="inside", options={})
            rows[name] = save_instance(instance=row, tenants=tenants).pk
        rows["off"] = save_instance(instance=ModelInstance(name="off", adapter="echo", enabled=False)).pk
        return rows

    return await site.rows(instances)


async def made(client, **changes):
    answer = await client.post("/api/models", {**OWN, **changes})
    assert answer.status == 201, answer.json
    return answer.json


def row_of(number):
    return lambda: ModelInstance.objects.everywhere().get(pk=number)


async def test_it_makes_lists_changes_and_deletes(site):
    model = await made(site.alice)
    assert (model["scope"], model["has_key"], model["languages"], model["price_in"]) == ("tenant", True, ["zh"], 0.5)
    path = f"/api/models/{model['id']}"
    assert (await site.alice.get(path)).json == model
    patched = (await site.alice.request("PATCH", path, {"weight": 7, "label": "b"})).json
    assert patched == {**model, "weight": 7, "label": "b"}
    whole = {"name": "other", "adapter": "echo"}
    put = (await site.alice.request("PUT", path, {**whole, "api_key": ""})).json
    assert (put["name"], put["weight"], put["endpoint"], put["has_key"], put["timeout"]) == (
        "other",
        1,
        "",
        False,
        None,
    )
    assert (await site.alice.request("PUT", path, whole)).json == put
    assert (await site.alice.get("/api/models")).json == {"models": [put], "next": None}
    assert (await site.alice.request("DELETE", path)).status == 204
    refused(await site.alice.get(path), 404, "not_found")


async def test_a_providers_key_goes_in_and_never_comes_out(site):
    answer = await site.alice.post("/api/models", OWN)
    assert b"sk-secret" not in answer.body
    number = answer.json["id"]
    path = f"/api/models/{number}"
    row = await site.rows(row_of(number))
    assert "sk-secret" not in row.sealed_key and await site.rows(lambda: api_key_of(row)) == "sk-secret"
    for later in (await site.alice.get(path), await site.alice.get("/api/models"),
                  await site.alice.request("PATCH", path, {"weight": 2})):  # fmt: skip
        assert b"sk-secret" not in later.body and row.sealed_key.encode() not in later.body
    assert await site.rows(lambda: api_key_of(row_of(number)())) == "sk-secret"


async def test_a_key_does_not_go_to_another_host(site):
    number = (await made(site.alice))["id"]
    path, away = f"/api/models/{number}", "https://evil.example.net/v1"
    for method, body in (("PATCH", {"endpoint": away}), ("PUT", {"name": "mine", "endpoint": away}),
                         ("PATCH", {"endpoint": "http://api.example.com/v1"})):  # fmt: skip
        refused(await site.alice.request(method, path, body), 400, "invalid_request", "endpoint")
    near = {"endpoint": "https://API.example.com/v2"}
    assert (await site.alice.request("PATCH", path, near)).json["has_key"] is True
    moved = (await site.alice.request("PATCH", path, {"endpoint": away, "api_key": "sk-other"})).json
    assert (moved["endpoint"], moved["has_key"]) == (away, True)
    dropped = {"endpoint": "https://third.example.org/v1", "api_key": ""}
    assert (await site.alice.request("PATCH", path, dropped)).json["has_key"] is False


async def test_an_address_inside_is_refused_and_leave_for_one_is_none_for_another(site):
    for inside in (
        "http://127.0.0.1:8000/v1",
        "http://localhost/v1",
        "http://[fd00::1]/v1",
        "http://169.254.169.254/v1",
    ):
        answer = await site.alice.post("/api/models", {**OWN, "endpoint": inside})
        refused(answer, 400, "invalid_request", "endpoint")
    number = (await made(site.alice))["id"]

    def allow():
        row = row_of(number)()
        row.endpoint, row.allow_private = "http://10.0.0.5/v1", True
        save_instance(instance=row, api_key="sk-inside")

    await site.rows(allow)
    path = f"/api/models/{number}"
    assert (await site.alice.request("PATCH", path, {"weight": 3})).json["weight"] == 3
    for elsewhere in (
        "http://10.0.0.6/v1",
        "http://10.0.0.5:6379/v1",
        "http://127.0.0.1/v1",
        "https://api.example.com/v1",
    ):
        body = {"endpoint": elsewhere, "api_key": "sk-other"}
        refused(await site.alice.request("PATCH", path, body), 400, "invalid_request", "endpoint")


async def test_of_the_platforms_it_shows_what_choosing_needs(site, shared):
    listed = (await site.alice.get("/api/models?scope=platform")).json["models"]
    assert [(row["name"], row["scope"]) for row in listed] == [("acme-granted", "platform"), ("all", "platform")]
    for row in listed:
        hidden = ("adapter", "endpoint", "has_key", "options", "upstream_model", "weight", "timeout")
        assert {row[name] for name in hidden} == {None} and row["label"] == ""
    for name in ("all", "acme-granted"):
        path = f"/api/models/{shared[name]}"
        assert (await site.alice.get(path)).status == 200
        for method in ("PUT", "PATCH", "DELETE"):
            refused(await site.alice.request(method, path, {"name": "mine"}), 403, "forbidden")
        refused(await site.alice.post(f"{path}/test", {}), 403, "forbidden")
    for name in ("globex-granted", "off"):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            answer = await site.alice.request(method, f"/api/models/{shared[name]}", {"name": "mine"})
            refused(answer, 404, "not_found")


async def test_charlie_sees_nothing_of_it(site, unknown):
    model = await made(site.alice)
    assert (await site.charlie.get("/api/models")).json == {"models": [], "next": None}
    missing = refused(await site.charlie.get("/api/models/999999"), 404, "not_found")["message"]
    for name in (model["id"], *unknown):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            answer = await site.charlie.request(method, f"/api/models/{name}", {"name": "x"})
            assert refused(answer, 404, "not_found")["message"] == missing
        refused(await site.charlie.post(f"/api/models/{name}/test", {}), 404, "not_found")
    assert (await site.alice.get(f"/api/models/{model['id']}")).json == model


@pytest.mark.parametrize(
    ("role", "read", "change"), [("developer", 200, 201), ("auditor", 200, 403), ("member", 403, 403)]
)
async def test_roles_may_what_the_table_says(site, role, read, change):
    client = site.signed_in(BOB, role)
    for path in ("/api/models", "/api/adapters"):
        assert (await client.get(path)).status == read
    assert (await client.post("/api/models", OWN)).status == change


async def test_options_are_for_those_who_may_change_them(site):
    model = await made(site.alice, adapter="scripted", options={"text": "kept"}, api_key="", endpoint="")
    assert model["options"] == {"text": "kept"}
    assert (await site.signed_in(BOB, "auditor").get(f"/api/models/{model['id']}")).json["options"] is None


WRONG = [
    ({"name": ""}, "name"),
    ({"name": "auto"}, "name"),
    ({"name": "two words"}, "name"),
    ({"name": "m" * 201}, "name"),
    ({"adapter": "nonsense"}, "adapter"),
    ({"endpoint": "gopher://x"}, "endpoint"),
    ({"endpoint": 5}, "endpoint"),
    ({"endpoint": "https://user:pass@example.com"}, "endpoint"),
    ({"options": {"nonsense": 1}}, "options"),
    ({"options": []}, "options"),
    ({"weight": 0}, "weight"),
    ({"price_in": -1}, "price_in"),
    ({"price_in": 0.0000001}, "price_in"),
    ({"price_out": "1"}, "price_out"),
    ({"timeout": 0}, "timeout"),
    ({"languages": ["not a tag"]}, "languages"),
    ({"task": "paint"}, "task"),
    ({"batch_size": 0}, "batch_size"),
    ({"context_window": 0}, "context_window"),
    ({"enabled": "yes"}, "enabled"),
    ({"api_key": "a\nb"}, "api_key"),
    ({"allow_private": True}, "allow_private"),
    ({"sharing": "all"}, "sharing"),
    ({"tenant": None}, "tenant"),
    ({"tenant_id": 2}, "tenant_id"),
    ({"sealed_key": "x"}, "sealed_key"),
    ({"grants": []}, "grants"),
    ({"id": 1}, "id"),
]


async def test_it_names_the_field_it_refuses(site):
    model = await made(site.alice)
    for body, param in WRONG:
        for method, path in (("POST", "/api/models"), ("PUT", f"/api/models/{model['id']}"),
                             ("PATCH", f"/api/models/{model['id']}")):  # fmt: skip
            given = body if method == "PATCH" else {**OWN, "label": "second", **body}
            refused(await site.alice.request(method, path, given), 400, "invalid_request", param)
    assert (await site.alice.get("/api/models")).json["models"] == [model]


async def test_it_asks_this_very_model(site):
    model = await made(site.alice)
    answer = (await site.alice.post(f"/api/models/{model['id']}/test", {"question": "Who are you?"})).json
    intent = site.site.behind.journal.intents[-1]
    assert (intent.tenant_id, intent.turn_id) == (ALICE.company.id, answer["turn_id"])
    assert answer["answer"] and answer["dimensions"] is None and answer["completion_tokens"] > 0
    refused(
        await site.alice.post(f"/api/models/{model['id']}/test", {"question": ""}), 400, "invalid_request", "question"
    )
    refused(await site.bob.post(f"/api/models/{model['id']}/test", {}), 403, "forbidden")


async def test_what_goes_wrong_in_a_test_is_told_as_of_every_turn(site, monkeypatch):
    model = await made(site.alice)
    path = f"/api/models/{model['id']}/test"
    for error, status, code in ((UpstreamError(), 502, "upstream_error"), (ModelNotFound(), 409, "conflict")):

        async def fails(*_, error=error):
            raise error

        monkeypatch.setattr(type(site.site.parts.engine), "complete", fails)
        refused(await site.alice.post(path, {}), status, code)
    await site.alice.request("PATCH", f"/api/models/{model['id']}", {"enabled": False})
    refused(await site.alice.post(path, {}), 409, "conflict")


async def test_it_lists_the_adapters(site):
    found = {row["name"]: row for row in (await site.alice.get("/api/adapters")).json["adapters"]}
    assert "chat" in found["openai_compatible"]["capabilities"] and found["openai_compatible"]["label"]


async def test_a_page_takes_two_queries_however_many_there_are(site, cast):
    def filled():
        rows = [ModelInstance(tenant=cast.acme, name=f"m{number}", adapter="echo") for number in range(1_000)]
        ModelInstance.objects.bulk_create(rows)
        with CaptureQueriesContext(connection) as queries:
            page = management.listed(manager(ALICE), Page(None, 200, {"search": ""}))
        return len(queries) <= 2, len(page.models)

    assert await site.rows(filled) == (True, 200)


def test_its_bodies_and_answers_have_the_same_fields():
    assert set(InstanceBody.__struct_fields__) == set(InstancePatch.__struct_fields__)
    told = set(InstanceAnswer.__struct_fields__) - {"id", "scope", "has_key", "created_at"}
    assert told == set(InstanceBody.__struct_fields__) - {"api_key"}
