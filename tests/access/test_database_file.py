"""Databases in the file of loadconfig and dumpconfig."""

import pytest

from plugins.databases.services import url_of
from plugins.models import DataSource
from routing.configuration import dump, load
from routing.documents import ConfigurationError

TEXT = """
databases:
  - name: shop
    url: "${SHOP_URL}"
    description: Sales
    tables:
      - name: orders
        schema: sales
        columns: [id, {name: total, type: numeric, description: in euros}]
    row_limit: 7
"""
ENVIRON = {"SHOP_URL": "postgresql://reader:top-secret@db.example.com/shop"}


def test_it_loads_and_dumps_the_same(cast):
    assert str(load(TEXT, tenant=cast.acme, environ=ENVIRON)).startswith("1 created")
    [row] = DataSource.objects.for_tenant(cast.acme.pk)
    assert (url_of(row), row.row_limit, row.tables[0]["columns"][0]) == (ENVIRON["SHOP_URL"], 7, {"name": "id"})
    text = dump(tenant=cast.acme)
    assert "top-secret" not in text
    assert "${SHOP_URL}" in text
    assert str(load(text, tenant=cast.acme, environ=ENVIRON)).startswith("0 created, 0 updated")
    other = {"SHOP_URL": "mysql://reader:other@db.example.com/shop"}
    assert str(load(text, tenant=cast.acme, environ=other)).startswith("0 created, 1 updated")
    assert load(text, tenant=cast.globex, environ=ENVIRON).created == 1
    row.refresh_from_db()
    assert (url_of(row), row.dialect) == (other["SHOP_URL"], "mysql")
    assert "databases" not in dump(tenant=None)


def test_it_keeps_an_address_that_is_not_given_and_leaves_others_alone(cast):
    load(TEXT, tenant=cast.acme, environ=ENVIRON)
    load("databases: [{name: shop}, {name: staff, url: 'mysql://a:b@db/staff'}]", tenant=cast.acme, environ={})
    rows = DataSource.objects.for_tenant(cast.acme.pk).order_by("name")
    assert [(row.name, url_of(row), row.tables, row.row_limit) for row in rows] == [
        ("shop", ENVIRON["SHOP_URL"], [], 100),
        ("staff", "mysql://a:b@db/staff", [], 100),
    ]
    assert str(load("databases: []", tenant=cast.acme, environ={})).startswith("0 created, 0 updated")
    assert rows.count() == 2


def test_it_keeps_that_there_is_no_limit_on_costs(cast):
    text = "databases: [{name: shop, url: 'mysql://a:b@db/shop', cost_limit: 0}]"
    load(text, tenant=cast.acme, environ={})
    assert DataSource.objects.for_tenant(cast.acme.pk).get().cost_limit is None
    again = load(dump(tenant=cast.acme), tenant=cast.acme, environ={"SHOP_URL": "mysql://a:b@db/shop"})
    assert again.unchanged == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("databases: [{url: 'mysql://a:b@c/d'}]", "1:13: a database needs a name"),
        ("databases: [{name: a}]", "1:13: url: An address is needed"),
        ("databases: [{name: a, url: 'http://x'}]", "1:28: url: The address begins"),
        ("databases: [{name: A b, url: 'mysql://a:b@c/d'}]", "1:20: name: Small letters"),
        ("databases: [{name: a, url: 'mysql://a:b@c/d'}, {name: a}]", "twice"),
        ("databases: [{name: a, tables: [{name: t, columns: []}]}]", "1:31: tables"),
        ("databases: [{name: a, tables: [{name: t, rows: 1}]}]", "1:42: unknown key 'rows'"),
        ("databases: [{name: a, tables: 5}]", "1:31: expected a list"),
        ("databases: [{name: a, row_limit: many}]", "1:34: expected a whole number"),
        ("databases: [{name: a, url: 'mysql://a:b@c/d', row_limit: 5000}]", "row_limit"),
    ],
)
def test_it_says_where_it_is_wrong(cast, text, said):
    with pytest.raises(ConfigurationError) as refused:
        load(text, tenant=cast.acme, environ={})
    assert said in str(refused.value)
    assert not DataSource.objects.everywhere().exists()
