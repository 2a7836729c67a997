"""Word lists of a running product with two workers: whatever of them is saved is live in both, and hits add up."""

import uuid

import httpx2
import pytest

from tests.adapters.upstream import Upstream, by_stream, streamed, whole
from tests.product.running import Product, chat_on, until
from tests.product.test_live_changes import code, everywhere

CHINESE = {"language": "zh-CN"}


@pytest.fixture
def workers(gateway: Product):
    with gateway.at_every_worker() as connections:
        assert len(connections) == 2
        yield connections


@pytest.fixture(scope="module")
def manager(gateway: Product):
    """A client of the demo tenant's manager."""
    key = gateway.operate(
        "row, value = services.create_api_key("
        "tenant=Tenant.objects.get(slug='demo'), name='words', scopes=['chat', 'manage', 'audit'])"
    )
    with gateway.http(key) as client:
        until(lambda: client.get("/api/words").status_code == 200, "the key works")
        client.headers["x-key"] = key
        yield client


@pytest.fixture
def word():
    return f"zorb{uuid.uuid4().hex[:8].translate(str.maketrans('0123456789', 'ghijklmnop'))}"


def made(client: httpx2.Client, answer: httpx2.Response) -> dict:
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def asked(upstream: Upstream) -> str:
    return upstream.requests[-1].json["messages"][-1]["content"]


def test_stages_switches_and_roll_backs_are_live(gateway, upstream: Upstream, workers, manager, word):
    upstream.answers(whole("Fine."), streamed([]), choose=by_stream)
    key, text = manager.headers["x-key"], f"About {word}."
    body = {"name": word, "words": [word], "action": "record"}
    path = f"/api/words/{made(manager, manager.post('/api/words', json=body))['id']}"
    found = lambda list_action: lambda status, answer: list_action in verdicts(manager, answer)  # noqa: E731
    everywhere(workers, key, found((word, "record")), "it is recorded", message=text)
    assert asked(upstream) == text
    made(manager, manager.post(f"{path}/promote"))
    everywhere(workers, key, found((word, "mask")), "it is masked", message=text)
    assert asked(upstream) == f"About {'*' * len(word)}."
    made(manager, manager.post(f"{path}/promote"))
    blocked = lambda status, answer: (status, code(answer)) == (400, "content_blocked")  # noqa: E731
    everywhere(workers, key, blocked, "it is blocked", message=text)
    assert chat_on(workers[0], key, message=text, **CHINESE)[1]["error"]["message"] == "请求包含不允许的内容。"
    made(manager, manager.post(f"{path}/rollback", json={"version": 1}))
    everywhere(workers, key, found((word, "record")), "it is recorded again", message=text)
    spaced = f"About {' '.join(word)}."
    everywhere(workers, key, found((word, "record")), "spaces are seen through", message=spaced)
    made(manager, manager.patch(path, json={"switches": []}))
    everywhere(workers, key, lambda _, answer: verdicts(manager, answer) == [], "no longer", message=spaced)
    assert manager.delete(path).status_code == 204
    everywhere(workers, key, lambda _, answer: verdicts(manager, answer) == [], "the list is gone", message=text)


def test_subscriptions_and_exceptions_are_live(gateway, upstream: Upstream, workers, manager, word):
    upstream.answers(whole("Fine."), streamed([]), choose=by_stream)
    key, text = manager.headers["x-key"], f"About {word} now."
    shared = gateway.operate(
        f"value = replace_words(tenant=None, name='shared {word}', words=['{word}'], action='mask').pk"
    )
    path = f"/api/words/{shared}/subscription"
    assert verdicts(manager, chat_on(workers[0], key, message=text)[1]) == []
    found = lambda action: lambda _, answer: (f"shared {word}", action) in verdicts(manager, answer)  # noqa: E731
    none = lambda _, answer: verdicts(manager, answer) == []  # noqa: E731
    made(manager, manager.put(path, json={}))
    everywhere(workers, key, found("mask"), "the subscription is live", message=text)
    made(manager, manager.put(path, json={"action": "record"}))
    everywhere(workers, key, found("record"), "the tenant's stage is live", message=text)
    made(manager, manager.put("/api/words/exceptions", json={"words": [f"{word} now"]}))
    everywhere(workers, key, none, "the exception is live", message=text)
    assert (f"shared {word}", "record") in verdicts(manager, chat_on(workers[0], key, message=f"Only {word}.")[1])
    gateway.operate(f"replace_words(tenant=None, name='shared {word}', words=['{word}'], mandatory=True)")
    everywhere(workers, key, found("mask"), "it is mandatory: neither stage nor exception helps", message=text)
    made(manager, manager.put("/api/words/exceptions", json={"words": []}))
    gateway.operate(f"SensitiveWordList.objects.everywhere().get(pk={shared}).delete()")
    everywhere(workers, key, none, "the list is gone", message=text)


def test_hits_of_all_workers_add_up_and_name_the_journals_list(gateway, upstream: Upstream, workers, manager, word):
    upstream.answers(whole(f"I say {word}."), streamed([]), choose=by_stream)
    key = manager.headers["x-key"]
    body = {"name": word, "words": [word], "action": "record"}
    words = made(manager, manager.post("/api/words", json=body))
    seen = lambda _, answer: (word, "record") in verdicts(manager, answer)  # noqa: E731
    turns = 0

    def counted(status, answer):
        nonlocal turns
        turns += 1
        return seen(status, answer)

    for connection in workers:
        until(lambda connection=connection: counted(*chat_on(connection, key, message="Hello.")), "it is found")
    answer = chat_on(workers[0], key, message=f"You say {word}?")[1]
    turn = manager.get(f"/api/turns/{answer['id']}").json()
    assert turn["intent"]["verdicts"] == [
        {"list": word, "version": 1, "word": word, "action": "record", "where": "input", "list_id": words["id"]}
    ]
    path = f"/api/words/{words['id']}/hits"
    until(lambda: manager.get(path).json()["total"] >= 4, "the hits of both workers are there")
    report = manager.get(path).json()
    [entry] = report["entries"]
    assert (entry["word"], entry["input"]) == (word, 1)
    assert 3 <= entry["output"] <= turns + 1
    tried = made(manager, manager.post("/api/words/test", json={"text": f"So {word}.", "direction": "input"}))["tried"]
    assert [(each["word"], each["list_id"], each["start"]) for each in tried[0]["places"]] == [(word, words["id"], 3)]
    manager.delete(f"/api/words/{words['id']}")


def verdicts(client: httpx2.Client, answer: dict) -> list[tuple[str, str]]:
    """(list, action) of what the journal says was found in a turn, both ways."""
    if "id" not in answer:
        return []
    turn = client.get(f"/api/turns/{answer['id']}").json()
    found = [*turn["intent"].get("verdicts", []), *(turn["completion"] or {}).get("verdicts", [])]
    return [(each["list"], each["action"]) for each in found]
