"""Cross-origin requests through the whole gateway."""

import pytest

from engine.snapshots import Cell
from tenants.directory import SiteView, TenantTable
from tests.access.asgi_client import Client
from tests.access.parts import build
from tests.cast import ACME, ALICE, CHARLIE, GLOBEX
from tests.engine.parts import ScriptedModel

OURS, EVIL = "https://here.example", "https://evil.example"
ACMES, GLOBEXS = "https://acme.example", "https://globex.example"
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-stainless-os"}
PREFIX = "access-control-"


@pytest.fixture
def site():
    allowing = [(ACME, ACMES), (GLOBEX, GLOBEXS)]
    views = [company.view(site=SiteView(origins=frozenset({origin}))) for company, origin in allowing]
    table = TenantTable({view.id: view for view in views}, {}, frozenset({ACMES, GLOBEXS}))
    return build(ScriptedModel(["Hello"]), tenants=Cell(table))


def from_page(site, origin, key=None, **headers):
    named = {"host": "here.example", **({"origin": origin} if origin is not None else {}), **headers}
    return Client(site.app, {**named, **({"authorization": f"Bearer {key}"} if key else {})})


def said(answer):
    return {name: value for name, value in answer.headers.items() if name.startswith(PREFIX)}


@pytest.mark.parametrize("path", ["/api/chat", "/api/sessions/", "/v1/models", "/api/token/", "/api/nothing"])
async def test_it_answers_a_preflight_of_whatever_anybody_allows(site, path):
    for origin in (ACMES, GLOBEXS):
        answer = await from_page(site, origin, **ASKS).request("OPTIONS", path)
        assert (answer.status, answer.body) == (204, b"")
        assert said(answer) == {
            "access-control-allow-origin": origin,
            "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
            "access-control-allow-headers": "authorization,x-stainless-os",
            "access-control-max-age": "600",
        }
        assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("origin", [EVIL, "null", "*", "", "https://acme.example:8443"])
async def test_it_refuses_a_preflight_of_any_other_page(site, origin):
    answer = await from_page(site, origin, **ASKS).request("OPTIONS", "/api/chat")
    assert (answer.status, answer.json["error"]["code"], said(answer)) == (403, "origin_not_allowed", {})
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("names", ["a\nb", "x" * 1001, "a:b", ""])
async def test_it_repeats_no_nonsense(site, names):
    asks = {**ASKS, "access-control-request-headers": names}
    answer = await from_page(site, ACMES, **asks).request("OPTIONS", "/api/chat")
    assert answer.headers["access-control-allow-headers"] == "Authorization, Content-Type"


async def test_an_answer_is_readable_for_pages_of_the_callers_own_tenant(site):
    for path, method, body in (
        ("/api/chat", "POST", {"message": "Hi"}),
        ("/v1/models", "GET", None),
        ("/v1/chat/completions", "POST", {"messages": [{"role": "user", "content": "Hi"}], "stream": True}),
        ("/api/turns/0", "GET", None),
    ):
        answer = await from_page(site, ACMES, ALICE.key).request(method, path, body)
        assert answer.headers["access-control-allow-origin"] == ACMES, path
        assert "X-Clawdbot-Decision" in answer.headers["access-control-expose-headers"]
        assert "Origin" in answer.headers["vary"]
        other = await from_page(site, ACMES, CHARLIE.key).request(method, path, body)
        assert said(other) == {}, path
        assert "access-control-allow-credentials" not in answer.headers


async def test_an_error_without_a_known_caller_is_readable_for_pages_anybody_allows(site):
    for origin, readable in ((ACMES, True), (GLOBEXS, True), (EVIL, False)):
        answer = await from_page(site, origin, "cb_nobody").post("/api/chat", {"message": "Hi"})
        assert answer.status == 401
        assert ("access-control-allow-origin" in said(answer)) == readable


async def test_it_says_nothing_where_no_other_page_asks(site):
    for origin in (None, OURS, "http://here.example:80"):
        answer = await from_page(site, origin, ALICE.key).post("/api/chat", {"message": "Hi"})
        assert (answer.status, said(answer)) == (200, {})
        assert "vary" not in answer.headers
    assert said(await from_page(site, ACMES).get("/livez")) == {}


async def test_anybody_reads_what_a_chat_looks_like_once(site):
    answer = await from_page(site, EVIL).get("/api/chat-site?tenant=acme")
    assert (answer.status, said(answer)) == (200, {"access-control-allow-origin": "*"})


async def test_a_plain_options_request_is_no_preflight(site):
    answer = await from_page(site, ACMES).request("OPTIONS", "/v1/models")
    assert answer.status == 405
