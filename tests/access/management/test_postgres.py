"""On PostgreSQL the rows of a request are reached as the request role: everything here works as that one too, and finds
nothing of another tenant."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from access.management import (
    activations,
    addresses,
    allowances,
    chat_site_settings,
    instances,
    invitations,
    keys,
    own_tenant,
)
from access.management import members as people
from access.management.paging import Page
from engine.errors import NotFound
from tenants import services, walls
from tenants.models import User
from tests.access.managed import manager
from tests.cast import ALICE, BOB, CHARLIE
from tests.clawdbot_site import walled
from tests.conftest import VAR_DIR
from tests.services.postgres import PostgresServer

ALL = {"search": "", "state": "", "role": "", "of": "", "scope": ""}
PAGE = Page(None, 50, ALL)
OWNER = ALICE.principal
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="managed-", dir=VAR_DIR)), options=["-c", "fsync=off"])
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def _filled(server: PostgresServer, django_db_blocker) -> Iterator[None]:
    with django_db_blocker.unblock(), walled.pointed(walled.prepared(server, "managed")):
        walled.migrate()
        for person in (ALICE, BOB, CHARLIE):
            if person is not BOB:
                services.create_tenant(slug=person.company.slug, name=person.company.name)
            tenant = services.Tenant.objects.get(slug=person.company.slug)
            user = User.objects.create_user(person.username, password=person.password)
            services.add_member(tenant=tenant, user=user, role=person.role)
        yield


@pytest.fixture
def behind(_filled: None, django_db_blocker, valkey_server, valkey_url) -> Iterator[None]:
    """Acme's wall stands."""
    with django_db_blocker.unblock(), walls.within(ALICE.company.id):
        yield


def charlie_finds_nothing(work, *args) -> None:
    with walls.within(CHARLIE.company.id), pytest.raises(NotFound):
        work(*args)


def test_keys(behind: None) -> None:
    key = keys.make(OWNER, keys.KeyBody(name="robot", scopes=["chat", "manage"]))
    assert keys.change(OWNER, key.id, {"name": "other"}).created_by == "alice"
    new = keys.rotate(OWNER, key.id, timedelta(hours=1))
    keys.revoke(OWNER, new.id)
    assert [row.id for row in keys.listed(ALICE.company.id, PAGE).keys] == [new.id, key.id]
    charlie_finds_nothing(keys.read, ALICE.company.id, key.id)


def test_people(behind: None) -> None:
    bob = people.change(OWNER, BOB.id, {"role": "developer", "is_active": False})
    assert (bob.username, bob.role, bob.is_active) == ("bob", "developer", False)
    assert len(people.listed(ALICE.company.id, PAGE).members) == 2
    charlie_finds_nothing(people.change, OWNER, BOB.id, {})
    asked = invitations.make(OWNER, invitations.InvitationBody(email="dora@example.com"))
    invitations.resend(OWNER, asked.id)
    invitations.withdraw(OWNER, asked.id)
    assert [row.state for row in invitations.listed(ALICE.company.id, PAGE).invitations] == ["withdrawn"]
    me = own_tenant.who(OWNER)
    assert (me.username, [place.slug for place in me.tenants]) == ("alice", ["acme"])


def test_models(behind: None) -> None:
    asker = manager(ALICE)
    model = instances.make(asker, {"name": "mine", "adapter": "openai_compatible", "endpoint": "https://a.example/v1",
                                   "api_key": "secret"})  # fmt: skip
    assert model.has_key and instances.change(asker, model.id, {"weight": 2}).weight == 2
    assert [row.id for row in instances.listed(asker, PAGE).models] == [model.id]
    charlie_finds_nothing(instances.read, asker, model.id)
    instances.remove(asker, model.id)


def test_what_belongs_to_the_tenant(behind: None) -> None:
    tenant_id = ALICE.company.id
    assert own_tenant.change(OWNER, {"time_zone": "Asia/Shanghai"}).time_zone == "Asia/Shanghai"
    assert chat_site_settings.change(tenant_id, {"name": "Ask us"}) == chat_site_settings.read(tenant_id)
    address = addresses.make(tenant_id, addresses.AddressBody(network="10.0.0.0/8"))
    charlie_finds_nothing(addresses.remove, tenant_id, address.id)
    addresses.remove(tenant_id, address.id)
    allowance = allowances.make(tenant_id, allowances.AllowanceBody(member=BOB.id, money_per_day=0.5))
    assert allowances.change(tenant_id, allowance.id, {"requests_per_minute": 5}).money_per_day == 0.5
    charlie_finds_nothing(allowances.remove, tenant_id, allowance.id)
    allowances.remove(tenant_id, allowance.id)
    activations.put(tenant_id, "canned_answers", activations.PluginBody(position=1))
    assert activations.read(tenant_id, "canned_answers", True).active
    activations.remove(tenant_id, "canned_answers")


def test_somebody_leaves(behind: None) -> None:
    """Their account is out of sight from then on, while the journal is still to be told their name."""
    people.remove(OWNER, BOB.id)
    assert [row.username for row in people.listed(ALICE.company.id, PAGE).members] == ["alice"]
