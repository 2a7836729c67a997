"""Databases in both consoles: what people enter, tick and read of them."""

from __future__ import annotations

import re
import sqlite3
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from plugins.databases.services import save_source, url_of
from plugins.models import DataSource
from tests.access.console.screens import NAUGHTY
from tests.cast import ALICE, BOB, CHARLIE

URL = "postgresql://reader:top-secret@127.0.0.1:1/shop"
FIELDS = {"name": "shop", "description": "", "enabled": "on", "tables": "[]", "row_limit": 10, "time_limit": 5,
          "cost_limit": ""}  # fmt: skip


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.DATABASE_FOLDER = tmp_path
    (tmp_path / "acme").mkdir()
    with sqlite3.connect(tmp_path / "acme" / "shop.sqlite3") as owner:
        owner.execute(
            f'CREATE TABLE orders (id INTEGER, total REAL, "{NAUGHTY.replace(chr(34), chr(34) * 2)[:60]}" TEXT)'
        )
    owner.close()
    return tmp_path


def signed_in(username: str) -> Client:
    client = Client()
    assert client.login(username=username, password=ALICE.password)
    return client


@pytest.fixture
def alice(cast: SimpleNamespace, valkey_url: str) -> Client:
    return signed_in(ALICE.username)


def errors(client: Client, console: str, page: str = "add", **fields: Any) -> list[str]:
    """The fields that were refused; none: it was saved."""
    answer = client.post(f"/{console}/plugins/datasource/{page}/", {**FIELDS, **fields})
    return [] if answer.status_code == 302 else list(answer.context["adminform"].form.errors)


def source(tenant: Any, url: str = URL) -> DataSource:
    return save_source(source=DataSource(tenant=tenant, name="shop"), url=url)


def test_a_tenant_registers_a_database_whose_address_nobody_sees(cast: SimpleNamespace, alice: Client) -> None:
    assert errors(alice, "console", url=URL, allow_private="on") == []
    [row] = DataSource.objects.for_tenant(cast.acme.pk)
    assert (url_of(row), row.place, row.allow_private, row.cost_limit) == (URL, "127.0.0.1:1/shop", False, None)
    for page in ("", f"{row.pk}/change/"):
        assert "top-secret" not in alice.get(f"/console/plugins/datasource/{page}").content.decode()
    assert errors(alice, "console", f"{row.pk}/change", description="Sales") == []
    row.refresh_from_db()
    assert (url_of(row), row.description) == (URL, "Sales")


def test_it_names_the_field_it_refuses(cast: SimpleNamespace, alice: Client) -> None:
    refused = [("url", ""), ("url", "http://x"), ("url", "sqlite:///x"), ("name", "A b"), ("tables", "{"),
               ("tables", '[{"name": "a", "columns": []}]'), ("row_limit", 0), ("time_limit", 99)]  # fmt: skip
    for field, value in refused:
        assert errors(alice, "console", **{"url": URL, field: value}) == [field], value
    assert errors(alice, "console", url=URL) == []
    assert errors(alice, "console", url=URL) == ["name"], "there is one of this name"


def test_its_tables_are_read_and_ticked(cast: SimpleNamespace, alice: Client, folder: Path) -> None:
    row = source(cast.acme, "sqlite:///shop.sqlite3")
    path = f"/console/plugins/datasource/{row.pk}/tables/"
    page = alice.get(path, follow=True).content.decode()
    assert "<script>alert(1)" not in page
    values = [unescape(value) for value in re.findall(r'name="column" value="([^"]*)"', page)]
    assert values[:2] == ['["","orders","id","integer"]', '["","orders","total","real"]']
    answer = alice.post(path, {"column": values[:2], '["","orders"]': "What was bought"})
    assert answer.status_code == 302
    row.refresh_from_db()
    assert row.tables == [
        {
            "name": "orders",
            "description": "What was bought",
            "columns": [{"name": "id", "type": "integer"}, {"name": "total", "type": "real"}],
        }
    ]
    assert row.may_write is False
    for bad in ("x", "[]", '["a"]', "[1,2,3,4]", '["","o","",""]'):
        assert alice.post(path, {"column": [bad]}).status_code in (200, 302)
    row.refresh_from_db()
    assert len(row.tables[0]["columns"]) == 2


def test_a_database_that_is_away_is_said(cast: SimpleNamespace, alice: Client) -> None:
    row = source(cast.acme)
    for page in ("test", "tables"):
        answer = alice.get(f"/console/plugins/datasource/{row.pk}/{page}/", follow=True)
        assert answer.status_code == 200
        assert "private network" in answer.content.decode()


def test_charlie_and_members_see_nothing_of_it(cast: SimpleNamespace, valkey_url: str) -> None:
    row = source(cast.acme)
    charlie, bob = signed_in(CHARLIE.username), signed_in(BOB.username)
    assert row.place not in charlie.get("/console/plugins/datasource/").content.decode()
    for page in ("change", "delete", "test", "tables"):
        assert charlie.get(f"/console/plugins/datasource/{row.pk}/{page}/").status_code in (302, 403, 404)
        assert bob.get(f"/console/plugins/datasource/{row.pk}/{page}/").status_code in (302, 403, 404)
        assert charlie.post(f"/console/plugins/datasource/{row.pk}/{page}/", FIELDS).status_code in (302, 403, 404)
    row.refresh_from_db()
    assert row.may_write is None
    assert DataSource.objects.for_tenant(cast.acme.pk).count() == 1


def test_the_platform_decides_about_private_networks(cast: SimpleNamespace, console: Client) -> None:
    fields = {"tenant": cast.acme.pk, "url": URL, "allow_private": "on"}
    assert errors(console, "admin", **fields) == []
    [row] = DataSource.objects.for_tenant(cast.acme.pk)
    assert row.allow_private
    assert errors(console, "admin", f"{row.pk}/change", tenant=cast.globex.pk) == ["url"], "it is sealed for acme"
    answer = console.get(f"/admin/plugins/datasource/{row.pk}/test/", follow=True)
    assert "cannot be" in answer.content.decode()
