"""Settings of plugins may hold passwords: at rest nobody reads them without the master key."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from plugins.activations import compile_plugins
from plugins.models import PluginActivation
from plugins.outbox.declared import declared
from tenants.changes import public_values
from tests.cast import ACME, GLOBEX

OLD, NEW = "o" * 40, "n" * 40
URL = "amqps://user:top-secret@mq.example.com/vhost"


def queue(tenant, **fields):
    return PluginActivation.objects.create(tenant=tenant, plugin="queue", settings={"url": URL}, **fields)


def read(row):
    return PluginActivation.objects.everywhere().get(pk=row.pk)


def test_it_seals_them_for_their_tenant_and_plugin(cast):
    row, other = queue(cast.acme), queue(cast.globex)
    stored = PluginActivation.objects.everywhere().filter(pk=row.pk).values_list()[0]
    assert "top-secret" not in repr(stored) and "top-secret" not in repr(public_values(row))
    assert read(row).settings == {"url": URL}
    other.sealed_settings = row.sealed_settings
    other.save()
    assert read(other).settings == {}
    assert [each.tenant_id for each in declared()] == [ACME.id]
    (state,) = [each.state() for each in compile_plugins().tenants[GLOBEX.id]]
    assert state.breaker == "missing" and "SealBroken" in state.last_error


def test_they_are_sealed_again_with_another_master_key(cast, settings):
    settings.MASTER_KEY_FILE, settings.MASTER_KEY = None, OLD
    row = queue(cast.acme)
    before = compile_plugins()
    settings.MASTER_KEY = f"{NEW},{OLD}"
    call_command("rotatekeys")
    settings.MASTER_KEY = NEW
    assert read(row).settings == {"url": URL}
    assert compile_plugins(before).made[row.pk][2] is before.made[row.pk][2], "for the plugin nothing changed"


def test_the_same_settings_are_no_change(cast):
    row = queue(cast.acme)
    before = row.sealed_settings
    row.settings = {"url": URL}
    assert row.sealed_settings == before
    row.settings = {"url": f"{URL}2"}
    assert row.sealed_settings != before


def test_none_are_not_sealed_and_need_no_key(cast):
    row = PluginActivation.objects.create(tenant=cast.acme, plugin="canned_answers")
    assert read(row).sealed_settings == "" and read(row).settings == {}
    row.settings = {"answers": []}
    row.save()
    row.settings = {}
    row.save()
    assert read(row).sealed_settings == ""


@pytest.mark.django_db(transaction=True)
def test_those_that_were_saved_before_are_sealed(cast):
    before, after = [("plugins", "0005_outbox")], [("plugins", "0006_seal_plugin_settings")]
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes("plugins")
    row = queue(cast.acme)
    plain = PluginActivation.objects.create(tenant=cast.globex, plugin="canned_answers")
    try:
        old = MigrationExecutor(connection).migrate(before).apps.get_model("plugins", "PluginActivation")
        kept = dict(old._base_manager.values_list("pk", "settings"))
        assert kept == {row.pk: {"url": URL}, plain.pk: {}}
        MigrationExecutor(connection).migrate(after)
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM plugins_pluginactivation")
            assert "top-secret" not in json.dumps(cursor.fetchall(), default=str)
    finally:
        MigrationExecutor(connection).migrate(newest)
    assert read(row).settings == {"url": URL} and read(plain).settings == {}
