"""A session stays with the model that answered it while that is well; when it is not, the change can be read."""

import pytest

from tests.adapters.upstream import Upstream, error, whole
from tests.product.running import Product, chat_on, until

MODELS = ("left", "right")


@pytest.fixture
def key(gateway: Product, upstream: Upstream):
    """Of a tenant with two models of its own, half of its turns for each."""
    upstream.answers([0.2, *whole("Well.")])
    gateway.operate("tenant = services.create_tenant(slug='sticky', name='Sticky')")
    for name in MODELS:
        gateway.operate(
            f"_ = save_instance(instance=ModelInstance(tenant=tenant, name='{name}', endpoint='{upstream.url}',"
            f" upstream_model='upstream-{name}', version='{name}-1', allow_private=True))\n"
            f"_ = RoutingRule.objects.create(tenant=tenant, model='{name}', weight=50)"
        )
    key = gateway.operate("_, value = services.create_api_key(tenant=tenant, name='e2e')")
    with gateway.at_every_worker() as workers:
        for connection in workers:
            both = lambda c=connection: {chat_on(c, key)[1].get("model") for _ in range(4)} == {*MODELS}  # noqa: E731
            until(both, "both models answer")
    yield key
    gateway.operate(
        "[row.delete() for row in RoutingRule.objects.for_tenant(tenant.pk)]\n"
        "[row.delete() for row in ModelInstance.objects.for_tenant(tenant.pk)]\n"
        "tenant.slug = f'sticky-{tenant.pk}'\ntenant.save()"
    )


def turn(gateway: Product, key: str, session: str | None = None) -> dict:
    answer = gateway.ask(key=key, **({"session_id": session} if session else {}))
    assert answer.status_code == 200, answer.text
    return answer.json()


def read(gateway: Product, key: str, path: str) -> dict:
    with gateway.http(key) as client:
        return client.get(path).json()


def test_a_session_keeps_its_model(gateway, upstream: Upstream, key):
    """The models take a fifth of a second, so that a busy machine makes neither of them look ill beside the other."""
    upstream.answers([0.2, *whole("Well.")])
    for _ in range(4):
        first = turn(gateway, key)
        answers = [turn(gateway, key, first["session_id"]) for _ in range(4)]  # by either worker
        assert {answer["model"] for answer in answers} == {first["model"]}
        session = read(gateway, key, f"/api/sessions/{first['session_id']}")
        assert set(session["metadata"]) == {"last_active", "model_version"}
        assert session["metadata"]["model_version"] == f"{first['model']}-1"
        decision = read(gateway, key, f"/api/turns/{answers[-1]['id']}")["decision"]
        assert decision["session"] == {"model": first["model"], "kept": "instance"}


def test_explaining_names_the_model_the_sessions_next_turn_has(gateway, key):
    with gateway.http(key) as client:

        def explained(**fields) -> dict:
            return client.post("/api/route/explain", json={"message": "Hi", **fields}).json()

        first = turn(gateway, key)
        said = [explained(session_id=first["session_id"]) for _ in range(4)]
        assert {each["model"] for each in said} == {first["model"]}
        assert said[0]["session"] == {"model": first["model"], "kept": "instance"}
        assert turn(gateway, key, first["session_id"])["model"] == first["model"]
        assert "session" not in explained()
        assert len(read(gateway, key, f"/api/sessions/{first['session_id']}")["context_stack"]) == 4
        assert explained(session_id="nobodys")["error"]["code"] == "session_not_found"
    with gateway.http() as stranger:
        asked = {"message": "Hi", "session_id": first["session_id"]}
        assert stranger.post("/api/route/explain", json=asked).status_code == 404


def test_a_change_is_noted_when_the_model_is_switched_off(gateway, upstream: Upstream, key):
    first = turn(gateway, key)
    gone, session = first["model"], first["session_id"]
    (other,) = set(MODELS) - {gone}
    gateway.operate(
        f"row = ModelInstance.objects.for_tenant(tenant.pk).get(name='{gone}')\nrow.enabled = False\nrow.save()"
    )
    with gateway.at_every_worker() as workers:
        for connection in workers:
            until(
                lambda c=connection: {chat_on(c, key)[1].get("model") for _ in range(4)} == {other},
                "the model is switched off",
            )
    moved = turn(gateway, key, session)
    assert moved["model"] == other
    metadata = read(gateway, key, f"/api/sessions/{session}")["metadata"]
    (note,) = metadata["model_changes"]
    assert (note["from"], note["to"], note["turn_id"]) == (gone, other, moved["id"])
    assert metadata["last_active"] - 5 <= note["at"] <= metadata["last_active"]
    assert metadata["model_version"] == f"{other}-1"
    assert read(gateway, key, f"/api/turns/{moved['id']}")["decision"]["session"] == {"model": gone, "kept": None}
    assert turn(gateway, key, session)["model"] == other
    assert len(read(gateway, key, f"/api/sessions/{session}")["metadata"]["model_changes"]) == 1


def test_a_change_is_noted_when_the_model_fails(gateway, upstream: Upstream, key):
    """First the call fails and another model is asked; then its breaker is open. The session does not go back."""
    first = turn(gateway, key)
    ill, session = first["model"], first["session_id"]
    (other,) = set(MODELS) - {ill}
    upstream.answers(whole("Well."), error(500), choose=lambda request: int(request.json["model"].endswith(ill)))
    moved = turn(gateway, key, session)
    assert moved["model"] == other
    record = read(gateway, key, f"/api/turns/{moved['id']}")
    assert [(failed["instance"], failed["error"]) for failed in record["retries"]] == [(ill, "upstream_error")]
    assert record["decision"]["model"] == other and record["intent"]["decision"]["model"] == ill
    for _ in range(12):  # three failures in a row open a breaker, in each worker
        turn(gateway, key)
    upstream.answers(whole("Well."))
    assert {turn(gateway, key, session)["model"] for _ in range(4)} == {other}
    notes = read(gateway, key, f"/api/sessions/{session}")["metadata"]["model_changes"]
    assert [(note["from"], note["to"], note["turn_id"]) for note in notes] == [(ill, other, moved["id"])]
