"""`/v1/embeddings` of the running product: vectors of the right inputs, one call for two callers, a record of each."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.adapters.upstream import Upstream, answer
from tests.product.running import Product, until

INPUTS = ("first", "second")


@pytest.fixture
def key(gateway: Product):
    """Of a tenant with two models for embeddings: one makes hashes, one is a service that is sent two inputs a call."""
    gateway.operate("tenant = services.create_tenant(slug='vectors', name='Vectors')")
    gateway.operate(
        "_ = save_instance(instance=ModelInstance(tenant=tenant, name='hashes', task='embeddings', adapter='echo'))"
    )
    key = gateway.operate("_, value = services.create_api_key(tenant=tenant, name='e2e')")
    live(gateway, key, "hashes")
    yield key
    gateway.operate(
        "[row.delete() for row in ModelInstance.objects.for_tenant(tenant.pk)]\n"
        "tenant.slug = f'vectors-{tenant.pk}'\ntenant.save()"
    )


def asked(connection: http.client.HTTPConnection, key: str, **body) -> tuple[int, dict]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/embeddings", json.dumps(body), headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def live(gateway: Product, key: str, model: str) -> None:
    """In every worker."""
    with gateway.at_every_worker() as workers:
        for connection in workers:
            until(lambda c=connection: asked(c, key, input=["a", "b"], model=model)[0] == 200, f"{model} answers")


def test_it_embeds_and_records(gateway: Product, key: str):
    with gateway.http(key) as client:
        said = client.post("/v1/embeddings", json={"input": ["a", "b", "a"], "dimensions": 8})
        assert said.status_code == 200, said.text
        first, second, again = (line["embedding"] for line in said.json()["data"])
        assert first == again != second and len(first) == 8
        assert said.json()["model"] == said.headers["x-clawdbot-model"] == "hashes"
        record = client.get(f"/api/turns/{said.headers['x-clawdbot-decision']}").json()
        assert record["state"] == "completed" and record["decision"]["instance"] == "hashes"
        assert [message["content"] for message in record["intent"]["messages"]] == ["a", "b", "a"]
        assert record["completion"]["usage"]["prompt_tokens"] == 3
        chat = client.post(
            "/v1/chat/completions", json={"model": "hashes", "messages": [{"role": "user", "content": "a"}]}
        )
        assert (chat.status_code, chat.json()["error"]["code"]) == (404, "model_not_found")


def test_two_callers_share_a_call(gateway: Product, upstream: Upstream, key: str):
    vectors = [[1.0, 0.0], [0.0, 1.0]]
    data = [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    upstream.answers(answer(200, {"data": data, "usage": {"prompt_tokens": 9}}))
    gateway.operate(
        f"_ = save_instance(instance=ModelInstance(tenant=tenant, name='served', task='embeddings',"
        f" endpoint='{upstream.url}', allow_private=True, batch_size=2, batch_window=1, max_concurrency=1))"
    )
    live(gateway, key, "served")
    before = len(upstream.requests)
    worker = gateway.workers()[0]
    with gateway.at_worker(worker) as one, gateway.at_worker(worker) as other, ThreadPoolExecutor() as pool:
        calls = [
            pool.submit(asked, line, key, input=text, model="served")
            for line, text in zip((one, other), INPUTS, strict=True)
        ]
        answers = dict(zip(INPUTS, (call.result(30) for call in calls), strict=True))
    [request] = upstream.requests[before:]
    assert (request.path, sorted(request.json["input"])) == ("/v1/embeddings", sorted(INPUTS))
    for text, vector in zip(request.json["input"], vectors, strict=True):
        status, said = answers[text]
        assert status == 200 and [line["embedding"] for line in said["data"]] == [vector]
    assert sum(said["usage"]["prompt_tokens"] for _, said in answers.values()) == 9
