"""Model instances: their keys, who may use them, and the test button."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.urls import resolve

from access.console.bridge import SCOPE_KEY, EngineBridge
from adapters.hashing import unit_vector
from adapters.scripted import ScriptedAdapter
from engine.errors import UpstreamError
from engine.snapshots import Cell
from routing.models import ModelGrant, ModelInstance
from routing.services import api_key_of, save_instance
from routing.table import RoutingTable
from tenants.models import User
from tests.access.console.screens import NAUGHTY
from tests.engine import parts as engine_parts
from tests.engine.parts import ScriptedModel

NO_GRANTS = {"grants-TOTAL_FORMS": 0, "grants-INITIAL_FORMS": 0}
FIELDS = {
    "name": "gpt", "sharing": "all", "enabled": "on", "adapter": "openai_compatible",
    "endpoint": "https://api.example.com/v1", "options": "{}", "weight": 1, "price_in": "0.5", "price_out": "1",
    "task": "chat", "batch_window": 0, "batch_size": 1,
}  # fmt: skip


def instance() -> ModelInstance:
    return ModelInstance.objects.everywhere().get()


def save(client: Client, **more: Any) -> Any:
    """Adds it, or changes the one there is; None: saved, else the errors by field."""
    row = ModelInstance.objects.everywhere().first()
    page = f"/admin/routing/modelinstance/{row.pk}/change/" if row else "/admin/routing/modelinstance/add/"
    answer = client.post(page, {**FIELDS, **NO_GRANTS, **more})
    return None if answer.status_code == 302 else dict(answer.context["adminform"].form.errors)


def test_it_keeps_the_provider_key_and_never_shows_it(console: Client) -> None:
    assert save(console, api_key="sk-secret") is None
    sealed = instance().sealed_key
    assert api_key_of(instance()) == "sk-secret"
    page = console.get(f"/admin/routing/modelinstance/{instance().pk}/change/").content.decode()
    assert "sk-secret" not in page
    assert sealed not in page
    assert save(console, weight=7) is None
    assert (api_key_of(instance()), instance().weight) == ("sk-secret", 7)
    assert save(console, api_key="sk-other") is None
    assert api_key_of(instance()) == "sk-other"
    assert list(save(console, api_key="x", remove_api_key="on")) == ["remove_api_key"]
    assert save(console, remove_api_key="on") is None
    assert instance().sealed_key == ""


def test_it_asks_for_the_key_again_when_an_instance_changes_hands(console: Client, cast: SimpleNamespace) -> None:
    assert save(console, api_key="sk-secret") is None
    assert list(save(console, tenant=cast.acme.pk)) == ["api_key"]
    assert save(console, tenant=cast.acme.pk, api_key="sk-secret") is None
    assert api_key_of(instance()) == "sk-secret"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "auto"}, "name"),
        ({"name": "a b"}, "name"),
        ({"endpoint": "nowhere"}, "endpoint"),
        ({"endpoint": "https://user:password@host/v1"}, "endpoint"),
        ({"adapter": "none"}, "adapter"),
        ({"weight": 0}, "weight"),
        ({"price_in": -1}, "price_in"),
        ({"timeout": 0}, "timeout"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"first_token_timeout": "soon"}, "first_token_timeout"),
        ({"idle_timeout": 3601}, "idle_timeout"),
        ({"total_timeout": -1}, "total_timeout"),
        ({"probe_interval": 0.5}, "probe_interval"),
        ({"batch_window": 1.5}, "batch_window"),
        ({"batch_size": 0}, "batch_size"),
        ({"task": "poetry"}, "task"),
        ({"languages": "zh\nklingon!"}, "languages"),
        ({"options": "["}, "options"),
        ({"api_key": "two\nlines"}, "api_key"),
    ],
)
def test_it_refuses_a_wrong_instance_at_the_field(
    console: Client, cast: SimpleNamespace, fields: dict[str, Any], field: str
) -> None:
    assert list(save(console, **fields) or {}) == [field]
    assert not ModelInstance.objects.everywhere().exists()


def test_it_saves_every_limit_and_shows_it_again(console: Client, cast: SimpleNamespace) -> None:
    limits = {
        "task": "embeddings", "timeout": 20.0, "connect_timeout": 2.5, "first_token_timeout": 10.0, "idle_timeout": 5.0,
        "total_timeout": 300.0, "probe_interval": 30.0, "batch_window": 0.02, "batch_size": 32,
    }  # fmt: skip
    assert save(console, **limits) is None
    assert {name: getattr(instance(), name) for name in limits} == limits
    form = console.get(f"/admin/routing/modelinstance/{instance().pk}/change/").context["adminform"].form
    assert {name: form[name].value() for name in limits} == limits
    assert save(console) is None
    assert (instance().timeout, instance().total_timeout, instance().probe_interval) == (None, None, None)


def test_it_refuses_the_same_instance_twice_at_the_name(console: Client, cast: SimpleNamespace) -> None:
    for tenant in ("", cast.acme.pk):
        fields = {**FIELDS, **NO_GRANTS, "tenant": tenant}
        assert console.post("/admin/routing/modelinstance/add/", fields).status_code == 302
        answer = console.post("/admin/routing/modelinstance/add/", fields)
        assert list(answer.context["adminform"].form.errors) == ["name"]


def test_it_grants_an_instance_to_tenants_and_takes_it_back(console: Client, cast: SimpleNamespace) -> None:
    save(console, sharing="listed")
    one = {"grants-TOTAL_FORMS": 1, "grants-INITIAL_FORMS": 0, "grants-0-tenant": cast.acme.pk}
    assert save(console, **one) is None
    grant = ModelGrant.objects.everywhere().get()
    kept = {"grants-INITIAL_FORMS": 1, "grants-0-id": grant.pk, "grants-0-instance": instance().pk,
            "grants-0-tenant": cast.acme.pk}  # fmt: skip
    assert save(console, **kept, **{"grants-TOTAL_FORMS": 2, "grants-1-tenant": cast.globex.pk}) is None
    assert ModelGrant.objects.everywhere().count() == 2
    answer = console.post(
        f"/admin/routing/modelinstance/{instance().pk}/change/",
        {**FIELDS, **kept, "grants-TOTAL_FORMS": 2, "grants-1-tenant": cast.acme.pk},
    )
    assert "duplicate" in answer.content.decode()
    assert save(console, **kept, **{"grants-TOTAL_FORMS": 1, "grants-0-DELETE": "on"}) is None
    assert ModelGrant.objects.everywhere().get().tenant == cast.globex


def press(operator: User, row: ModelInstance, loop: asyncio.AbstractEventLoop | None, *models: Any) -> tuple[str, Any]:
    """Asks through the test button; the page and the engine's parts."""
    engine, behind = engine_parts.build(*models)
    path = f"/admin/routing/modelinstance/{row.pk}/test/"
    request = RequestFactory().post(path, {"question": NAUGHTY, "_form_submitted": "True"})
    request.user, request._dont_enforce_csrf_checks = operator, True
    if loop is not None:
        request.scope = {SCOPE_KEY: EngineBridge(engine, loop, Cell(RoutingTable()), None)}
    found = resolve(path)
    return found.func(request, *found.args, **found.kwargs).render().content.decode(), behind


@pytest.fixture
def row(cast: SimpleNamespace) -> ModelInstance:
    return save_instance(instance=ModelInstance(name="gpt", tenant=cast.acme, endpoint="https://api.example.com/v1"))


def test_it_asks_the_very_instance_through_the_engine(
    operator: User, row: ModelInstance, loop: asyncio.AbstractEventLoop
) -> None:
    page, behind = press(operator, row, loop, ScriptedModel([NAUGHTY]))
    assert "&lt;script&gt;" in page.partition("trial-answer")[2]
    assert "<script>alert" not in page
    intent = behind.journal.intents[0]
    assert (intent.tenant_id, intent.edge, intent.user) == (row.tenant_id, "console", f"operator:{operator.pk}")
    assert f"/admin/compliance/auditentry/{intent.turn_id}/change/" in page
    assert behind.journal.completions[0].state == "completed"


def test_it_shows_the_vector_of_a_model_for_embeddings(
    operator: User, row: ModelInstance, loop: asyncio.AbstractEventLoop
) -> None:
    row.task = ModelInstance.Task.EMBEDDINGS
    row.save()
    page, behind = press(operator, row, loop, model := ScriptedAdapter())
    assert model.embed_calls[0].inputs == [NAUGHTY] and not model.calls
    assert f"[{unit_vector(NAUGHTY, 64)[0]:.4f}, " in page and "…] (64)" in page
    assert behind.journal.intents[0].edge == "console" and behind.journal.states == ["completed"]


def test_it_tells_why_an_instance_does_not_answer(
    operator: User, row: ModelInstance, loop: asyncio.AbstractEventLoop
) -> None:
    page, _ = press(operator, row, loop, ScriptedModel([UpstreamError("Refused.")]))
    assert "Refused. (upstream_error)" in page
    assert "No engine runs" in press(operator, row, None, ScriptedModel())[0]
    row.enabled = False
    row.save()
    assert "switched off" in press(operator, row, loop, ScriptedModel())[0]


def test_it_asks_nothing_before_somebody_says_so(console: Client, row: ModelInstance) -> None:
    page = console.get(f"/admin/routing/modelinstance/{row.pk}/test/").content.decode()
    assert "Ask this instance" in page
    assert "trial-answer" not in page
    empty = console.post(f"/admin/routing/modelinstance/{row.pk}/test/", {"question": "", "_form_submitted": "True"})
    assert "This field is required" in empty.content.decode()
