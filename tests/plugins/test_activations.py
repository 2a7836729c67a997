import asyncio

import pytest
from django.core.exceptions import ValidationError

from engine.snapshots import Cell
from plugins import registry
from plugins.activations import compile_plugins
from plugins.active import PluginTable
from plugins.base import PluginBase, PluginSettings
from plugins.chain import PluginChain
from plugins.models import PluginActivation
from tenants.models import ConfigVersion
from tests.cast import ALICE, CHARLIE
from tests.plugins.turns import pre

CANNED = {"answers": [{"questions": ["hello"], "answer": "Hello!"}]}


class Broken(PluginBase):
    name = "broken"

    def __init__(self, settings):
        raise RuntimeError("cannot open")


class Marking(PluginBase):
    name = "marking"

    class Settings(PluginSettings):
        mark: str = "x"

    async def pre_process(self, context):
        context.features["mark"] = context.features.get("mark", "") + self.settings.mark


class MarkingToo(Marking):
    name = "marking_too"


@pytest.fixture(autouse=True)
def installed():
    with registry.registered(Broken, Marking, MarkingToo):
        yield


def activate(tenant, plugin, **fields):
    row = PluginActivation(tenant=tenant, plugin=plugin, **fields)
    row.full_clean()
    row.save()
    return row


def chain_of(table):
    return PluginChain(Cell(table))


@pytest.mark.parametrize(
    ("plugin", "settings", "field"), [("nothing", {}, "plugin"), ("canned_answers", {"answer": []}, "settings")]
)
def test_it_refuses_what_cannot_run(cast, plugin, settings, field):
    with pytest.raises(ValidationError) as refused:
        activate(cast.acme, plugin, settings=settings)
    assert list(refused.value.message_dict) == [field]


def features(table, person):
    return asyncio.run(pre(chain_of(table), person=person)).features


def test_it_compiles_nothing_from_nothing(cast):
    activate(cast.acme, "canned_answers", settings=CANNED, enabled=False)
    assert compile_plugins() == PluginTable()


def test_it_compiles_plugins_for_their_own_tenant(cast):
    activate(cast.acme, "canned_answers", settings=CANNED)
    plugins = chain_of(compile_plugins())
    assert asyncio.run(pre(plugins)).answer.content == "Hello!"
    assert asyncio.run(pre(plugins, person=CHARLIE)).answer is None


def test_it_orders_plugins_by_position(cast):
    activate(cast.acme, "marking", settings={"mark": "late"}, position=2)
    activate(cast.acme, "marking_too", settings={"mark": "early "}, position=1)
    assert features(compile_plugins(), ALICE) == {"mark": "early late"}


def test_it_lets_no_plugin_keep_others_from_changing(cast, caplog):
    activate(cast.acme, "broken")
    activate(cast.globex, "marking")
    PluginActivation(tenant=cast.acme, plugin="uninstalled").save()
    table = compile_plugins()
    assert features(table, ALICE) == {}
    assert features(table, CHARLIE) == {"mark": "x"}
    assert "the plugin broken of tenant 1 cannot be made" in caplog.text
    assert "the plugin uninstalled of tenant 1 cannot be made" in caplog.text


def test_it_keeps_plugins_whose_settings_did_not_change(cast):
    kept, changed = activate(cast.acme, "marking"), activate(cast.globex, "marking")
    before = compile_plugins()
    changed.settings = {"mark": "y"}
    changed.save()
    after = compile_plugins(before)
    assert after.made[kept.pk][2] is before.made[kept.pk][2]
    assert (features(before, CHARLIE), features(after, CHARLIE)) == ({"mark": "x"}, {"mark": "y"})


def test_it_announces_a_change_of_the_plugins(cast, valkey_url):
    activate(cast.acme, "marking").delete()
    assert ConfigVersion.objects.get(section="plugins").version == 2
