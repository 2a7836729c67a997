"""No request that the description allows, or forbids, is answered by a 5xx or by anything it does not describe."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.product.described import ASKED, CHECKS, COMMITTED, Described
from tests.product.running import Product, until

# Right ids are not enough: of a turn that is over, a job that may not be done, two versions that differ.
SELDOM = {
    "get /api/turns/{turn_id}/events",
    "get /api/jobs/{job_id}/result",
    "get /api/sessions/{session_id}/diff",
    "get /api/words/{list_id}/diff",
    "get /api/chat-site",
}
PASSWORD = "correct horse battery"
SET_UP = (
    "described = services.create_tenant(slug='described', name='Described', summary_model='scripted')\n"
    "owner = User.objects.create_user('describer', password='correct horse battery')\n"
    "spare = User.objects.create_user('spare', password='correct horse battery')\n"
    "_ = User.objects.create_superuser('describing-operator', password='correct horse battery')\n"
    "_ = services.add_member(tenant=described, user=owner, role='owner')\n"
    "member = services.add_member(tenant=described, user=spare, role='member')\n"
    "everywhere = [services.allow_network(tenant=described, network=net) for net in ('127.0.0.0/8', '::1/128')]\n"
    "key = lambda name, *scopes: services.create_api_key(tenant=described, name=name, scopes=scopes)\n"
)
HOLD = (
    "networks = [rule.network for rule in IpRule.objects.for_tenant(described.pk)]\n"
    "lost = [net for net in ('127.0.0.0/8', '::1/128') if net not in networks]\n"
    "value = len([services.allow_network(tenant=described, network=net) for net in lost])"
)
HELD = (
    "from plugins.models import HeldEvent\n"
    "value = HeldEvent.objects.create(tenant=described, sink='webhook:1', event='e', type='t', first_at=1.0).pk"
)
ALERT = (
    "from tenants.models import Alert\n"
    "value = Alert.objects.create(tenant=described, kind='error_rate', since=1.0, state='firing').pk"
)


@pytest.fixture(scope="module")
def described(gateway: Product):
    """A tenant of its own, with one of everything."""
    gateway.operate("from tenants.models import IpRule\n" + SET_UP)
    secret = gateway.operate("value = key('describer', 'chat', 'sessions', 'audit', 'manage')[1]")
    spare = gateway.operate("value = key('spare', 'chat')[0].pk")
    member = gateway.operate("value = member.pk")
    until(lambda: {gateway.ask(key=secret).status_code for _ in range(6)} == {200}, "the key works")
    with gateway.http(key="") as client:
        who = {"username": "describer", "password": PASSWORD, "tenant": "described"}
        token = client.post("/api/token/", json=who).json()["access"]
        operator = {"username": "describing-operator", "password": PASSWORD, "operator": True}
        platform = client.post("/api/token/", json=operator).json()["access"]
    ids = {"key_id": str(spare), "member_id": str(member)}
    with gateway.http(secret) as client:
        turn = gateway.ask("Hello", key=secret).json()
        ids |= {"id": "scripted", "response_id": client.post("/v1/responses", json={"input": "Hi"}).json()["id"]}
        ids |= {"turn_id": turn["id"], "session_id": turn["session_id"], "plugin": "canned_answers", "version": "1"}
        for name, path, body in (
            ("snapshot", f"/api/sessions/{turn['session_id']}/snapshots", {}),
            ("rule_id", "/api/rules", {"model": "scripted"}),
            ("list_id", "/api/words", {"name": "words", "words": ["forbidden"]}),
            ("instance_id", "/api/models", {"name": "own", "adapter": "scripted"}),
            ("allowance_id", "/api/allowances", {"model": "scripted"}),
            ("invitation_id", "/api/invitations", {"email": "dora@example.com"}),
            ("address_id", "/api/addresses", {"network": "10.0.0.0/8"}),
            ("job_id", "/api/audit/exports", {"format": "csv"}),
            ("intent_id", "/api/intents", {"name": "refund", "utterances": ["I want my money back"]}),
            ("source_id", "/api/data-sources", {"name": "shop", "url": "postgresql://reader:word@db.example.com/shop"}),
            ("webhook_id", "/api/webhooks", {"name": "hook", "url": "https://hooks.example.com/"}),
        ):
            made = client.post(path, json=body)
            assert made.is_success, made.text
            ids[name] = str(made.json()["id"])
    ids["alert_id"] = str(gateway.operate(ALERT))
    ids["held_id"] = str(gateway.operate(HELD))
    ids["tenant_id"] = str(gateway.operate("value = services.create_tenant(slug='described-too', name='Two').pk"))
    headers = {
        "member": {"Authorization": f"Bearer {token}"},
        "key": {"X-API-Key": secret},
        "operator": {"Authorization": f"Bearer {platform}"},
    }
    return Described(f"http://127.0.0.1:{gateway.port}", headers, ids)


@pytest.mark.parametrize("name", ASKED)
def test_it_answers_as_described(gateway: Product, upstream, described: Described, name):
    statuses = described.ask(name)
    assert statuses and (not name.startswith("get ") or name in SELDOM or min(statuses) < 300)
    if "/api/addresses" in name:  # the callers are not to shut themselves out
        gateway.operate(HOLD)


@pytest.mark.skipif("DESCRIBED_STATES" not in os.environ, reason="of the long form: make soak NAME=schemathesis")
def test_it_answers_as_described_one_after_the_other(gateway: Product, upstream, described: Described, tmp_path):
    """What one request makes, the next one asks for, changes or deletes."""
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", str(COMMITTED), "--url", described.url]
    command += ["--phases", "stateful", "--max-examples", os.environ["DESCRIBED_STATES"], "--request-timeout", "30"]
    command += ["--checks", ",".join(check.__name__ for check in CHECKS[:-1]), "--generation-database", "none"]
    command += ["--exclude-path-regex", "^/api/(addresses|tenants|keys|members)"]  # it would shut itself out
    for name, value in described.headers["key"].items():
        command += ["--header", f"{name}: {value}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:]


def test_its_callers_still_may(gateway: Product, described: Described):
    """Otherwise most of the above would have been refusals."""
    for path, who in (("/api/me", "member"), ("/api/me", "key"), ("/api/tenants", "operator")):
        with gateway.http(key="") as client:
            assert client.get(path, headers=described.headers[who]).status_code == 200, who
