from __future__ import annotations

import pytest

from access import answers
from engine.errors import RateLimited
from engine.snapshots import Cell
from tenants.directory import TenantTable
from tenants.isolation import Stores
from tests.access.parts import build
from tests.access.test_openapi import strict
from tests.cast import ACME, ALICE, CHARLIE, GLOBEX
from tests.sessions_app.parts import sessions


@pytest.fixture
async def site(valkey_url):
    views = [ACME.view(summary_model="scripted"), GLOBEX.view()]
    tenants = Cell(TenantTable({view.id: view for view in views}, {view.slug: view for view in views}))
    stores = Stores([valkey_url], tenants)
    site = build(sessions=sessions(stores, tenants))
    site.behind.router.settings = {"context_window": 4000}
    yield site
    await stores.close()


async def talk(site, turns=3, **fields):
    session = None
    for _ in range(turns):
        asked = {"message": "Hi", **fields, **({"session_id": session} if session else {})}
        session = (await site.alice.post("/api/chat", asked)).json["session_id"]
    return session


async def test_a_summary_is_made_shown_and_undone(site):
    path = f"/api/sessions/{await talk(site)}/layers"
    assert (await site.alice.get(path)).json == {"layers": [], "automatic": True}
    made = await site.alice.post(path, {"through": 2})
    assert made.status == 201 and made.json["through"] == 2 and made.json["summary"] == "Hello"
    strict(answers.LayerAnswer, made.json)
    listed = (await site.alice.get(path + "/")).json
    strict(answers.LayerPage, listed)
    assert listed == {"layers": [made.json], "automatic": True}
    undone = await site.alice.request("DELETE", f"{path}/{made.json['id']}")
    assert (undone.status, undone.body) == (204, b"")
    listed = (await site.alice.get(path)).json
    assert [layer["undone"] for layer in listed["layers"]] == [True] and listed["automatic"] is False
    made = await site.alice.post(path, {})
    assert made.status == 201 and made.json["through"] == 1


async def test_it_is_shown_what_a_model_would_be_sent(site):
    session = await talk(site)
    await site.alice.post(f"/api/sessions/{session}/layers", {"through": 1})
    seen = await site.alice.get(f"/api/sessions/{session}/window")
    assert seen.status == 200
    strict(answers.WindowAnswer, seen.json)
    for row in seen.json["messages"]:
        strict(answers.WindowMessage, row)
    assert [row["sent"] for row in seen.json["messages"]] == [False, False, True, True, True, True]
    exact = (await site.alice.get(f"/api/sessions/{session}/window?model=gpt-4o")).json
    assert exact["exact"] and exact["tokenizer"] == "o200k_base" and exact["model"] == "gpt-4o"


@pytest.mark.parametrize(
    ("body", "param"),
    [({"through": 0}, "through"), ({"through": -1}, "through"), ({"through": "2"}, "through"),
     ({"through": 1.5}, "through"), ({"through": 99}, "through"), ({"through": 10**30}, "through"),
     ({"turns": 1}, "turns"), ([], None), ("x", None)],
)  # fmt: skip
async def test_it_refuses_odd_bodies(site, body, param):
    answer = await site.alice.post(f"/api/sessions/{await talk(site)}/layers", body)
    assert answer.status == 400 and answer.json["error"]["code"] == "invalid_request", answer.json
    if param == "through":
        assert answer.json["error"]["param"] == "through"


async def test_it_refuses_what_is_not_there(site):
    session = await talk(site, 1)
    assert (await site.alice.post(f"/api/sessions/{session}/layers", {})).status == 400
    for name in ("nope", "%00", "x" * 500, "%2e%2e"):
        missing = await site.alice.request("DELETE", f"/api/sessions/{session}/layers/{name}")
        assert missing.status == 404, name
    unknown = await site.alice.get(f"/api/sessions/{session}/window?model=missing")
    assert unknown.status == 404 and unknown.json["error"]["code"] == "model_not_found"
    long = await site.alice.get(f"/api/sessions/{session}/window?model={'m' * 300}")
    assert long.status == 400 and long.json["error"]["param"] == "model"
    site.behind.router.settings = {"context_window": 1}
    assert (await site.alice.get(f"/api/sessions/{session}/window")).status == 200
    await site.alice.request("PATCH", f"/api/sessions/{session}", {"user_profile": {"name": "Ada"}})
    small = await site.alice.get(f"/api/sessions/{session}/window")
    assert small.status == 400 and small.json["error"]["code"] == "context_length_exceeded"


async def test_charlie_sees_and_does_nothing(site):
    session, charlie = await talk(site), site.client(CHARLIE.key)
    made = (await site.alice.post(f"/api/sessions/{session}/layers", {"through": 1})).json
    for answer in (
        await charlie.get(f"/api/sessions/{session}/window"),
        await charlie.get(f"/api/sessions/{session}/layers"),
        await charlie.post(f"/api/sessions/{session}/layers", {}),
        await charlie.request("DELETE", f"/api/sessions/{session}/layers/{made['id']}"),
    ):
        assert answer.status == 404 and answer.json["error"]["code"] == "session_not_found"
    assert (await site.alice.get(f"/api/sessions/{session}/layers")).json["layers"] == [made]


async def test_a_key_names_whose_session_it_is(site):
    session = await talk(site, user="u-1")
    assert (await site.alice.get(f"/api/sessions/{session}/layers?user=u-2")).status == 404
    made = await site.alice.post(f"/api/sessions/{session}/layers?user=u-1", {"through": 1})
    assert made.status == 201
    summary = next(each for each in site.behind.journal.intents if each.edge == "summary")
    asked = site.behind.journal.intents[0]
    assert summary.user == asked.user != ALICE.key_principal.user


async def test_counting_a_session_counts_against_the_limits(site, monkeypatch):
    session = await talk(site)

    async def refuse(*_):
        raise RateLimited

    monkeypatch.setattr(site.parts.engine.limiter, "admit", refuse)
    assert (await site.alice.get(f"/api/sessions/{session}/window")).status == 429
    assert (await site.alice.get(f"/api/sessions/{session}/layers")).status == 200
