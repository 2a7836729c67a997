"""A tenant's console beside a product that serves: the playground streams, a turn is watched and stopped, and a worker
says that it lives; in Chromium, with nothing from elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.adapters.upstream import HANG, Upstream, chunk, head_of_stream
from tests.product.running import Product, until
from tests.product.upstreams import reset, upstream_in_thread
from tests.services.browser import chromium

WAIT = 20_000
PASSWORD = "correct horse battery"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_thread() as upstream:
        yield upstream
        reset(upstream)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Product]:
    product = Product(
        tmp_path_factory.mktemp("console") / "var",
        LOCAL_MODEL="off",
        WORKERS="2",
        MODEL_ENDPOINT=upstream.url,
        MODEL_NAME="scripted",
        API_KEY="upstream-secret",
        MODEL_TIMEOUT="30",
    )
    with product.up():
        product.operate(
            f"user = User.objects.create_user('olivia', password={PASSWORD!r}, is_staff=True)\n"
            f"tenant = Tenant.objects.get(slug={product.access['tenant']!r})\n"
            "Member.objects.create(tenant=tenant, user=user, role='owner')"
        )
        yield product
    assert product.processes() == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, product: Product) -> Iterator[Page]:
    """The owner, signed in. Errors of scripts and requests to other hosts fail the test."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((base(product), "data:", "blob:")) else wrong.append(asked.url),
    )
    sign_in(page, product, "olivia", PASSWORD)
    yield page
    context.close()
    assert wrong == []


def base(product: Product) -> str:
    return str(product.access["base_url"])


def sign_in(page: Page, product: Product, name: str, password: str, path: str = "/console/") -> None:
    page.goto(f"{base(product)}{path}")
    page.locator("input[name=username], input[name=login]").first.fill(name)
    page.locator("input[type=password]").first.fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{base(product)}{path}", timeout=2 * WAIT)


def answers(upstream: Upstream, *pieces: Any) -> None:
    told = [chunk({"content": piece}) if isinstance(piece, str) else piece for piece in pieces]
    upstream.answers([head_of_stream(), chunk({"role": "assistant", "content": ""}), *told])


def test_the_playground_compares_models_and_shows_text_as_text(
    page: Page, product: Product, upstream: Upstream, axe: str | None
) -> None:
    reset(upstream)
    page.goto(f"{base(product)}/console/playground/")
    page.locator("#id_prompt").fill(HOSTILE)
    page.locator("#id_model_2").select_option("scripted")
    page.locator("#id_temperature").fill("7")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert").filter(has_text="number")).to_be_visible()
    page.locator("#id_temperature").fill("0.5")
    page.get_by_role("button", name="Ask").click()
    for number in (1, 2):
        column = page.locator(f"[data-column='{number}']")
        expect(column.locator("[data-part=state]")).to_have_text("Done.", timeout=WAIT)
        expect(column.locator("[data-part=text]")).not_to_be_empty()
        expect(column.locator("[data-part=figures]")).to_contain_text("Tokens in and out")
        column.get_by_text("Why this model").click()
        expect(column.locator("[data-part=candidates] table")).to_be_visible()
    assert page.locator("[data-column='3']").is_hidden()
    assert page.title() != "owned"
    looks_sound(page, axe)
    record = page.locator("[data-column='1'] [data-part=record]")
    record.click()
    expect(page.get_by_text("What was asked")).to_be_visible()
    assert page.title() != "owned" and page.locator("img[src=x]").count() == 0


def test_a_turn_is_watched_while_it_is_written_and_stopped(
    page: Page, product: Product, upstream: Upstream, axe: str | None
) -> None:
    answers(upstream, f"Half {HOSTILE}", HANG)
    ended: list[Any] = []

    def ask() -> None:
        with product.http() as client:
            ended.append(client.post("/api/chat", json={"message": "wait", "stream": True}, timeout=60).text)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        page.goto(f"{base(product)}/console/sessions/live/")
        watch = page.get_by_role("link", name="Watch")
        until(lambda: watch.count() or page.reload() and False, "a turn to watch")
        looks_sound(page, axe)
        watch.first.click()
        expect(page.locator("#watched-text")).to_contain_text("Half")
        assert page.title() != "owned" and page.locator("img[src=x]").count() == 0
        looks_sound(page, axe)
        page.get_by_role("button", name="Stop this turn").click()
        expect(page.get_by_text("It is being stopped.")).to_be_visible()
    finally:
        asking.join(60)
    assert "cancelled" in ended[0]
    reset(upstream)


def test_an_operator_sees_workers_and_visits_a_console(browser: Browser, product: Product, axe: str | None) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(WAIT)
    sign_in(page, product, product.access["admin_user"], product.access["admin_password"], "/admin/")
    page.goto(f"{base(product)}/admin/workers/")
    until(lambda: page.locator("table tbody tr").count() >= 2 or (page.reload() and False), "both workers")
    looks_sound(page, axe)
    page.goto(f"{base(product)}/admin/instances/")
    expect(page.get_by_text("Share expected").first).to_be_visible()
    tenant = product.operate(f"value = Tenant.objects.get(slug={product.access['tenant']!r}).pk")
    page.goto(f"{base(product)}/admin/tenants/supportvisit/add/?tenant={tenant}")
    page.locator("#id_reason").fill("The budget does not add up")
    page.locator("[name=_save]").first.click()
    page.wait_for_url(f"{base(product)}/console/")
    expect(page.get_by_text("The budget does not add up")).to_be_visible()
    page.goto(f"{base(product)}/console/playground/")
    assert page.get_by_role("button", name="Ask").count() == 0
    context.close()


@pytest.fixture(scope="module")
def axe() -> str | None:
    """None: there is no axe-core; the rest is tested all the same."""
    script = Path(__file__).parents[1] / "chat" / "node_modules" / "axe-core" / "axe.min.js"
    return script.read_text() if script.exists() else None


def looks_sound(page: Page, axe: str | None) -> None:
    if axe is None:
        return
    page.evaluate("document.getAnimations().forEach((each) => { try { each.finish(); } catch {} })")
    page.evaluate(axe)
    found = page.evaluate(
        """async () => (await axe.run("#content", { resultTypes: ["violations"] })).violations.map(
            (each) => [each.id, each.nodes.map((node) => node.target.join(" "))])"""
    )
    assert found == []
