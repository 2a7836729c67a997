import pytest

from plugins import registry
from plugins.base import PluginBase, PluginSettings
from plugins.models import PluginActivation
from tests.access.managed import refused
from tests.cast import BOB


class Greeting(PluginBase):
    name = "greeting"
    label = "Greeting"

    class Settings(PluginSettings):
        words: list[str] = []
        times: int = 1


@pytest.fixture(autouse=True)
def greeting():
    with registry.registered(Greeting):
        yield


def stored():
    found = PluginActivation.objects.everywhere()
    return [(row.tenant_id, row.plugin, row.position, row.settings) for row in found]


async def test_it_switches_on_sets_and_switches_off(site):
    unused = (await site.alice.get("/api/plugins/greeting")).json
    assert (unused["active"], unused["installed"], unused["settings"]) == (False, True, {})
    assert "times" in str(unused["schema"])
    body = {"position": 3, "settings": {"words": ["Hi"], "times": 2}}
    for _ in range(2):
        put = await site.alice.request("PUT", "/api/plugins/greeting", body)
        assert put.json == {**unused, **body, "active": True, "enabled": True}
    assert await site.rows(stored) == [(1, "greeting", 3, {"words": ["Hi"], "times": 2})]
    listed = (await site.alice.get("/api/plugins")).json["plugins"]
    assert listed[0] == put.json and {row["plugin"] for row in listed} == set(registry.names())
    off = (await site.alice.request("PUT", "/api/plugins/greeting", {"enabled": False})).json
    assert (off["active"], off["position"], off["settings"]) == (False, 0, {})
    assert (await site.alice.request("DELETE", "/api/plugins/greeting")).status == 204
    refused(await site.alice.request("DELETE", "/api/plugins/greeting"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"settings": {"times": "2"}}, "settings.times"),
        ({"settings": {"words": [1]}}, "settings.words[0]"),
        ({"settings": {"nonsense": 1}}, "settings.nonsense"),
        ({"settings": []}, "settings"),
        ({"position": -1}, "position"),
        ({"position": 40_000}, "position"),
        ({"enabled": None}, "enabled"),
        ({"tenant": 2}, "tenant"),
        ({"plugin": "other"}, "plugin"),
    ],
)
async def test_it_names_the_setting_it_refuses(site, body, param):
    refused(await site.alice.request("PUT", "/api/plugins/greeting", body), 400, "invalid_request", param)
    assert await site.rows(stored) == []


async def test_it_knows_no_other_plugins(site, unknown):
    for name in (*unknown, "x" * 300, "%01"):
        for method in ("GET", "PUT", "DELETE"):
            refused(await site.alice.request(method, f"/api/plugins/{name}", {}), 404, "not_found")


async def test_charlie_sees_nothing_of_it(site):
    await site.alice.request("PUT", "/api/plugins/greeting", {"settings": {"words": ["secret"]}})
    assert b"secret" not in (await site.charlie.get("/api/plugins")).body
    assert (await site.charlie.get("/api/plugins/greeting")).json["active"] is False
    refused(await site.charlie.request("DELETE", "/api/plugins/greeting"), 404, "not_found")
    assert len(await site.rows(stored)) == 1


async def test_settings_are_for_those_who_may_change_them(site):
    await site.alice.request("PUT", "/api/plugins/greeting", {"settings": {"words": ["secret"]}})
    for path in ("/api/plugins", "/api/plugins/greeting"):
        assert b"secret" not in (await site.signed_in(BOB, "auditor").get(path)).body
        assert b"secret" in (await site.signed_in(BOB, "developer").get(path)).body
        refused(await site.signed_in(BOB, "member").get(path), 403, "forbidden")


async def test_a_plugin_that_is_gone_is_still_shown_and_removed(site):
    def row():
        PluginActivation(tenant_id=1, plugin="gone").save()

    await site.rows(row)
    gone = (await site.alice.get("/api/plugins")).json["plugins"][0]
    assert (gone["plugin"], gone["installed"], gone["active"], gone["schema"]) == ("gone", False, False, {})
    refused(await site.alice.request("PUT", "/api/plugins/gone", {}), 404, "not_found")
    assert (await site.alice.request("DELETE", "/api/plugins/gone")).status == 204
