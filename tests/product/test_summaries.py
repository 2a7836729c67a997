"""Summaries in the whole product: made beside the turns, kept by the journal, and what a model is really sent."""

from functools import partial
from http.client import HTTPConnection

from tests.adapters.upstream import Upstream, by_stream, whole
from tests.product.running import Product, chat_on, until

FLUSH = (
    "import redis\n"
    "from django.conf import settings\n"
    "from tenants.addresses import numbered\n"
    "tenant = Tenant.objects.get(slug='minutes')\n"
    "value = redis.Redis.from_url(numbered(settings.VALKEY_NODES[0], tenant.store_database)).flushdb()"
)


def _answers(worker: HTTPConnection, key: str) -> bool:
    return chat_on(worker, key, message="Hello", model="small")[0] == 200


def test_a_long_session_is_summed_up_and_the_journal_keeps_it(gateway: Product, upstream: Upstream):
    key = gateway.operate(
        "tenant = services.create_tenant(\n"
        "    slug='minutes', name='Minutes', summary_model='scripted', profile_template='You talk to {name}.'\n"
        ")\n"
        "small = ModelInstance(tenant=tenant, name='small', adapter='echo', context_window=1000)\n"
        "_ = save_instance(instance=small)\n"
        "value = services.create_api_key(tenant=tenant, name='minutes')[1]"
    )
    with gateway.at_every_worker() as workers:
        for worker in workers:
            until(partial(_answers, worker, key), "the key and the model are known at every worker")
    upstream.answers(whole("She wants a chair."), choose=by_stream)
    with gateway.http(key) as client:
        session = gateway.ask("word " * 60, key=key, model="small").json()["session_id"]
        path = f"/api/sessions/{session}"
        for _ in range(3):
            assert gateway.ask("word " * 60, key=key, model="small", session_id=session).status_code == 200
        until(lambda: client.get(f"{path}/layers").json()["layers"], "it is summed up")
        (layer,) = client.get(f"{path}/layers").json()["layers"]
        assert layer["summary"] == "She wants a chair." and layer["in_force"] and layer["model"] == "scripted"
        assert "<conversation>" in upstream.requests[-1].json["messages"][1]["content"]

        gateway.operate(FLUSH)
        assert client.get(f"{path}/layers").json()["layers"] == [layer], "it comes from the journal"
        rows = client.get(f"{path}/window?model=small").json()
        assert rows["layer"] == layer["id"] and rows["tokens"] <= 1000
        assert [row["left_out"] for row in rows["messages"][: 2 * layer["through"]]] == ["summary"] * 2 * layer[
            "through"
        ]

        upstream.answers(whole("Yes."), choose=by_stream)
        gateway.ask("And now?", key=key, model="scripted", session_id=session, user_profile={"name": "Ada"})
        (system, *_, last) = upstream.requests[-1].json["messages"]
        assert system["role"] == "system" and system["content"].startswith("You talk to Ada.")
        assert "She wants a chair." in system["content"] and last["content"] == "And now?"

        assert client.delete(f"{path}/layers/{layer['id']}").status_code == 204
        gateway.ask("And now?", key=key, model="scripted", session_id=session)
        assert upstream.requests[-1].json["messages"][0]["content"] == "You talk to Ada."
