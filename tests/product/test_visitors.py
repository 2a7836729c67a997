"""Visitors of a tenant's chat on the running product: what they may, what not, and how they lose it."""

import json
from dataclasses import dataclass
from urllib.parse import quote

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from access.urls import ROUTES
from tests.adapters.upstream import Upstream, by_stream, chunk, streamed, whole
from tests.product.running import Product, events_of, until

PAGE, OTHERS, EVIL = "https://www.acme.example", "https://www.globex.example", "https://evil.example"
SITE = (
    "from tenants.models import ChatSite\n"
    "site, _ = ChatSite.objects.everywhere().get_or_create(tenant=Tenant.objects.get(slug='{slug}'))\n"
    "for name, given in {fields!r}.items(): setattr(site, name, given)\n"
    "site.full_clean()\n"
    "site.save()"
)
OPEN_TO_VISITORS = {
    ("get", "/api/sessions"),
    *((method, "/api/sessions/{session_id}") for method in ("get", "patch", "delete")),
    *((method, "/api/sessions/{session_id}/snapshots") for method in ("get", "post")),
    *((method, "/api/sessions/{session_id}/snapshots/{snapshot}") for method in ("get", "patch")),
    ("get", "/api/sessions/{session_id}/versions"),
    ("get", "/api/sessions/{session_id}/versions/{version}"),
    ("get", "/api/sessions/{session_id}/diff"),
    ("post", "/api/sessions/{session_id}/restore"),
    ("post", "/api/sessions/{session_id}/branch"),
    ("get", "/api/turns/{turn_id}"),
    ("get", "/api/turns/{turn_id}/events"),
    ("post", "/api/turns/{turn_id}/cancel"),
    ("post", "/api/chat"),
    ("post", "/api/ws-ticket"),
    ("post", "/api/visitors"),
    ("get", "/api/chat-site"),
}


def set_site(gateway: Product, slug: str, **fields) -> None:
    gateway.operate(SITE.format(slug=slug, fields=fields))


def come(gateway: Product, slug: str = "acme", origin: str | None = None, **body) -> httpx2.Response:
    with gateway.http("") as client:
        return client.post("/api/visitors", json={"tenant": slug, **body}, headers={"Origin": origin} if origin else {})


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def everywhere(gateway: Product, true, what: str) -> None:
    """At every worker: six connections of their own reach both."""
    until(lambda: all(true() for _ in range(6)), what)


@dataclass
class Cast:
    ann: str  # visitors of acme
    bea: str
    visitor: str  # Ann's id
    charlie: str  # a visitor of globex
    manager: str  # a key of acme's
    auditor: str
    session: str  # Ann's
    turn: str


@pytest.fixture(scope="module")
def cast(gateway: Product):
    for slug in ("acme", "globex"):
        there = f"Tenant.objects.filter(slug='{slug}').exists()"
        gateway.operate(f"_ = {there} or services.create_tenant(slug='{slug}', name='{slug}')")
        limits = {"visitor_requests_per_minute": 6000, "address_requests_per_minute": 6000}
        set_site(gateway, slug, visitors="anyone", origins=[PAGE if slug == "acme" else OTHERS], **limits)
    keys = [
        gateway.operate(
            f"value = services.create_api_key(tenant=Tenant.objects.get(slug='acme'), name='v', scopes=['{scope}'])[1]"
        )
        for scope in ("manage", "audit")
    ]
    for slug in ("acme", "globex"):
        everywhere(gateway, lambda slug=slug: come(gateway, slug).status_code == 201, "visitors are taken")
    first = come(gateway).json()
    ann, bea, charlie = first["token"], come(gateway).json()["token"], come(gateway, "globex").json()["token"]
    answer = gateway.ask("Ann's secret.", key=ann).json()
    return Cast(ann, bea, first["visitor"], charlie, *keys, answer["session_id"], answer["id"])


@pytest.fixture
def acme(gateway: Product, cast: Cast):
    """Puts back what a test changes of acme's chat."""
    yield
    set_site(gateway, "acme", visitors="anyone", visitor_models=[], visitor_requests_per_minute=6000,
             address_requests_per_minute=6000)  # fmt: skip
    everywhere(gateway, lambda: gateway.ask(key=cast.ann).status_code == 200, "visitors are taken again")


def filled(path: str, cast: Cast) -> str:
    names = {"session_id": cast.session, "turn_id": cast.turn, "snapshot": "0" * 32, "version": "1", "layer_id": "1"}
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{list_id}", "1").replace("{rule_id}", "1").replace("{job_id}", "1")


CALLS = sorted((method, path) for path, view in ROUTES.items() for method in view.http_method_names)


@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if call not in OPEN_TO_VISITORS])
def test_it_refuses_visitors_everything_else(gateway: Product, upstream, cast: Cast, method: str, path: str):
    with gateway.http(cast.ann) as client:
        answer = client.request(method.upper(), filled(path, cast), content=b"{}")
    assert code(answer) == (403, "forbidden")


def test_it_names_only_routes_that_are_there():
    assert OPEN_TO_VISITORS <= set(CALLS)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": "Hello"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
    ],
)
def test_it_keeps_visitors_off_the_wire_formats(gateway: Product, upstream, cast: Cast, path: str, body: dict):
    with gateway.http(cast.ann) as client:
        assert code(client.post(path, json=body)) == (403, "forbidden")


def test_a_visitor_talks_and_comes_back_to_it(gateway: Product, upstream, cast: Cast):
    with gateway.http(cast.ann) as client:
        assert cast.session in client.get("/api/sessions").text
        assert client.get(f"/api/sessions/{cast.session}").json()["session_id"] == cast.session
        more = client.post("/api/chat", json={"message": "More.", "session_id": cast.session}).json()
        assert client.get(f"/api/turns/{more['id']}").json()["state"] == "completed"
        assert client.patch(f"/api/sessions/{cast.session}", json={"name": "Mine"}).status_code == 200
        branch = client.post(f"/api/sessions/{cast.session}/branch", json={})
        assert branch.status_code == 201
        assert client.delete(f"/api/sessions/{branch.json()['session_id']}").status_code == 204
    again = come(gateway, previous=cast.ann).json()
    assert again["visitor"] == cast.visitor
    with gateway.http(again["token"]) as client:
        assert client.get(f"/api/sessions/{cast.session}").json()["name"] == "Mine"


def test_a_visitor_hears_a_stream(gateway: Product, upstream, cast: Cast):
    with gateway.http(cast.ann) as client:
        heard = events_of(client.post("/api/chat", json={"message": "Hello", "stream": True}).text)
    kinds = [kind for _, kind, _ in heard]
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("start", "done", {"delta"})


def test_a_visitor_is_not_told_how_a_model_was_chosen(gateway: Product, upstream, cast: Cast):
    def turn(key: str) -> dict:
        with gateway.http(key) as client:
            return client.get(f"/api/turns/{cast.turn}").json()

    theirs, whole_record = turn(cast.ann), turn(cast.auditor)
    assert whole_record["decision"]["candidates"] and whole_record["intent"]["instance"]
    assert theirs["decision"] == theirs["intent"]["decision"] == theirs["completion"]["decision"]
    assert set(theirs["decision"]) == {"model"}
    assert not theirs["intent"].get("instance") and not theirs["completion"].get("instance")
    assert theirs["intent"]["messages"] == whole_record["intent"]["messages"]


@pytest.mark.parametrize("who", ["bea", "charlie"])
def test_others_see_nothing_of_a_visitors(gateway: Product, upstream, cast: Cast, who: str):
    """Neither another visitor of the tenant nor one of another tenant."""
    with gateway.http(getattr(cast, who)) as client:
        for method, path in sorted(OPEN_TO_VISITORS):
            if "{" in path:
                named = method == "patch" or path.endswith("snapshots")
                body = {"name": "mine now"} if named else {"version": 1}
                query = "?from=1" if path.endswith("diff") else ""
                answer = client.request(method.upper(), filled(path, cast) + query, json=body)
                assert answer.status_code == 404, (method, path)
        assert client.post("/api/chat", json={"message": "Hi", "session_id": cast.session}).status_code == 404
        assert cast.session not in client.get("/api/sessions").text
    with gateway.http(cast.ann) as client:
        assert client.get(f"/api/sessions/{cast.session}").status_code == 200


def test_a_visitor_reaches_nothing_of_members_and_keys(gateway: Product, upstream, cast: Cast):
    key = gateway.operate("value = services.create_api_key(tenant=Tenant.objects.get(slug='acme'), name='k')[1]")
    until(lambda: gateway.ask(key=key).status_code == 200, "the key works")
    theirs = gateway.ask("A key's secret.", key=key, user=f"visitor:{cast.visitor}").json()
    with gateway.http(cast.ann) as client:
        assert client.get(f"/api/sessions/{theirs['session_id']}").status_code == 404
        assert client.get(f"/api/sessions/{theirs['session_id']}?user={quote(key)}").status_code == 404
        assert client.get(f"/api/turns/{theirs['id']}").status_code == 404
    with gateway.http(key) as client:
        for user in ("", f"?user=visitor:{cast.visitor}"):
            assert client.get(f"/api/sessions/{cast.session}{user}").status_code == 404


def test_the_journal_names_the_visitor_who_can_be_erased(gateway: Product, upstream, cast: Cast):
    ticket = come(gateway).json()
    turn, user = gateway.ask("Forget me.", key=ticket["token"]).json()["id"], f"visitor:{ticket['visitor']}"
    with gateway.http(cast.auditor) as client:
        record = client.get(f"/api/audit/{turn}").json()
        assert (record["intent"]["user"], record["intent"]["subject"]) == (user, user)
        assert turn in client.get("/api/audit", params={"user": user}).text
    with gateway.http(cast.manager) as client:
        job = client.post("/api/erasures", json={"user": user})
        assert job.status_code == 202
        until(lambda: client.get(f"/api/jobs/{job.json()['id']}").json()["state"] == "done", "they are erased")
    with gateway.http(cast.auditor) as client:
        until(lambda: client.get(f"/api/audit/{turn}").json()["erased"], "the record is erased")


def test_a_visitor_names_the_models_they_are_offered(gateway: Product, upstream, cast: Cast, acme):
    def models() -> list[str]:
        with gateway.http(cast.ann) as client:
            return [model["id"] for model in client.get("/v1/models").json()["data"]]

    assert models() == ["auto"]
    assert code(gateway.ask(key=cast.ann, model="scripted")) == (404, "model_not_found")
    set_site(gateway, "acme", visitor_models=["scripted", "not-there"])
    everywhere(gateway, lambda: models() == ["auto", "scripted"], "the model is offered")
    assert gateway.ask(key=cast.ann, model="scripted").json()["model"] == "scripted"


def test_too_many_requests_wait(gateway: Product, upstream, cast: Cast, acme):
    set_site(gateway, "acme", visitor_requests_per_minute=2)
    dora = come(gateway).json()["token"]
    until(lambda: gateway.ask(key=dora).status_code == 429, "the limit counts")
    refused = gateway.ask(key=dora)
    assert code(refused) == (429, "rate_limited") and 1 <= int(refused.headers["retry-after"]) <= 60
    assert gateway.ask(key=come(gateway).json()["token"]).status_code == 200
    set_site(gateway, "acme", address_requests_per_minute=2)
    until(lambda: come(gateway).status_code == 429, "tickets are limited by address")
    assert int(come(gateway).headers["retry-after"]) >= 1


def test_pages_of_other_origins_are_refused(gateway: Product, upstream, cast: Cast):
    assert come(gateway, origin=PAGE).status_code == come(gateway, origin=gateway.url).status_code == 201
    for origin in (OTHERS, EVIL, "null"):
        assert code(come(gateway, origin=origin)) == (403, "origin_not_allowed")
    with gateway.http(cast.ann) as client:
        good = client.post("/api/chat", json={"message": "Hi"}, headers={"Origin": PAGE})
        assert (good.status_code, good.headers["access-control-allow-origin"]) == (200, PAGE)
        for origin in (OTHERS, EVIL):
            bad = client.post("/api/chat", json={"message": "Hi"}, headers={"Origin": origin})
            assert code(bad) == (403, "origin_not_allowed")
            assert ("access-control-allow-origin" in bad.headers) == (origin == OTHERS)  # a known page may read why
        preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        for path in ("/api/chat", "/api/token/", "/v1/models"):
            told = client.options(path, headers={"Origin": PAGE, **preflight})
            assert (told.status_code, told.headers["access-control-allow-headers"]) == (204, "authorization")
            assert client.options(path, headers={"Origin": EVIL, **preflight}).status_code == 403


def socket(gateway: Product, token: str, origin: str | None = None):
    headers = {"Origin": origin} if origin else {}
    return connect(
        f"ws{gateway.url[4:]}/ws/chat", subprotocols=["bearer", token], additional_headers=headers, proxy=None
    )


async def test_a_visitor_talks_on_a_socket(gateway: Product, upstream, cast: Cast):
    for origin in (None, PAGE, gateway.url):
        async with socket(gateway, cast.ann, origin) as connection:
            await connection.send(json.dumps({"type": "chat", "message": "Hello", "ref": 1}))
            said = [json.loads(await connection.recv())]
            while said[-1]["type"] not in ("done", "error"):
                said.append(json.loads(await connection.recv()))
            assert said[-1]["type"] == "done"
    for origin in (OTHERS, EVIL, "null"):
        with pytest.raises(InvalidStatus) as refused:
            await socket(gateway, cast.ann, origin)
        assert refused.value.response.status_code == 403


async def test_a_one_time_ticket_is_bound_to_pages_too(gateway: Product, upstream, cast: Cast):
    def address() -> str:
        with gateway.http(cast.ann) as client:
            ticket = client.post("/api/ws-ticket").json()["ticket"]
        return f"ws{gateway.url[4:]}/ws/chat?ticket={ticket}"

    async with connect(address(), additional_headers={"Origin": PAGE}, proxy=None) as connection:
        await connection.send(json.dumps({"type": "ping"}))
        assert json.loads(await connection.recv())["type"] == "pong"
    with pytest.raises(InvalidStatus):
        await connect(address(), additional_headers={"Origin": EVIL}, proxy=None)


LONG = {"message": "Hello", "stream": True, "model": "scripted"}  # the tenant may have others


async def test_whom_the_tenant_takes_no_more_is_cut_off(gateway: Product, upstream: Upstream, cast: Cast, acme):
    """Tickets, running answers and sockets; who was vouched for stays until nobody is taken."""
    with gateway.http(cast.manager) as client:
        signed = client.post("/api/visitor-tickets", json={"visitor": "signed-in"}).json()["token"]
    words = streamed([chunk({"role": "assistant", "content": "word "})] * 600, 0.05)
    upstream.answers(whole("whole"), words, choose=by_stream)
    set_site(gateway, "acme", visitor_models=["scripted"])
    everywhere(gateway, lambda: gateway.ask(key=cast.bea, model="scripted").status_code == 200, "it may be named")
    async with socket(gateway, cast.ann) as anns, socket(gateway, signed) as theirs:
        with gateway.http(cast.bea) as client:
            with client.stream("POST", "/api/chat", json=LONG) as running:
                lines = running.iter_lines()
                assert next(line for line in lines if line.startswith("event: delta"))
                set_site(gateway, "acme", visitors="signed")
                heard = "\n".join(lines)
        assert '"code":"cancelled"' in heard and heard.count("event: delta") < 400
        with pytest.raises(ConnectionClosed) as closed:
            await anns.recv()
        assert closed.value.rcvd.code == 4401
        everywhere(gateway, lambda: code(gateway.ask(key=cast.ann)) == (401, "unauthenticated"), "her ticket has ended")
        assert code(come(gateway, previous=cast.ann)) == (403, "visitors_off")
        assert gateway.ask(key=signed).status_code == 200
        set_site(gateway, "acme", visitors="off")
        with pytest.raises(ConnectionClosed) as closed:
            await theirs.recv()
        assert closed.value.rcvd.code == 4401
    everywhere(gateway, lambda: gateway.ask(key=signed).status_code == 401, "nobody is taken")


def test_an_unknown_tenant_is_told_nothing_of(gateway: Product, cast: Cast):
    answer = come(gateway, "never-heard-of-it")
    assert code(answer) == (403, "visitors_off")
    with gateway.http("") as client:
        site = client.get("/api/chat-site", params={"tenant": "never-heard-of-it"}).json()
        assert (site["name"], site["visitors"]) == ("Clawdbot", False)
        page = client.get("/chat/embed/", params={"tenant": "acme"})
        assert f"frame-ancestors 'self' {PAGE}" in page.headers["content-security-policy"]
        assert "set-cookie" not in page.headers
