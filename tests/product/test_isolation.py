"""Charlie, of another tenant, and Bob, another user of the same one, see and touch nothing of Alice's. Over HTTP, on
every route: a route without a row here fails. `manage.py selftest isolation` attacks the same doors, found by itself
(`test_isolation_selftest.py`); these rows go with a turn that runs, two workers and words that tell whose they are."""

import json

import pytest
from django.urls import get_resolver

from access.edges import messages, openai, responses
from access.urls import ROUTES
from tests.adapters.upstream import Upstream, by_stream, chunk, streamed, whole
from tests.product.isolation.people import Cast, call, cast, connection_call, names
from tests.product.isolation.rows import (
    ANSWERED,
    ANYBODYS,
    AUDITED,
    BODY,
    MANAGED,
    NAMELESS,
    OPERATORS,
    OUTSIDE,
    OWNED,
    SOMETIMES,
    VISITING,
)
from tests.product.running import Product, until

__all__ = ["cast"]


def test_every_route_has_a_row():
    wire = {openai.COMPLETIONS, openai.EMBEDDINGS, openai.MODELS, openai.MODEL, *responses.PATHS}
    wire |= {messages.MESSAGES, messages.COUNT}
    assert set(ROUTES) | wire == {*OWNED, *ANYBODYS, *MANAGED, *AUDITED, *VISITING, *OPERATORS}
    assert {template for template in ROUTES if "{" in template} <= {*OWNED, *MANAGED, *OPERATORS}
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
    calls = [
        row for rows in (*OWNED.values(), *MANAGED.values(), *AUDITED.values(), *OPERATORS.values()) for row in rows
    ]
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
            named = "{" in template and (method, template) != ("GET", "/api/plugins/{plugin}")  # one may look at any
            expected = 404 if named else {"GET": 200, "PATCH": 200, "POST": 202, "DELETE": 204}[method]
            assert answer.status_code == (200 if template == "/api/words/test" else expected), (method, path)
            assert not any(word in answer.text for word in ("secret list", "acme-only", "id_fr"))
            assert template == "/api/words/test" or "secret" not in answer.text
    for method, path, body in (row for rows in MANAGED.values() for row in rows if row[0] == "GET"):
        answer = call(gateway, cast.manager, method, path, body, **names(cast))
        shown = "secret" in answer.text or "id_fr" in answer.text
        assert (answer.status_code, shown) == (200, shown if path in SOMETIMES else path not in NAMELESS), path


def test_it_lets_no_tenant_be_an_operator(gateway: Product, upstream, cast: Cast):
    assert OPERATORS
    for method, path, body in (row for rows in OPERATORS.values() for row in rows):
        for key in (cast.alice, cast.barbara, cast.manager, cast.auditor, cast.rival):
            answer = call(gateway, key, method, path, body, **names(cast))
            assert answer.status_code == 403 and "acme" not in answer.text.lower(), (method, path)


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
        until(lambda: client.get(path).json()["state"] == "done", "the job is done")
        return client.get(f"{path}/result")


@pytest.mark.parametrize("path", ANYBODYS)
def test_it_answers_whoever_is_known(gateway: Product, upstream, cast: Cast, path):
    method, body = ANYBODYS[path]
    for key in (cast.bob, cast.barbara, cast.charlie):
        answer = call(gateway, key, method, path, body)
        assert answer.status_code in ANSWERED.get(path, (200,))
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
