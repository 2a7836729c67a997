"""The button that forgets a tenant's kept answers: on the event loop, beside the engine that serves there."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from django.contrib.messages.storage.cookie import CookieStorage
from django.test import Client, RequestFactory
from django.urls import resolve

from access.console.bridge import SCOPE_KEY, EngineBridge
from engine.snapshots import Cell
from engine.types import Choice, End, Message, StoredAnswer
from tenants.answers import AnswerStore
from tenants.isolation import Stores
from tenants.models import User
from tests.cast import ACME, GLOBEX, tenant_table

ANSWER = StoredAnswer([Choice(Message("assistant", "kept"), "stop")], End({0: "stop"}))
PATH = f"/admin/tenants/tenant/{ACME.id}/forget_answers/"


def press(operator: User, bridge: EngineBridge, path: str = PATH) -> str:
    """What the operator is told."""
    request = RequestFactory().post(path, {"_form_submitted": "True"})
    request.user, request._dont_enforce_csrf_checks = operator, True
    request._messages = CookieStorage(request)
    request.scope = {SCOPE_KEY: bridge}
    found = resolve(path)
    answer = found.func(request, *found.args, **found.kwargs)
    assert answer.headers["HX-Redirect"] == f"/admin/tenants/tenant/{ACME.id}/change/"
    return " ".join(str(message) for message in request._messages)


def test_it_forgets_one_tenants_answers(
    operator: User, valkey_url: str, cast: SimpleNamespace, loop: asyncio.AbstractEventLoop
) -> None:
    tenants = Cell(tenant_table())
    stores = Stores([valkey_url], tenants)
    answers = AnswerStore(stores, tenants)
    bridge = EngineBridge(None, loop, None, answers)

    async def keep() -> None:
        for tenant in (ACME, GLOBEX):
            answers.put(tenant.id, "key", ANSWER, 60)

    async def kept() -> list[bool]:
        return [await answers.get(tenant.id, "key") is not None for tenant in (ACME, GLOBEX)]

    try:
        bridge.run(keep(), 5)
        assert bridge.run(kept(), 5) == [True, True]
        assert "1 kept" in press(operator, bridge)
        assert bridge.run(kept(), 5) == [False, True]
        tenants.swap(tenant_table(ACME.view(store_url="unix:///nowhere/valkey.sock")))
        assert "store_unavailable" in press(operator, bridge)
    finally:
        bridge.run(stores.close(), 5)


def test_it_asks_first_and_says_where_no_engine_runs(console: Client, cast: SimpleNamespace) -> None:
    assert "Forget every answer" in console.get(PATH).content.decode()
    console.post(PATH, {"_form_submitted": "True"})
    page = console.get(f"/admin/tenants/tenant/{ACME.id}/change/").content.decode()
    assert "No engine runs" in page
    assert "Forget kept answers" in page
