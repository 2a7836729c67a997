"""`/api/sessions/{id}/…`: versions and snapshots over HTTP."""

from __future__ import annotations

import pytest

from access import answers
from access.management import session_versions as described
from engine.errors import RateLimited
from engine.snapshots import Cell
from tenants.isolation import Stores
from tests.access.parts import CHAT_ONLY, build
from tests.access.test_openapi import strict
from tests.cast import ALICE, BOB, CHARLIE, tenant_table
from tests.engine.journal import MemoryJournal
from tests.sessions_app.parts import MemoryPast, sessions

OTHER = "0" * 32


@pytest.fixture
async def site(valkey_url):
    tenants, journal = Cell(tenant_table()), MemoryJournal()
    stores = Stores([valkey_url], tenants)
    site = build(sessions=sessions(stores, tenants, journal, MemoryPast(journal)), journal=journal)
    yield site
    await stores.close()


@pytest.fixture
async def session(site):
    """Of two turns."""
    name = (await site.alice.post("/api/chat", {"message": "One"})).json["session_id"]
    await site.alice.post("/api/chat", {"message": "Two", "session_id": name})
    return f"/api/sessions/{name}"


def texts(read):
    return [message["content"] for message in read["context_stack"] if message["role"] == "user"]


async def test_it_goes_back_and_forth(site, session):
    made = await site.alice.post(f"{session}/snapshots", {"name": "Both", "tags": ["a"]})
    assert made.status == 201
    strict(described.SnapshotAnswer, made.json)
    snapshot = made.json["id"]
    restored = await site.alice.post(f"{session}/restore", {"version": 1})
    assert (restored.status, restored.json["version"], texts(restored.json)) == (200, 3, ["One"])
    strict(answers.SessionAnswer, restored.json)
    past = await site.alice.get(f"{session}/versions/2/")
    assert (past.json["state"], texts(past.json)) == ("past", ["One", "Two"])
    assert (await site.alice.get(f"{session}/versions/{snapshot}")).json == past.json
    again = await site.alice.post(f"{session}/restore", {"snapshot": snapshot, "if_version": 3})
    assert texts(again.json) == ["One", "Two"] and again.json["metadata"]["snapshots"] == 1
    listed = (await site.alice.get(f"{session}/versions?limit=3")).json
    strict(described.SessionVersionPage, listed)
    for line in listed["versions"]:
        strict(described.VersionLine, line)
    assert [line["action"] for line in listed["versions"]] == ["restored", "restored", "turn"] and listed["next"] == 2
    rest = (await site.alice.get(f"{session}/versions?before=2")).json
    assert [line["version"] for line in rest["versions"]] == [1] and rest["next"] is None


async def test_it_branches(site, session):
    made = await site.alice.post(f"{session}/branch")
    assert made.status == 201 and texts(made.json) == ["One", "Two"]
    named = await site.alice.post(f"{session}/branch", {"version": 1, "session_id": "mine"})
    assert (named.json["session_id"], named.json["version"], texts(named.json)) == ("mine", 1, ["One"])
    assert (await site.alice.post(f"{session}/branch", {"session_id": "mine"})).json["error"]["code"] == "conflict"
    answer = await site.alice.post("/api/chat", {"message": "Else", "session_id": "mine"})
    assert answer.status == 200
    assert texts((await site.alice.get("/api/sessions/mine")).json) == ["One", "Else"]


async def test_it_says_what_changed(site, session):
    await site.alice.request("PATCH", session, {"name": "Trip", "user_profile": {"a": 1}, "pinned": [[0, 0]]})
    found = (await site.alice.get(f"{session}/diff?from=1")).json
    strict(described.SessionDifference, found)
    strict(described.MessageDifference, found["messages"])
    assert (found["from"], found["to"], found["messages"]["kept"]) == (1, 3, 2)
    assert [(each["place"], each["content"]) for each in found["messages"]["added"]] == [
        ([1, 0], "Two"),
        ([1, 1], "Hello"),
    ]
    assert found["user_profile"] == {"added": {"a": 1}} and found["system"] == {}
    assert found["settings"] == {
        "name": {"before": "", "after": "Trip"}, "pinned": {"before": [], "after": [[0, 0]]},
    }  # fmt: skip
    back = (await site.alice.get(f"{session}/diff?from=3&to=1")).json
    assert back["messages"]["removed_total"] == 2 and back["messages"]["added"] == []
    same = (await site.alice.get(f"{session}/diff?from=2&to=2")).json
    assert same["messages"]["kept"] == 4 and not same["settings"]


async def test_it_lists_and_changes_snapshots(site, session):
    made = [(await site.alice.post(f"{session}/snapshots", {"name": f"n{each}"})).json for each in range(3)]
    first = (await site.alice.get(f"{session}/snapshots?limit=2")).json
    strict(described.SnapshotPage, first)
    rest = (await site.alice.get(f"{session}/snapshots?cursor={first['next_cursor']}")).json
    assert first["snapshots"] + rest["snapshots"] == made[::-1] and rest["next_cursor"] is None
    place = f"{session}/snapshots/{made[0]['id']}"
    changed = await site.alice.request("PATCH", place, {"name": "new", "tags": ["x", "y"]})
    assert changed.json == {**made[0], "name": "new", "tags": ["x", "y"]} == (await site.alice.get(place)).json


async def test_it_changes_only_the_version_it_is_told(site, session):
    answer = await site.alice.request("PATCH", session, {"name": "x", "if_version": 1})
    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["param"]) == (
        409,
        "conflict",
        "if_version",
    )
    answer = await site.alice.request("PATCH", session, {"name": "x", "if_version": 2})
    assert (answer.json["name"], answer.json["version"]) == ("x", 3)
    assert (await site.alice.post(f"{session}/restore", {"version": 1, "if_version": 2})).status == 409


LONG = "x" * 101


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "snapshots", {"name": LONG}, "name"),
        ("POST", "snapshots", {"name": "a\nb"}, "name"),
        ("POST", "snapshots", {"tags": "a"}, "tags"),
        ("POST", "snapshots", {"tags": [""]}, "tags[0]"),
        ("POST", "snapshots", {"tags": ["a"] * 17}, "tags"),
        ("POST", "snapshots", {"version": 1}, "version"),
        ("GET", "snapshots?limit=0", None, "limit"),
        ("GET", "snapshots?limit=201", None, "limit"),
        ("GET", "snapshots?cursor=%00", None, "cursor"),
        ("GET", "versions?limit=x", None, "limit"),
        ("GET", "versions?before=x", None, "before"),
        ("GET", "versions?before=-1", None, "before"),
        ("GET", "versions?before=" + "9" * 40, None, "before"),
        ("GET", "diff", None, "from"),
        ("GET", "diff?from=x", None, "from"),
        ("GET", "diff?from=1&to=%ff", None, "to"),
        ("GET", "diff?from=1.0", None, "from"),
        ("POST", "restore", {}, "version"),
        ("POST", "restore", {"version": 1, "snapshot": OTHER}, "version"),
        ("POST", "restore", {"version": -1}, "version"),
        ("POST", "branch", {"version": 0}, "version"),
        ("POST", "restore", {"version": 10**15}, "version"),
        ("POST", "restore", {"version": "1"}, "version"),
        ("POST", "restore", {"version": True}, "version"),
        ("POST", "restore", {"snapshot": "x"}, "snapshot"),
        ("POST", "restore", {"version": 1, "if_version": 1.5}, "if_version"),
        ("POST", "branch", {"session_id": "a b"}, "session_id"),
        ("POST", "branch", {"session_id": ""}, "session_id"),
        ("POST", "branch", {"version": 1, "snapshot": OTHER}, "version"),
        ("PATCH", "", {"pinned": [[0]]}, "pinned[0]"),
        ("PATCH", "", {"pinned": [[0, -1]]}, "pinned[0][1]"),
        ("PATCH", "", {"pinned": [[5, 0]]}, "pinned"),
        ("PATCH", "", {"pinned": [[0, 0]] * 101}, "pinned"),
        ("PATCH", "", {"pinned": {}}, "pinned"),
        ("PATCH", "", {"if_version": 0}, "if_version"),
    ],
)
async def test_it_names_what_is_wrong(site, session, method, path, body, param):
    answer = await site.alice.request(method, f"{session}/{path}".rstrip("/"), body)
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
    assert answer.json["error"].get("param") == param


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b'"x"', b"null"])
@pytest.mark.parametrize("path", ["snapshots", "restore", "branch"])
async def test_it_takes_objects_only(site, session, path, body):
    assert (await site.alice.request("POST", f"{session}/{path}", body)).status == 400


@pytest.mark.parametrize("place", ["3", "0", "-1", "x", "1e3", "²", "%00", "9" * 50, OTHER, "A" * 32])
async def test_it_knows_no_other_versions(site, session, place):
    for path in (f"versions/{place}", f"snapshots/{place}"):
        answer = await site.alice.get(f"{session}/{path}")
        assert (answer.status, answer.json["error"]["code"]) == (404, "version_not_found")


ROUTES = [
    ("GET", "snapshots"), ("POST", "snapshots"), ("GET", "snapshots/{snapshot}"), ("PATCH", "snapshots/{snapshot}"),
    ("GET", "versions"), ("GET", "versions/1"), ("GET", "versions/{snapshot}"), ("GET", "diff?from=1"),
    ("POST", "restore"), ("POST", "branch"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_charlie_and_bob_see_nothing_of_it(site, session, method, path):
    snapshot = (await site.alice.post(f"{session}/snapshots")).json["id"]
    body = {"restore": {"version": 1}}.get(path, {}) if method != "GET" else None
    for person in (BOB, CHARLIE):
        answer = await site.client(person.key).request(method, f"{session}/{path.format(snapshot=snapshot)}", body)
        assert (answer.status, answer.json["error"]["code"]) == (404, "session_not_found")
    assert (await site.stranger.request(method, f"{session}/{path}", body)).status == 401
    assert (await site.alice.get(session)).json["version"] == 2
    answer = await site.alice.request(method, f"{session}/{path.format(snapshot=snapshot)}", body)
    assert answer.status in (200, 201)


async def test_it_needs_the_scope(site, session):
    site.keys.people[CHAT_ONLY] = ALICE.key_principal.__class__(
        tenant_id=1, tenant="acme", kind="key", subject="key:9", user="key:9", scopes=frozenset({"chat"})
    )
    for method, path in ROUTES:
        assert (await site.client(CHAT_ONLY).request(method, f"{session}/{path}", {})).status == 403


async def test_reading_the_past_counts_against_the_limits(site, session, monkeypatch):
    async def refuse(*_):
        raise RateLimited(retry_after=3)

    monkeypatch.setattr(site.parts.engine.limiter, "admit", refuse)
    for method, path, body in (
        ("GET", "versions", None), ("GET", "versions/1", None), ("GET", "diff?from=1", None),
        ("POST", "restore", {"version": 1}), ("POST", "branch", {}),
    ):  # fmt: skip
        assert (await site.alice.request(method, f"{session}/{path}", body)).status == 429
    assert (await site.alice.get(f"{session}/snapshots")).status == 200


async def test_a_users_session_of_a_key_is_named_with_the_user(site):
    chat = (await site.alice.post("/api/chat", {"message": "One", "user": "u-1"})).json
    place = f"/api/sessions/{chat['session_id']}"
    assert (await site.alice.post(f"{place}/branch?user=u-2", {})).status == 404
    made = (await site.alice.post(f"{place}/branch?user=u-1", {})).json["session_id"]
    assert (await site.alice.get(f"/api/sessions/{made}?user=u-1")).status == 200
    assert (await site.alice.get(f"/api/sessions/{made}?user=u-2")).status == 404
