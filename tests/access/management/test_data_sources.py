import asyncio
import sqlite3

from access.management.data_sources import WAITING, DataSourceLook
from plugins.databases.services import url_of
from plugins.models import DataSource
from tests.access.managed import refused
from tests.cast import BOB

URL = "postgresql://reader:top-secret@127.0.0.1:1/shop"
TABLES = [{"name": "orders", "description": "What was bought", "columns": [{"name": "id", "type": "integer"}]}]


def stored():
    rows = DataSource.objects.everywhere().order_by("pk")
    return [(row.tenant_id, row.name, row.dialect, url_of(row)) for row in rows]


async def made(client, **changes):
    answer = await client.post("/api/data-sources", {"name": "shop", "url": URL, **changes})
    assert answer.status == 201, answer.json
    return answer.json


async def test_it_registers_lists_changes_and_forgets(site):
    first = await made(site.alice, tables=TABLES)
    assert (first["dialect"], first["place"], first["tables"]) == ("postgresql", "127.0.0.1:1/shop", TABLES)
    assert "top-secret" not in str(first)
    second = await made(site.alice, name="staff", url="mysql://a:b@db.example.com/staff", row_limit=5, cost_limit=None)
    page = (await site.alice.get("/api/data-sources?limit=1")).json
    assert page == {"data_sources": [second], "next": second["id"]}
    path = f"/api/data-sources/{first['id']}"
    changed = (await site.alice.request("PATCH", path, {"description": "Sales", "time_limit": 2})).json
    assert changed == {**first, "description": "Sales", "time_limit": 2.0}
    assert (await site.rows(stored))[0] == (1, "shop", "postgresql", URL)
    await site.alice.request("PATCH", path, {"url": "mysql://x:y@db/shop"})
    assert (await site.rows(stored))[0] == (1, "shop", "mysql", "mysql://x:y@db/shop")
    assert (await site.alice.request("DELETE", path)).status == 204
    assert len(await site.rows(stored)) == 1


REFUSED = [
    ({"name": ""}, "name"),
    ({"name": "Big Name"}, "name"),
    ({"url": ""}, "url"),
    ({"url": "http://db/shop"}, "url"),
    ({"url": "postgresql://a:b@db/shop?sslrootcert=/etc/passwd"}, "url"),
    ({"url": "sqlite:///shop.sqlite3"}, "url"),
    ({"url": "sqlite:////etc/passwd"}, "url"),
    ({"tables": [{"name": "orders", "columns": []}]}, "tables[0].columns"),
    ({"tables": [{"name": "orders"}]}, "tables[0]"),
    ({"tables": [*TABLES, *TABLES]}, "tables"),
    ({"tables": [{"name": "o", "columns": [{"name": "a"}, {"name": "A"}]}]}, "tables"),
    ({"tables": "orders"}, "tables"),
    ({"row_limit": 0}, "row_limit"),
    ({"row_limit": 1001}, "row_limit"),
    ({"time_limit": 60}, "time_limit"),
    ({"cost_limit": -1}, "cost_limit"),
    ({"allow_private": True}, "allow_private"),
    ({"dialect": "sqlite"}, "dialect"),
    ({"sealed_url": "x"}, "sealed_url"),
    ({"tenant": 2}, "tenant"),
]


async def test_it_names_the_field_it_refuses(site):
    for body, param in REFUSED:
        answer = await site.alice.post("/api/data-sources", {"name": "shop", "url": URL, **body})
        error = answer.json["error"]
        assert (answer.status, error["code"]) == (400, "invalid_request"), error
        assert (error.get("param") or "").startswith(param.partition("[")[0]), error
    assert await site.rows(stored) == []


async def test_a_name_is_there_once_a_tenant(site):
    await made(site.alice)
    answer = await site.alice.post("/api/data-sources", {"name": "shop", "url": URL})
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
    await made(site.charlie)


async def test_charlie_sees_nothing_of_it(site, unknown):
    row = await made(site.alice)
    assert (await site.charlie.get("/api/data-sources")).json == {"data_sources": [], "next": None}
    for name in (row["id"], *unknown):
        for method in ("GET", "PATCH", "DELETE"):
            refused(
                await site.charlie.request(method, f"/api/data-sources/{name}", {"enabled": False}), 404, "not_found"
            )
        refused(await site.charlie.post(f"/api/data-sources/{name}/look"), 404, "not_found")
    assert (await site.alice.get(f"/api/data-sources/{row['id']}")).json == row


async def test_roles_may_what_the_table_says(site):
    for role, read, change in [("developer", 200, 201), ("auditor", 200, 403), ("member", 403, 403)]:
        client = site.signed_in(BOB, role)
        assert (await client.get("/api/data-sources")).status == read
        assert (await client.post("/api/data-sources", {"name": "shop", "url": URL})).status == change


async def test_it_looks_at_what_there_is(site, settings, tmp_path):
    settings.DATABASE_FOLDER = tmp_path
    (tmp_path / "acme").mkdir()
    with sqlite3.connect(tmp_path / "acme" / "shop.sqlite3") as owner:
        owner.execute("CREATE TABLE orders (id INTEGER, total REAL)")
    owner.close()
    row = await made(site.alice, url="sqlite:///shop.sqlite3")
    found = (await site.alice.post(f"/api/data-sources/{row['id']}/look")).json
    columns = [{"name": "id", "type": "integer"}, {"name": "total", "type": "real"}]
    assert found == {"tables": [{"name": "orders", "columns": columns}], "more": False, "may_write": False}
    seen = (await site.alice.get(f"/api/data-sources/{row['id']}")).json
    assert (seen["may_write"], seen["looked_at"] is not None) == (False, True)
    changed = await site.alice.request("PATCH", f"/api/data-sources/{row['id']}", {"tables": found["tables"]})
    assert changed.json["tables"] == found["tables"]


async def test_it_says_that_a_database_cannot_be_reached(site, settings):
    settings.DATABASE_PRIVATE = True
    row = await made(site.alice)
    error = refused(await site.alice.post(f"/api/data-sources/{row['id']}/look"), 409, "conflict")
    assert "top-secret" not in error["message"]
    settings.DATABASE_PRIVATE = False
    error = refused(await site.alice.post(f"/api/data-sources/{row['id']}/look"), 409, "conflict")
    assert "private network" in error["message"]


async def test_its_threads_are_not_taken_by_databases_that_hang(site, monkeypatch):
    row = await made(site.alice)
    free = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(source):
        asyncio.run_coroutine_threadsafe(free.wait(), loop).result(30)
        raise RuntimeError

    monkeypatch.setattr("plugins.databases.services.look_at", hang)
    path = f"/api/data-sources/{row['id']}/look"
    waiting = [asyncio.ensure_future(site.alice.post(path)) for _ in range(8)]
    while DataSourceLook.looks._waiting < WAITING:
        await asyncio.sleep(0.01)
    assert (await site.alice.post(path)).status == 503
    assert (await site.alice.get("/api/data-sources")).status == 200
    free.set()
    await asyncio.gather(*waiting, return_exceptions=True)
