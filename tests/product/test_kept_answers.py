"""Answers are kept and calls are shared where a tenant wants that, and nowhere else: over HTTP, counted at the model's
service."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.adapters.upstream import Upstream, by_stream, events, streamed, whole
from tests.product.running import Product, chat_on, events_of, until
from tests.product.upstreams import ANSWER

HEADER = "x-clawdbot-cache"
WORDS = [f"word{number} " for number in range(40)]


def unheard() -> str:
    """A question nobody asked before."""
    return f"What is {uuid.uuid4().hex}?"


def choose(gateway: Product, slug: str, **chosen) -> None:
    """What an operator does to a tenant; live in every worker when this returns."""
    fields = {"cache_ttl": None, "cache_sampled": False, "coalesce": False, **chosen}
    gateway.operate(
        f"tenant = Tenant.objects.get(slug='{slug}')\n"
        + "".join(f"tenant.{name} = {value!r}\n" for name, value in fields.items())
        + "tenant.save()"
    )


@pytest.fixture(scope="module")
def keys(gateway: Product) -> dict[str, str]:
    """Keys of two tenants, `keeper` and `other`, with every scope."""
    found = {}
    for slug in ("keeper", "other"):
        found[slug] = gateway.operate(
            f"tenant = services.create_tenant(slug='{slug}', name='{slug}')\n"
            "_, value = services.create_api_key(tenant=tenant, name='e2e', scopes=['chat', 'sessions', 'manage'])"
        )
    until(lambda: {gateway.ask(key=key).status_code for key in found.values() for _ in range(4)} == {200}, "keys work")
    return found


@pytest.fixture(scope="module")
def keeping(gateway: Product, keys) -> dict[str, str]:
    """The same keys, of tenants that keep answers."""
    for slug, key in keys.items():
        choose(gateway, slug, cache_ttl=300)
        with gateway.at_every_worker() as workers:
            for connection in workers:
                until(lambda c=connection, k=key: served(c, k) == "cache", "answers are kept")
    return keys


def served(connection, key: str, text: str = "Is it kept?") -> str:
    """Where the answer came from."""
    status, answer = chat_on(connection, key, message=text, temperature=0)
    assert status == 200, answer
    return answer["route"].get("source", "model")


def ask(gateway: Product, key: str, text: str, headers=None, **fields):
    with gateway.http(key) as client:
        return client.post("/api/chat", json={"message": text, "temperature": 0, **fields}, headers=headers or {})


def test_nothing_is_kept_unless_a_tenant_wants_it(gateway, upstream: Upstream):
    text, before = unheard(), len(upstream.requests)
    answers = [ask(gateway, gateway.key, text) for _ in range(4)]
    assert len(upstream.requests) == before + 4
    assert not any(HEADER in answer.headers or "source" in answer.json()["route"] for answer in answers)


def test_a_repeated_request_is_answered_without_a_model(gateway, upstream: Upstream, keeping):
    text, key, before = unheard(), keeping["keeper"], len(upstream.requests)
    first, second = ask(gateway, key, text), ask(gateway, key, text)
    assert len(upstream.requests) == before + 1
    assert HEADER not in first.headers and second.headers[HEADER] == "hit"
    one, two = first.json(), second.json()
    assert two["message"] == one["message"] and two["usage"] == one["usage"] and two["id"] != one["id"]
    assert two["route"]["source"] == "cache" and "source" not in one["route"]
    with gateway.http(key) as client:
        told = [client.get(f"/api/turns/{answer['id']}").json() for answer in (one, two)]
        assert [record["completion"].get("source", "model") for record in told] == ["model", "cache"]
        assert told[1]["completion"]["attempts"] == 0 and told[1]["state"] == "completed"
        assert told[1]["decision"]["instance"] == "scripted"
        session = client.get(f"/api/sessions/{two['session_id']}").json()
    assert [message["content"] for message in session["context_stack"]] == [text, ANSWER]
    went_on = ask(gateway, key, "And then?", session_id=two["session_id"])
    sent = [message["content"] for message in upstream.requests[-1].json["messages"]]
    assert HEADER not in went_on.headers and sent == [text, ANSWER, "And then?"]


def test_streams_plain_answers_and_the_openai_format_share(gateway, upstream: Upstream, keeping):
    text, key, before = unheard(), keeping["keeper"], len(upstream.requests)
    upstream.answers(whole("never asked"), streamed(events("The scripted", " answer.")), choose=by_stream)
    first = ask(gateway, key, text, stream=True, model="scripted")
    assert HEADER not in first.headers
    again = ask(gateway, key, text, stream=True, model="scripted")
    assert again.headers[HEADER] == "hit"
    names = [name for _, name, _ in events_of(again.text)]
    told = {name: data for _, name, data in events_of(again.text)}
    assert names == ["start", "delta", "done"]
    assert (told["start"]["source"], told["done"]["route"]["source"]) == ("cache", "cache")
    assert told["delta"]["content"] == told["done"]["message"]["content"] == ANSWER
    assert ask(gateway, key, text, model="scripted").headers[HEADER] == "hit"
    with gateway.http(key) as client:
        body = {"model": "scripted", "messages": [{"role": "user", "content": text}], "temperature": 0}
        plain = client.post("/v1/chat/completions", json=body)
        chunks = client.post("/v1/chat/completions", json={**body, "stream": True})
    assert plain.headers[HEADER] == chunks.headers[HEADER] == "hit"
    assert plain.json()["choices"][0]["message"]["content"] == ANSWER and ANSWER in chunks.text
    assert len(upstream.requests) == before + 1


def test_a_caller_can_do_without(gateway, upstream: Upstream, keeping):
    text, key, before = unheard(), keeping["keeper"], len(upstream.requests)
    for _ in range(2):
        assert HEADER not in ask(gateway, key, text, {"Cache-Control": "no-store"}).headers
    assert HEADER not in ask(gateway, key, text).headers  # nothing was kept
    assert HEADER not in ask(gateway, key, text, {"Cache-Control": "max-age=0, NO-STORE"}).headers
    assert len(upstream.requests) == before + 4
    upstream.answers(whole("A newer answer."))
    assert ask(gateway, key, text, {"Cache-Control": "no-cache"}).json()["message"]["content"] == "A newer answer."
    again = ask(gateway, key, text)
    assert (again.headers[HEADER], again.json()["message"]["content"]) == ("hit", "A newer answer.")


def test_what_is_sampled_is_kept_only_where_that_is_wanted(gateway, upstream: Upstream, keeping):
    key, text = keeping["keeper"], unheard()
    for temperature in (0.7, None):
        for _ in range(2):
            assert HEADER not in ask(gateway, key, text, temperature=temperature).headers
    choose(gateway, "keeper", cache_ttl=300, cache_sampled=True)
    try:
        for temperature in (0.7, None):
            fields = {"temperature": temperature}
            kept = lambda: ask(gateway, key, text, **fields).headers.get(HEADER) == "hit"  # noqa: B023, E731
            until(kept, "a sampled answer is kept")
    finally:
        choose(gateway, "keeper", cache_ttl=300)


def test_another_tenant_asks_for_itself(gateway, upstream: Upstream, keeping):
    text, before = unheard(), len(upstream.requests)
    for key in keeping.values():
        assert HEADER not in ask(gateway, key, text).headers
    assert len(upstream.requests) == before + 2
    for key in keeping.values():
        assert ask(gateway, key, text).headers[HEADER] == "hit"


@pytest.mark.parametrize("action", ["mask", "block"])
def test_a_word_that_is_listed_later_counts_for_what_was_kept(gateway, upstream: Upstream, keeping, action):
    text, key, word = unheard(), keeping["keeper"], f"word{uuid.uuid4().hex[:8]}"
    upstream.answers(whole(f"It says {word} here."), streamed(events("x")), choose=by_stream)
    assert word in ask(gateway, key, text).json()["message"]["content"]
    before = len(upstream.requests)
    name = f"later-{action}"
    gateway.operate(
        f"replace_words(tenant=Tenant.objects.get(slug='keeper'), name='{name}', words=['{word}'],"
        f" action='{action}', direction='output')"
    )
    try:
        with gateway.at_every_worker() as workers:
            for connection in workers:
                told = lambda c=connection: chat_on(c, key, message=text, temperature=0)[1]  # noqa: E731
                until(lambda told=told: word not in told()["message"]["content"], "the word counts")
        last = ask(gateway, key, text)
        assert last.headers[HEADER] == "hit" and word not in last.text
        assert last.json()["finish_reason"] == ("content_filter" if action == "block" else "stop")
        assert word not in ask(gateway, key, text, stream=True).text
        assert len(upstream.requests) == before
    finally:
        gateway.operate(f"SensitiveWordList.objects.everywhere().filter(name='{name}').first().delete()")


def test_a_tenant_forgets_what_is_kept_for_it(gateway, upstream: Upstream, keeping):
    text = unheard()
    for key in keeping.values():
        for _ in range(2):
            ask(gateway, key, text)
    with gateway.http(keeping["keeper"]) as client:
        assert client.delete("/api/cache").status_code == 204
        refused = client.delete("/api/cache", headers={"Authorization": f"Bearer {gateway.key}"})
        assert refused.status_code == 403
    assert HEADER not in ask(gateway, keeping["keeper"], text).headers
    assert ask(gateway, keeping["other"], text).headers[HEADER] == "hit"


def test_the_switch_is_live(gateway, upstream: Upstream, keeping):
    """A second is promised; the figure is a benchmark's."""
    key, text = keeping["keeper"], unheard()
    with gateway.at_every_worker() as workers:
        for ttl, source in ((None, "model"), (300, "cache")):
            choose(gateway, "keeper", cache_ttl=ttl)
            for connection in workers:
                until(lambda c=connection, s=source: served(c, key, text) == s, f"the switch is at {ttl}")


def stream_on(connection, key: str, text: str) -> tuple[str | None, list]:
    """The header and the events of one streaming request on a connection that is open already."""
    body = json.dumps({"message": text, "temperature": 0, "stream": True, "model": "scripted"})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/api/chat", body, headers)
    response = connection.getresponse()
    return response.headers.get(HEADER), events_of(response.read().decode())


def test_identical_streams_at_the_same_time_share_one_call(gateway, upstream: Upstream, keeping):
    key, pid = keeping["other"], gateway.workers()[0]
    choose(gateway, "other", coalesce=True)
    try:
        upstream.answers(whole(ANSWER), streamed(events(*WORDS), 0.03), choose=by_stream)
        with ExitStack() as stack, ThreadPoolExecutor(6) as threads:
            connections = [stack.enter_context(gateway.at_worker(pid)) for _ in range(6)]
            until(lambda: served(connections[0], key, unheard()) == served(connections[0], key) == "model", "switched")
            text, before = unheard(), len(upstream.requests)
            told = list(threads.map(lambda connection: stream_on(connection, key, text), connections))
            assert len(upstream.requests) == before + 1
        assert sorted(str(header) for header, _ in told) == ["None", *["shared"] * 5]
        done = [found[-1][2] for _, found in told]
        assert {answer["message"]["content"] for answer in done} == {"".join(WORDS)}
        for _, found in told:
            pieces = [data.get("content", "") for _, name, data in found if name == "delta"]
            assert "".join(pieces) == "".join(WORDS)
        assert len({answer["id"] for answer in done}) == 6
        with gateway.http(key) as client:
            records = [client.get(f"/api/turns/{answer['id']}").json() for answer in done]
        assert {record["state"] for record in records} == {"completed"}
        shared = [record for record in records if record["completion"].get("source") == "shared"]
        (own,) = [record for record in records if record not in shared]
        assert {record["decision"]["shared_with"] for record in shared} == {own["id"]} and len(shared) == 5
        attempts = [record["completion"].get("attempts", 1) for record in (own, *shared)]
        assert attempts == [1, 0, 0, 0, 0, 0]
    finally:
        choose(gateway, "other", cache_ttl=300)
