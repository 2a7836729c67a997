"""Who attacks whom, and how they ask."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from tests.product.isolation.rows import FURTHER
from tests.product.running import Product, until

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
    further: dict[str, str] = field(default_factory=dict)  # ids of other modules' rows


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
        snoop, str(rule), str(job), str(words), kept["id"], kept["output"][0]["id"], further(gateway),
    )  # fmt: skip


def further(gateway: Product) -> dict[str, str]:
    return {
        name: value for module in FURTHER if hasattr(module, "names") for name, value in module.names(gateway).items()
    }


def filled(path: str, body: dict | None, names: dict[str, str]) -> tuple[str, str | None]:
    """The path and the JSON with names in place of `{session}` and the like."""
    text = json.dumps(body) if body is not None else None
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
        text = text and text.replace(f"{{{name}}}", value)
    return path, text


def call(gateway: Product, key: str, method: str, path: str, body: dict | None, /, **names: str):
    path, text = filled(path, body, names)
    with gateway.http(key) as client:
        return client.request(method, path, content=text)


def connection_call(
    connection, key: str, method: str, path: str, body: dict | None, /, **names: str
) -> tuple[int, str]:
    connection.request(method, *filled(path, body, names), {"Authorization": f"Bearer {key}"})
    response = connection.getresponse()
    return response.status, response.read().decode()


def names(cast: Cast) -> dict[str, str]:
    return {"session": cast.session, "snapshot": cast.snapshot, "turn": cast.turn, "running": cast.turn,
            "rule": cast.rule, "job": cast.job, "words": cast.words, "response": cast.response,
            "item": cast.item, **cast.further}  # fmt: skip
