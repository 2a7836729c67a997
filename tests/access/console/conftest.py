from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.test import Client

from compliance.models import Erasure
from routing.models import ModelGrant, ModelInstance, RoutingRule
from routing.services import save_instance
from tenants.models import Allowance, IpRule, Job, User
from tests.access.console import screens
from tests.access.console.screens import NAUGHTY


@pytest.fixture
def operator(cast: SimpleNamespace, valkey_url: str) -> User:
    return User.objects.create_superuser("operator", password="operate the platform")


@pytest.fixture
def console(operator: User) -> Client:
    """A browser in which the operator has signed in."""
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def rows(cast: SimpleNamespace) -> SimpleNamespace:
    """A row of every kind for both tenants, their texts full of markup."""
    cast.instances = [
        save_instance(
            instance=ModelInstance(
                name="gpt", label=NAUGHTY, tenant=tenant, endpoint="https://api.example.com/v1", sharing="listed"
            ),
            api_key="sk-very-secret",
        )
        for tenant in (cast.acme, cast.globex, None)
    ]
    cast.grants = [
        ModelGrant.objects.create(instance=cast.instances[2], tenant=tenant) for tenant in (cast.acme, cast.globex)
    ]
    for tenant in (cast.acme, cast.globex):
        tenant.name = f"{tenant.slug} {NAUGHTY}"
        tenant.save()
    cast.rules = [
        RoutingRule.objects.create(tenant=tenant, name=NAUGHTY, model="gpt", conditions=[f"model == '{NAUGHTY[:8]}'"])
        for tenant in (cast.acme, cast.globex, None)
    ]
    cast.networks = [
        IpRule.objects.create(tenant=tenant, network="10.0.0.0/8", note=NAUGHTY) for tenant in (cast.acme, cast.globex)
    ]
    cast.allowances = [
        Allowance.objects.create(tenant=tenant, of="model", model=NAUGHTY) for tenant in (cast.acme, cast.globex)
    ]
    cast.jobs = [
        Job.objects.create(tenant=tenant, kind=NAUGHTY, error=NAUGHTY) for tenant in (cast.acme, cast.globex, None)
    ]
    cast.sites = [screens.chat_site(tenant) for tenant in (cast.acme, cast.globex)]
    cast.lists = [screens.word_list(tenant) for tenant in (cast.acme, cast.globex, None)]
    for tenant in (cast.acme, cast.globex):
        screens.word_choices(tenant, cast.lists[2])
    cast.personal = [screens.personal_data(tenant) for tenant in (cast.acme, cast.globex)]
    cast.erasures = [
        Erasure.objects.create(tenant=tenant, subject="0" * 32, requested_by=NAUGHTY)
        for tenant in (cast.acme, cast.globex)
    ]
    operator, _new = User.objects.get_or_create(username="visitor", is_superuser=True)
    cast.visits = [screens.visit(tenant, operator) for tenant in (cast.acme, cast.globex)]
    cast.invitations = [screens.invitation(tenant) for tenant in (cast.acme, cast.globex)]
    cast.outboxes = [screens.outbox(tenant) for tenant in (cast.acme, cast.globex)]
    cast.alerts = [screens.alerts(tenant) for tenant in (cast.acme, cast.globex, None)]
    cast.sources = [screens.data_source(tenant) for tenant in (cast.acme, cast.globex)]
    cast.intents = [screens.intent(tenant) for tenant in (cast.acme, cast.globex)]
    cast.intent_settings = [screens.intent_settings(tenant) for tenant in (cast.acme, cast.globex)]
    cast.plugins = [screens.activation(tenant) for tenant in (cast.acme, cast.globex)]
    return cast


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own, as the web server's is beside a view."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
