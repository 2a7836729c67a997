"""Every page of both consoles in Chromium, on a phone and on a desk: nothing for axe to complain about, nothing wider
than the window, no error in the browser's console."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.product.console_walk import Walk, signed_in
from tests.product.running import ROOT, Product
from tests.services.browser import chromium

AXE = ROOT / "tests" / "chat" / "node_modules" / "axe-core" / "axe.min.js"
ROWS = """
from datetime import timedelta
from compliance.models import PersonalData, SensitiveWordList, WordExceptions, WordListSubscription
from tenants.models import Allowance, ChatSite, Invitation, IpRule
tenant = Tenant.objects.get(slug={tenant!r})
shared = SensitiveWordList.objects.create(tenant=None, name="Shared", words="one")
SensitiveWordList.objects.create(tenant=tenant, name="Own", words="two")
WordListSubscription.objects.create(tenant=tenant, list=shared)
WordExceptions.objects.create(tenant=tenant, words="badge")
PersonalData.objects.create(tenant=tenant, recognisers=["email"])
ChatSite.objects.create(tenant=tenant, name="Ask us", greeting="Hello", origins=["https://www.example.com"])
IpRule.objects.create(tenant=tenant, network="127.0.0.0/8", note="This machine")
Allowance.objects.create(tenant=tenant, of="model", model="smollm2-135m", requests_per_minute=60)
Invitation.objects.create(
    tenant=tenant, email="eve@example.com", digest="x", expires_at=timezone.now() + timedelta(days=7)
)
save_instance(instance=ModelInstance(tenant=tenant, name="own", endpoint="https://api.example.com/v1"), api_key="x")
RoutingRule.objects.create(tenant=tenant, name="Short", model="own", conditions=["max_tokens < 10"])
Member.objects.create(tenant=tenant, user=User.objects.create_user("bob"), role="developer")
"""
CONSOLES = ["/console/", "/admin/"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Without any model: pages do not ask one."""
    with Product(tmp_path_factory.mktemp("consoles") / "var", LOCAL_MODEL="off").up() as product:
        product.operate(ROWS.format(tenant=product.access["tenant"]))
        yield product


@pytest.fixture(scope="module")
def axe() -> str:
    if not Path(AXE).exists():
        pytest.skip("There is no axe-core (tools/node.sh tests/chat).")
    return AXE.read_text()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("console", CONSOLES)
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_and_can_be_used_by_everybody(
    quiet: Product, browser: Browser, axe: str, console: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, locale="en-US", reduced_motion="reduce")
    context.set_default_timeout(60_000)
    context.add_cookies([signed_in(quiet, quiet.access["admin_user"])])  # type: ignore[list-item]
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    walk = Walk(page, quiet.url, console, axe)
    walk.go()
    context.close()
    assert len(walk.seen) > 25, walk.seen
    assert walk.wrong == []
    assert {rule: places[:3] for rule, places in walk.axe_says.items()} == {}
    assert complaints == []
