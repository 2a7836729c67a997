"""Charlie, of another tenant, and Bob, another user of the same one, see and touch nothing of Alice's. Over HTTP, on
every route: a route without a row here fails."""

import json
from dataclasses import dataclass

import pytest
from django.urls import get_resolver

from access.edges import messages, openai, responses
from access.urls import ROUTES
from tests.adapters.upstream import Upstream, by_stream, chunk, streamed, whole
from tests.product.running import Product, until

BODY = {"message": "Hello"}
MESSAGES = {"messages": [{"role": "user", "content": "Hello"}]}

# Routes whose path or body names something of somebody's: method, path, body.
OWNED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/sessions/{session_id}": [
        ("GET", "/api/sessions/{session}", None),
        ("PATCH", "/api/sessions/{session}", {"name": "mine now"}),
        ("DELETE", "/api/sessions/{session}", None),
    ],
    "/api/sessions/{session_id}/layers": [
        ("GET", "/api/sessions/{session}/layers", None),
        ("POST", "/api/sessions/{session}/layers", {"through": 1}),
    ],
    "/api/sessions/{session_id}/layers/{layer_id}": [("DELETE", "/api/sessions/{session}/layers/0", None)],
    "/api/sessions/{session_id}/window": [("GET", "/api/sessions/{session}/window", None)],
    "/api/sessions/{session_id}/snapshots": [
        ("GET", "/api/sessions/{session}/snapshots", None),
        ("POST", "/api/sessions/{session}/snapshots", {"name": "mine now"}),
    ],
    "/api/sessions/{session_id}/snapshots/{snapshot}": [
        ("GET", "/api/sessions/{session}/snapshots/{snapshot}", None),
        ("PATCH", "/api/sessions/{session}/snapshots/{snapshot}", {"name": "mine now"}),
    ],
    "/api/sessions/{session_id}/versions": [("GET", "/api/sessions/{session}/versions", None)],
    "/api/sessions/{session_id}/versions/{version}": [
        ("GET", "/api/sessions/{session}/versions/1", None),
        ("GET", "/api/sessions/{session}/versions/{snapshot}", None),
    ],
    "/api/sessions/{session_id}/diff": [("GET", "/api/sessions/{session}/diff?from=1&to={snapshot}", None)],
    "/api/sessions/{session_id}/restore": [
        ("POST", "/api/sessions/{session}/restore", {"version": 1}),
        ("POST", "/api/sessions/{session}/restore", {"snapshot": "{snapshot}"}),
    ],
    "/api/sessions/{session_id}/branch": [("POST", "/api/sessions/{session}/branch", {"version": 1})],
    "/api/turns/{turn_id}": [("GET", "/api/turns/{turn}", None)],
    "/api/turns/{turn_id}/events": [("GET", "/api/turns/{turn}/events", None)],
    "/api/turns/{turn_id}/cancel": [("POST", "/api/turns/{running}/cancel", None)],
    "/api/audit/{turn_id}": [("GET", "/api/audit/{turn}", None)],
    "/api/chat": [("POST", "/api/chat", {**BODY, "session_id": "{session}"})],
    openai.MODEL: [("GET", "/v1/models/acme-only", None)],
    openai.COMPLETIONS: [("POST", "/v1/chat/completions", {**MESSAGES, "model": "acme-only"})],
    openai.EMBEDDINGS: [("POST", "/v1/embeddings", {"input": "Hello", "model": "acme-only-vectors"})],
    responses.RESPONSES: [
        ("POST", "/v1/responses", {"input": "Hello", "model": "acme-only"}),
        ("POST", "/v1/responses", {"input": "Hello", "previous_response_id": "{response}"}),
        ("POST", "/v1/responses", {"input": "Hello", "previous_response_id": "{response}", "store": False}),
        ("POST", "/v1/responses", {"input": [{"type": "item_reference", "id": "{item}"}]}),
        ("POST", "/v1/responses", {"input": "Hello", "conversation": "{session}"}),
    ],
    responses.INPUT_TOKENS: [
        ("POST", "/v1/responses/input_tokens", {"input": "Hello", "previous_response_id": "{response}"})
    ],
    responses.RESPONSE: [("GET", "/v1/responses/{response}", None), ("DELETE", "/v1/responses/{response}", None)],
    responses.INPUT_ITEMS: [("GET", "/v1/responses/{response}/input_items", None)],
    responses.CANCEL: [("POST", "/v1/responses/{response}/cancel", None)],
    messages.MESSAGES: [("POST", "/v1/messages", {**MESSAGES, "max_tokens": 9, "model": "acme-only"})],
    messages.COUNT: [("POST", "/v1/messages/count_tokens", {**MESSAGES, "model": "acme-only"})],
}
# Routes that show a caller only what is theirs, or nothing of anybody's; all need a credential.
ANYBODYS: dict[str, tuple[str, dict | None]] = {
    "/api/sessions": ("GET", None),
    "/api/audit": ("GET", None),
    "/api/route/explain": ("POST", BODY),
    "/api/route/score": ("POST", {"text": "Hello"}),
    "/api/ws-ticket": ("POST", None),
    openai.MODELS: ("GET", None),
}
# Routes for who manages the tenant: a whole tenant's, so Bob's role counts and not whose it is. Method, path, body.
MANAGED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/rules": [("GET", "/api/rules", None)],
    "/api/rules/{rule_id}": [
        ("GET", "/api/rules/{rule}", None),
        ("PATCH", "/api/rules/{rule}", {"weight": 7}),
        ("PUT", "/api/rules/{rule}", {"model": "scripted"}),
        ("DELETE", "/api/rules/{rule}", None),
    ],
    "/api/route/replay": [("POST", "/api/route/replay", {"rules": []})],
    "/api/jobs": [("GET", "/api/jobs", None)],
    "/api/cache": [("DELETE", "/api/cache", None)],
    "/api/privacy": [
        ("GET", "/api/privacy", None),
        ("PATCH", "/api/privacy", {"recognisers": []}),
    ],
    "/api/erasures": [("GET", "/api/erasures", None), ("POST", "/api/erasures", {"user": "nobody"})],
    "/api/jobs/{job_id}": [("GET", "/api/jobs/{job}", None)],
    "/api/jobs/{job_id}/result": [("GET", "/api/jobs/{job}/result", None)],
    "/api/words": [("GET", "/api/words", None)],
    "/api/words/exceptions": [("GET", "/api/words/exceptions", None)],
    "/api/words/test": [("POST", "/api/words/test", {"text": "a secret word"})],
    "/api/words/{list_id}": [
        ("GET", "/api/words/{words}", None),
        ("PATCH", "/api/words/{words}", {"enabled": False}),
        ("PUT", "/api/words/{words}", {"name": "mine now"}),
        ("DELETE", "/api/words/{words}", None),
    ],
    "/api/words/{list_id}/versions": [("GET", "/api/words/{words}/versions", None)],
    "/api/words/{list_id}/versions/{version}": [("GET", "/api/words/{words}/versions/2", None)],
    "/api/words/{list_id}/diff": [("GET", "/api/words/{words}/diff", None)],
    "/api/words/{list_id}/rollback": [("POST", "/api/words/{words}/rollback", {"version": 1})],
    "/api/words/{list_id}/promote": [("POST", "/api/words/{words}/promote", None)],
    "/api/words/{list_id}/subscription": [
        ("PUT", "/api/words/{words}/subscription", {}),
        ("DELETE", "/api/words/{words}/subscription", None),
    ],
    "/api/words/{list_id}/import": [("POST", "/api/words/{words}/import", None)],
    "/api/words/{list_id}/export": [("GET", "/api/words/{words}/export", None)],
    "/api/words/{list_id}/hits": [("GET", "/api/words/{words}/hits", None)],
}
# Routes for visitors, who have a cast of their own in test_visitors.py.
VISITING = {"/api/visitors", "/api/visitor-tickets", "/api/chat-site"}
# What these say of somebody's names nothing: only that there is one, to who may know.
NAMELESS = {"/api/words/{words}/versions", "/api/words/{words}/hits"}
# Routes for who audits the tenant.
AUDITED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/audit/changes": [("GET", "/api/audit/changes", None)],
    "/api/audit/checkpoints": [("GET", "/api/audit/checkpoints", None)],
    "/api/audit/sessions": [("GET", "/api/audit/sessions", None)],
    "/api/audit/search": [("POST", "/api/audit/search", {"text": "secret"})],
    "/api/audit/exports": [("POST", "/api/audit/exports", {})],
}
# Django's own: what people sign in to or with (tested in test_conversation.py), and the API's description.
OUTSIDE = {"", "^(?:admin)?$", "admin/", "^api/schema/?$", "^api/docs/?$", "^token/?$", "^token/refresh/?$",
           "^chat/?$", "^chat/embed/?$", "^chat/token/?$", "widget.js"}  # fmt: skip
JOB = (
    "from django.core.files.base import ContentFile\n"
    "from django.core.files.storage import default_storage\n"
    "from tenants import jobs\n"
    "value = jobs.queue_job(tenant_id=acme.pk, kind='secret job').pk\n"
    "name = default_storage.save('jobs/x.json', ContentFile(b'[\"secret\"]'))\n"
    "_ = jobs.finish_job(job_id=value, result_name=name)\n"
    "_ = Erasure.objects.create(tenant=acme, subject='0' * 32, requested_by='secret admin')"
)


@dataclass
class Cast:
    alice: str
    bob: str  # another key of her tenant
    barbara: str  # a member of it, signed in
    charlie: str  # a key of another tenant
    revoked: str
    session: str
    snapshot: str  # of that session
    turn: str
    manager: str  # a key of acme with the scope manage
    rival: str  # one of globex
    auditor: str  # a key of acme with the scope audit
    snoop: str  # one of globex
    rule: str
    job: str
    words: str  # a list of acme's
    response: str  # alice's, which is kept
    item: str  # what it put out


@pytest.fixture(scope="module")
def cast(gateway: Product):
    gateway.operate(
        "acme = services.create_tenant(slug='acme', name='Acme', summary_model='scripted')\n"
        "globex = services.create_tenant(slug='globex', name='Globex')\n"
        "key = lambda tenant, name: services.create_api_key(tenant=tenant, name=name)\n"
        "user = User.objects.create_user('barbara', password='correct horse battery')\n"
        "_ = services.add_member(tenant=acme, user=user, role='member')\n"
        "own = ModelInstance(tenant=acme, name='acme-only', adapter='echo')\n"
        "_ = save_instance(instance=own)\n"
        "vectors = ModelInstance(tenant=acme, name='acme-only-vectors', task='embeddings', adapter='echo')\n"
        "_ = save_instance(instance=vectors)\n"
    )
    alice, bob, charlie, revoked = (
        gateway.operate(f"value = key({tenant}, '{name}')[1]")
        for tenant, name in (("acme", "alice"), ("acme", "bob"), ("globex", "charlie"), ("acme", "revoked"))
    )
    until(
        lambda: {gateway.ask(key=key).status_code for key in (alice, bob, charlie, revoked) * 3} == {200}, "keys work"
    )
    gateway.operate("services.revoke_api_key(key=ApiKey.objects.everywhere().get(name='revoked'))")
    until(lambda: {gateway.ask(key=revoked).status_code for _ in range(6)} == {401}, "the key is revoked")
    with gateway.http(key="") as client:
        who = {"username": "barbara", "password": "correct horse battery", "tenant": "acme"}
        barbara = client.post("/api/token/", json=who).json()["access"]
    answer = gateway.ask("Alice's secret.", key=alice).json()
    with gateway.http(alice) as client:
        kept = client.post("/v1/responses", json={"input": "Alice's secret."}).json()
        snapshot = client.post(f"/api/sessions/{answer['session_id']}/snapshots", json={"name": "a secret"}).json()[
            "id"
        ]
    manager, rival = (
        gateway.operate(
            f"value = services.create_api_key(tenant={tenant}, name='{name}', scopes=['chat', 'manage'])[1]"
        )
        for tenant, name in (("acme", "manager"), ("globex", "rival"))
    )
    auditor, snoop = (
        gateway.operate(f"value = services.create_api_key(tenant={tenant}, name='{name}', scopes=['chat', 'audit'])[1]")
        for tenant, name in (("acme", "auditor"), ("globex", "snoop"))
    )
    privileged = (manager, rival, auditor, snoop)
    until(lambda: {gateway.ask(key=key).status_code for key in privileged * 3} == {200}, "the privileged keys work")
    with gateway.http(manager) as client:
        body = {"model": "acme-only", "name": "secret rule", "conditions": ["user == 'nobody'"]}
        rule = client.post("/api/rules", json=body).json()["id"]
        body = {"name": "secret list", "words": ["another word"], "action": "record"}
        words = client.post("/api/words", json=body).json()["id"]
        assert client.patch(f"/api/words/{words}", json={"words": ["a secret word"]}).json()["version"] == 2
        client.put("/api/words/exceptions", json={"words": ["secret exception"]})
        assert client.patch("/api/privacy", json={"recognisers": ["id_fr"]}).status_code == 200
    job = gateway.operate(JOB)
    return Cast(
        alice, bob, barbara, charlie, revoked, answer["session_id"], snapshot, answer["id"], manager, rival, auditor,
        snoop, str(rule), str(job), str(words), kept["id"], kept["output"][0]["id"],
    )  # fmt: skip


def filled(path: str, body: dict | None, names: dict[str, str]) -> tuple[str, str | None]:
    """The path and the JSON with names in place of `{session}` and the like."""
    text = json.dumps(body) if body is not None else None
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
        text = text and text.replace(f"{{{name}}}", value)
    return path, text


def call(gateway: Product, key: str, method: str, path: str, body: dict | None, **names: str):
    path, text = filled(path, body, names)
    with gateway.http(key) as client:
        return client.request(method, path, content=text)


def connection_call(connection, key: str, method: str, path: str, body: dict | None, **names: str) -> tuple[int, str]:
    connection.request(method, *filled(path, body, names), {"Authorization": f"Bearer {key}"})
    response = connection.getresponse()
    return response.status, response.read().decode()


def names(cast: Cast) -> dict[str, str]:
    return {"session": cast.session, "snapshot": cast.snapshot, "turn": cast.turn, "running": cast.turn,
            "rule": cast.rule, "job": cast.job, "words": cast.words, "response": cast.response,
            "item": cast.item}  # fmt: skip


def test_every_route_has_a_row():
    wire = {openai.COMPLETIONS, openai.EMBEDDINGS, openai.MODELS, openai.MODEL, *responses.PATHS}
    wire |= {messages.MESSAGES, messages.COUNT}
    assert set(ROUTES) | wire == {*OWNED, *ANYBODYS, *MANAGED, *AUDITED, *VISITING}
    assert {template for template in ROUTES if "{" in template} <= {*OWNED, *MANAGED}
    found = set()
    for pattern in get_resolver("clawdbot_site.urls").url_patterns:
        route = str(pattern.pattern)
        found |= {str(inner.pattern) for inner in pattern.url_patterns} if route == "api/" else {route}
    assert found <= OUTSIDE


INPUT = ("{response}", "{item}")  # in a body they are input that is wrong, as OpenAI has it
CALLS = [pytest.param(*row, id=f"{row[0]} {row[1]}") for rows in OWNED.values() for row in rows]


@pytest.mark.parametrize("who", ["charlie", "bob", "barbara"])
@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_it_shows_others_nothing(gateway: Product, upstream: Upstream, cast: Cast, who, method, path, body):
    if "acme-only" in str((path, body)) and who != "charlie":
        return  # a tenant's model is all its callers'
    words = streamed([chunk({"role": "assistant", "content": "word "})] * 400, 0.05)
    upstream.answers(whole("whole"), words, choose=by_stream)
    with gateway.at_every_worker() as workers, gateway.http(cast.alice) as alice:
        with alice.stream("POST", "/api/chat", json={**BODY, "stream": True, "model": "scripted"}) as running:
            turn = running.headers["x-clawdbot-decision"]
            theirs = {**names(cast), "running": turn}
            for connection in workers:  # one of them runs the turn
                answer = connection_call(connection, getattr(cast, who), method, path, body, **theirs)
                assert answer[0] == (400 if any(name in str(body) for name in INPUT) else 404)
                assert "secret" not in answer[1]
            lines = running.iter_lines()
            assert [next(line for line in lines if line.startswith("event: delta")) for _ in range(3)]
        assert alice.post(f"/api/turns/{turn}/cancel").status_code == 202  # it would go on without its reader
        assert alice.get(f"/api/sessions/{cast.session}").status_code == 200
        assert "name" not in alice.get(f"/api/sessions/{cast.session}").json()


@pytest.mark.parametrize("who", ["nobody", "revoked"])
def test_it_answers_no_stranger(gateway: Product, upstream, cast: Cast, who):
    key = cast.revoked if who == "revoked" else ""
    calls = [row for rows in (*OWNED.values(), *MANAGED.values(), *AUDITED.values()) for row in rows]
    calls += [(method, path, body) for path, (method, body) in ANYBODYS.items()]
    for method, path, body in calls:
        answer = call(gateway, key, method, path, body, **names(cast))
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_it_shows_what_is_managed_to_its_tenants_managers_only(gateway: Product, upstream, cast: Cast):
    for template, rows in MANAGED.items():
        for method, path, body in rows:
            for key in (cast.bob, cast.barbara):
                assert call(gateway, key, method, path, body, **names(cast)).status_code == 403, (method, path)
            answer = call(gateway, cast.rival, method, path, body, **names(cast))
            expected = 404 if "{" in template else {"GET": 200, "PATCH": 200, "POST": 202, "DELETE": 204}[method]
            assert answer.status_code == (200 if template == "/api/words/test" else expected), (method, path)
            assert not any(word in answer.text for word in ("secret list", "acme-only", "id_fr"))
            assert template == "/api/words/test" or "secret" not in answer.text
    for method, path, body in (row for rows in MANAGED.values() for row in rows if row[0] == "GET"):
        answer = call(gateway, cast.manager, method, path, body, **names(cast))
        shown = "secret" in answer.text or "id_fr" in answer.text
        assert (answer.status_code, shown) == (200, path not in NAMELESS), path


def test_it_shows_the_journal_to_its_tenants_auditors_only(gateway: Product, upstream, cast: Cast):
    for method, path, body in (row for rows in AUDITED.values() for row in rows):
        for key in (cast.bob, cast.barbara, cast.manager):
            assert call(gateway, key, method, path, body).status_code == 403, (method, path)
        answers = [call(gateway, key, method, path, body) for key in (cast.auditor, cast.snoop)]
        if method == "GET":
            assert [answer.status_code for answer in answers] == [200, 200]
            assert "secret" not in answers[1].text
            continue
        found = [
            finished(gateway, key, answer) for key, answer in zip((cast.auditor, cast.snoop), answers, strict=True)
        ]
        assert cast.turn in found[0].text, path
        assert cast.turn not in found[1].text and "Alice" not in found[1].text
    assert cast.turn in call(gateway, cast.auditor, "GET", "/api/audit?limit=200", None).text
    assert call(gateway, cast.auditor, "GET", "/api/audit/{turn}", None, **names(cast)).status_code == 200
    assert cast.turn not in call(gateway, cast.snoop, "GET", "/api/audit?limit=200", None).text
    assert call(gateway, cast.snoop, "GET", "/api/audit/{turn}", None, **names(cast)).status_code == 404


def finished(gateway: Product, key: str, answer):
    """What a job leaves; nobody else of the cast is shown it."""
    assert answer.status_code == 202, answer.text
    path = f"/api/jobs/{answer.json()['id']}"
    with gateway.http(key) as client:
        until(lambda: client.get(path).json()["state"] == "done", "the job is done", 60)
        return client.get(f"{path}/result")


@pytest.mark.parametrize("path", ANYBODYS)
def test_it_answers_whoever_is_known(gateway: Product, upstream, cast: Cast, path):
    method, body = ANYBODYS[path]
    for key in (cast.bob, cast.barbara, cast.charlie):
        answer = call(gateway, key, method, path, body)
        assert answer.status_code == 200
        assert cast.session not in answer.text and cast.turn not in answer.text
        if path != "/api/audit":  # which has Charlie's own turn that asked for the model and was refused
            assert ("acme-only" in answer.text) <= (key != cast.charlie)


def test_its_owner_has_it_all(gateway: Product, upstream: Upstream, cast: Cast):
    """The rows above mean something: with Alice's key they all work."""
    session = gateway.ask("For keeps.", key=cast.alice).json()
    with gateway.http(cast.alice) as client:
        snapshot = client.post(f"/api/sessions/{session['session_id']}/snapshots").json()["id"]
        kept = client.post("/v1/responses", json={"input": "For keeps."}).json()
    turn = {"turn": session["id"], "session": session["session_id"], "snapshot": snapshot, "response": kept["id"],
            "item": kept["output"][0]["id"]}  # fmt: skip
    for template, rows in OWNED.items():
        for method, path, body in rows:
            if "cancel" in path or method == "DELETE":
                continue
            assert call(gateway, cast.alice, method, path, body, **turn).status_code in (200, 201), template
    assert call(gateway, cast.alice, "DELETE", "/api/sessions/{session}", None, **turn).status_code == 204
    assert call(gateway, cast.alice, "GET", "/api/sessions/{session}", None, **turn).status_code == 404


def test_a_name_of_a_session_is_its_owners(gateway: Product, upstream: Upstream, cast: Cast):
    """`X-Session-Id` makes a session of that name; the same name of somebody else's is another session."""
    for who in (cast.alice, cast.bob, cast.barbara, cast.charlie):
        with gateway.http(who) as client:
            body = {"model": "scripted", "messages": [{"role": "user", "content": "Only this."}]}
            assert client.post("/v1/chat/completions", json=body, headers={"X-Session-Id": "same"}).status_code == 200
        assert [message["content"] for message in upstream.requests[-1].json["messages"]] == ["Only this."]


def test_an_owner_cancels_a_running_turn(gateway: Product, upstream: Upstream, cast: Cast):
    words = streamed([chunk({"role": "assistant", "content": "word "})] * 400, 0.05)
    upstream.answers(whole("whole"), words, choose=by_stream)
    with gateway.at_every_worker() as (connection, *_):
        headers = {"Authorization": f"Bearer {cast.alice}"}
        body = json.dumps({**BODY, "stream": True, "model": "scripted"})
        connection.request("POST", "/api/chat", body, {**headers, "Content-Type": "application/json"})
        running = connection.getresponse()
        turn = running.headers["x-clawdbot-decision"]
        with gateway.http(cast.alice) as client:
            assert client.post(f"/api/turns/{turn}/cancel").status_code == 202
        assert b'"code":"cancelled"' in running.read()
