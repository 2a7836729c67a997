import pytest

from engine.snapshots import Cell
from tenants.isolation import Stores
from tests.access.parts import build
from tests.cast import CHARLIE, tenant_table
from tests.sessions_app.parts import sessions


@pytest.fixture
async def site(valkey_url):
    tenants = Cell(tenant_table())
    stores = Stores([valkey_url], tenants)
    site = build(sessions=sessions(stores, tenants))
    yield site
    await stores.close()


async def new_session(site, **fields):
    return (await site.alice.post("/api/chat", {"message": "Hi", **fields})).json["session_id"]


async def test_it_lists_reads_and_deletes(site):
    ids = [await new_session(site) for _ in range(3)]
    listed = (await site.alice.get("/api/sessions")).json
    assert {row["session_id"] for row in listed["sessions"]} == set(ids) and listed["next_cursor"] is None
    whole = (await site.alice.get(f"/api/sessions/{ids[0]}/")).json
    assert [message["content"] for message in whole["context_stack"]] == ["Hi", "Hello"]
    answer = await site.alice.request("DELETE", f"/api/sessions/{ids[0]}")
    assert (answer.status, answer.body) == (204, b"") and "content-length" not in answer.headers
    assert (await site.alice.get(f"/api/sessions/{ids[0]}")).json["error"]["code"] == "session_not_found"


async def test_it_pages(site):
    for _ in range(3):
        await new_session(site)
    first = (await site.alice.get("/api/sessions?limit=2")).json
    rest = (await site.alice.get(f"/api/sessions?limit=2&cursor={first['next_cursor']}")).json
    assert len(first["sessions"]) == 2 and rest["next_cursor"] is None


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=%00", "limit=%D9%A3", "cursor=x", "cursor=%ff"]
)
async def test_it_refuses_odd_pages(site, query):
    answer = await site.alice.get(f"/api/sessions?{query}")
    assert answer.status == 400 and answer.json["error"]["param"] in ("limit", "cursor")


async def test_it_keeps_the_users_of_a_key_apart(site):
    session = await new_session(site, user="u-1")
    assert (await site.alice.get("/api/sessions")).json["sessions"] == []
    listed = (await site.alice.get("/api/sessions?user=u-1")).json["sessions"]
    assert [row["session_id"] for row in listed] == [session]
    assert (await site.alice.get(f"/api/sessions/{session}?user=u-2")).status == 404
    assert (await site.alice.get(f"/api/sessions/{session}?user=u-1")).status == 200
    assert (await site.alice.get(f"/api/sessions?user={'u' * 257}")).json["error"]["param"] == "user"


async def test_it_changes_the_profile_and_the_name(site):
    session = await new_session(site)
    answer = await site.alice.request("PATCH", f"/api/sessions/{session}", {"user_profile": {"name": "Ann"}})
    assert answer.json["user_profile"] == {"name": "Ann"}
    answer = await site.alice.request("PATCH", f"/api/sessions/{session}", {"name": "Holiday"})
    assert (answer.json["user_profile"], answer.json["name"]) == ({"name": "Ann"}, "Holiday")
    answer = await site.alice.request("PATCH", f"/api/sessions/{session}", {"user_profile": 5})
    assert (answer.status, answer.json["error"]["param"]) == (400, "user_profile")


@pytest.mark.parametrize("name", ["nobodys", "a b", "a%00", "..", "x" * 200, "{}", "你"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_it_knows_no_other_ids(site, method, name):
    answer = await site.alice.request(method, f"/api/sessions/{name}", {})
    assert (answer.status, answer.json["error"]["code"]) == (404, "session_not_found")


async def test_charlie_sees_nothing_of_it(site):
    session = await new_session(site)
    charlie = site.client(CHARLIE.key)
    for method in ("GET", "PATCH", "DELETE"):
        assert (await charlie.request(method, f"/api/sessions/{session}", {})).status == 404
    assert (await charlie.get("/api/sessions")).json["sessions"] == []
    answer = await charlie.post("/api/chat", {"message": "Hi", "session_id": session})
    assert (answer.status, answer.json["error"]["code"]) == (404, "session_not_found")
