"""`POST /api/route/explain` asks the router as the next turn would."""

from __future__ import annotations

import pytest

from engine.types import Answerer, Message
from tests.access.parts import Site, build
from tests.cast import CHARLIE
from tests.engine.parts import Kept, MemorySessions

PATH = "/api/route/explain"


@pytest.fixture
def site() -> Site:
    """With a session that has been answered once."""
    sessions = MemorySessions()
    before = [Message("user", "Hi"), Message("assistant", "Hello")]
    sessions.kept["s1"] = Kept("s1", history=before, answerer=Answerer("scripted", 7))
    return build(sessions=sessions)


async def test_it_takes_the_session_into_account_and_leaves_it_as_it_is(site):
    explained = (await site.alice.post(PATH, {"message": "And now?", "session_id": "s1"})).json
    assert (explained["features"]["said"], explained["session"]) == (["Hi", "Hello", "And now?"], "scripted")
    new = (await site.alice.post(PATH, {"message": "Hi"})).json
    assert (new["features"]["said"], new["session"]) == (["Hi"], None)
    assert (len(site.behind.sessions.kept["s1"].history), list(site.behind.sessions.kept)) == (2, ["s1"])
    assert site.behind.sessions.closed == len(site.behind.sessions.opened) == 2
    assert (site.behind.limiter.open, site.behind.journal.entries) == (0, [])


async def test_it_refuses_a_session_that_is_not_the_callers(site):
    for key in (site.alice, site.client(CHARLIE.key)):
        refused = await key.post(PATH, {"message": "Hi", "session_id": "nobodys"})
        assert (refused.status, refused.json["error"]["code"]) == (404, "session_not_found")


async def test_it_shows_the_router_what_the_guard_lets_through(site):
    site.behind.guard.masks = {"4111": "****"}
    site.behind.guard.words = ["bomb"]
    assert (await site.alice.post(PATH, {"message": "4111"})).json["features"]["said"] == ["****"]
    assert (await site.alice.post(PATH, {"message": "bomb"})).json["error"]["code"] == "content_blocked"


async def test_it_takes_for_found_what_plugins_would_find(site):
    asked = {"message": "Hi", "features": {"language": "zh", "intent": "refund"}}
    found = (await site.alice.post(PATH, asked)).json["features"]
    assert (found["language"], found["intent"]) == ("zh", "refund")
    assert set((await site.alice.post(PATH, {"message": "Hi"})).json["features"]) == {"said"}
    for features, param in (({"intent": 5}, "features.intent"), ({"mood": "good"}, "features.mood"), ([], "features")):
        refused = await site.alice.post(PATH, {"message": "Hi", "features": features})
        assert (refused.status, refused.json["error"]["param"]) == (400, param)
