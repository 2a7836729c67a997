"""From the rows of data sources to a plugin that asks them."""

import asyncio

import pytest
from django.core.exceptions import ValidationError

from plugins.activations import compile_plugins
from plugins.databases import services
from plugins.models import DataSource, PluginActivation
from tenants import rotating
from tenants.models import ConfigVersion
from tests.cast import ACME, GLOBEX

URL = "postgresql://reader:top-secret@db.example.com/shop"
TABLES = [{"name": "orders", "columns": [{"name": "id"}]}]


def made(tenant, name="shop", **fields):
    return services.save_source(source=DataSource(tenant=tenant, name=name, tables=TABLES, **fields), url=URL)


def plugin_of(table, company):
    return table.tenants[company.id][0].loaded.plugin


def test_it_seals_the_address_for_its_row(cast):
    row = made(cast.acme)
    other = made(cast.globex)
    assert "top-secret" not in row.sealed_url
    assert services.url_of(row) == URL
    other.sealed_url = row.sealed_url
    with pytest.raises(services.SealBroken):
        services.url_of(other)
    assert rotating.seal_again(only_look=True).current >= 2


def test_it_needs_an_address(cast):
    with pytest.raises(ValidationError) as refused:
        services.save_source(source=DataSource(tenant=cast.acme, name="shop"))
    assert list(refused.value.message_dict) == ["url"]


def test_it_takes_only_so_many(cast, monkeypatch):
    monkeypatch.setattr(services, "MOST_SOURCES", 1)
    made(cast.acme)
    with pytest.raises(ValidationError):
        made(cast.acme, name="other")
    made(cast.globex)


def test_leave_for_one_private_address_is_none_for_another(cast):
    row = made(cast.acme, allow_private=True)
    services.save_source(source=row, url=URL.replace("top-secret", "another"), by_tenant=True)
    moved = URL.replace("db.example.com", "cache.example.com")
    for url in (moved, URL.replace("/shop", ":6379/shop"), "mysql://a:b@db.example.com/shop"):
        with pytest.raises(ValidationError, match="alone"):
            services.save_source(source=row, url=url, by_tenant=True)
    assert services.save_source(source=row, url=moved).place == "cache.example.com:5432/shop"  # an operator may


def test_a_plugin_has_the_databases_of_its_own_tenant(cast, settings):
    for tenant in (cast.acme, cast.globex):
        PluginActivation.objects.create(tenant=tenant, plugin="database")
    made(cast.acme)
    made(cast.acme, name="off", enabled=False)
    table = compile_plugins()
    [source] = plugin_of(table, ACME).gathered
    assert (source.name, source.tenant, source.url, source.private) == ("shop", "acme", URL, False)
    assert plugin_of(table, GLOBEX).gathered == ()
    settings.DATABASE_PRIVATE = True
    assert services.compile_sources(ACME.id)[0].private
    asyncio.run(plugin_of(table, ACME).close())


def test_a_change_is_live_and_others_keep_their_plugin(cast):
    for tenant in (cast.acme, cast.globex):
        PluginActivation.objects.create(tenant=tenant, plugin="database")
        made(tenant)
    first = compile_plugins()
    before = ConfigVersion.objects.get(section="plugins").version
    row = DataSource.objects.for_tenant(cast.acme.pk).get()
    row.row_limit = 7
    services.save_source(source=row)
    assert ConfigVersion.objects.get(section="plugins").version > before
    second = compile_plugins(first)
    assert plugin_of(second, ACME) is not plugin_of(first, ACME)
    assert plugin_of(second, ACME).gathered[0].row_limit == 7
    assert plugin_of(second, GLOBEX) is plugin_of(first, GLOBEX)


def test_a_look_is_no_change(cast):
    row = made(cast.acme)
    before = ConfigVersion.objects.get(section="plugins").version
    services.looked(row, True)
    row.refresh_from_db()
    assert row.may_write
    assert ConfigVersion.objects.get(section="plugins").version == before


def test_one_that_cannot_be_opened_is_left_out(cast, caplog):
    row = made(cast.acme)
    made(cast.acme, name="whole")
    DataSource.objects.for_tenant(cast.acme.pk).filter(pk=row.pk).update(sealed_url="v1.x.y")
    assert [source.name for source in services.compile_sources(cast.acme.pk)] == ["whole"]
    assert "cannot be used" in caplog.text
    assert "top-secret" not in caplog.text


def test_it_is_in_no_export_or_change_record_with_its_secret(cast):
    from compliance.models import ChangeRecord

    made(cast.acme)
    assert "top-secret" not in str(list(ChangeRecord.objects.everywhere().values()))
