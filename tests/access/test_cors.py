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


# What a careless comparison lets through: beginnings, ends, other schemes and ports, several, users, dots, case.
TRICKS = [
    "https://acme.example.evil.example", "https://evil-acme.example", "https://evil.example/acme.example",
    "https://sub.acme.example", "https://acme.example.", "https://acme.example:443.evil.example",
    "http://acme.example", "https://acme.example:8443", "https://acme.example/", "https://acme.example?",
    "https://acme.example#", "https://acme.example@evil.example", "https://user@acme.example", "https://acme.example,",
    "https://acme.example https://evil.example", "https://acme.example\x00.evil.example", "https://acme.example%00",
    "HTTPS://ACME.EXAMPLE", "https://acmeXexample", "https://acme_example", "null", "file://", "*", "https://*",
    "https://xn--acme.example", "https://[::1]", "wss://acme.example", "chrome-extension://acme.example",
]  # fmt: skip


@pytest.mark.parametrize("origin", TRICKS)
async def test_no_origin_that_only_looks_like_one_is_let_in(site, origin):
    cookie = {"cookie": "sessionid=x; __Host-sessionid=x"}
    asked = await from_page(site, origin, **ASKS, **cookie).request("OPTIONS", "/api/chat")
    assert (asked.status, said(asked)) == (403, {})
    for key in (ALICE.key, "cb_nobody", None):
        for path in ("/api/chat", "/v1/models", "/api/nothing"):
            answer = await from_page(site, origin, key, **cookie).request("GET", path)
            assert said(answer) == {}, path
            assert "Origin" in answer.headers["vary"]


async def test_no_cookie_is_a_credential_and_no_answer_allows_any(site):
    """So that whatever a page may ask for, it asks in the name of a key it has itself."""
    for path in ("/api/chat", "/api/sessions", "/v1/models", "/v1/chat/completions"):
        asked = await from_page(site, ACMES, **ASKS).request("OPTIONS", path)
        answer = await from_page(site, ACMES, cookie="sessionid=x").request("GET", path)
        assert answer.status in (401, 405)
        for each in (asked, answer):
            assert each.headers["access-control-allow-origin"] == ACMES
            assert "access-control-allow-credentials" not in each.headers
            assert "Origin" in each.headers["vary"]


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
