"""Every page for people in Chromium, as on a phone and on a desk: nothing for axe to complain about, nothing wider than
the window, no error in the browser's console, nothing that the page's own policy forbids; and in Chinese no word of the
catalogue is left in English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.product.console_rows import ROWS
from tests.product.console_walk import TEXTS, Walk, signed_in
from tests.product.running import ROOT, Product
from tests.services.browser import chromium

AXE = ROOT / "tests" / "chat" / "node_modules" / "axe-core" / "axe.min.js"
CATALOGUE = ROOT / "access" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
PLACES = {"/console/": 60, "/admin/": 70, "/accounts/": 5}  # kinds of pages there are, at least
NAMES = {  # of people, rows, features and languages, not words
    "admin", "fallback", "system", "temperature", "user", "language", "intent", "english",
    "always", "asked", "prefix", "body", "text", "queue", "database",  # settings of plugins, as files and API say them
}  # fmt: skip
PHONE, DESK = 390, 1280
DARK = (
    "/console/plugins/",
    "/console/compliance/auditentry/",
    "/console/tenants/tenant/",
    "/admin/instances/",
    "/accounts/",
)
READABLE = """async () => (await axe.run(document, { runOnly: ["color-contrast"] })).violations
    .flatMap((each) => each.nodes.map((node) => node.html))"""
INJECTED = """() => {
    const script = document.createElement("script");
    script.text = "window.stolen = 1";
    document.body.append(script);
    const image = document.createElement("img");
    image.setAttribute("onerror", "window.stolen = 2");
    image.src = "data:image/png;base64,AAAA";
    document.body.append(image);
    const frame = document.createElement("iframe");
    frame.src = "https://evil.example/";
    document.body.append(frame);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Without any model: pages do not ask one."""
    with Product(tmp_path_factory.mktemp("consoles") / "var", LOCAL_MODEL="off", WORKERS="1").up() as product:
        product.operate(ROWS.format(tenant=product.access["tenant"]))
        yield product


@pytest.fixture(scope="module")
def cookie(quiet: Product) -> dict[str, str]:
    return signed_in(quiet, quiet.access["admin_user"])


@pytest.fixture(scope="module")
def axe() -> str:
    if not Path(AXE).exists():
        pytest.skip("There is no axe-core (tools/node.sh tests/chat).")
    return AXE.read_text()


def refused(said: ConsoleMessage) -> list[str]:
    """What the browser kept a page from, such as an inline script or a request elsewhere."""
    return [said.text] if said.type == "error" and "Security Policy" in said.text else []


@contextmanager
def opened(browser: Browser, *cookies: dict[str, str]) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what went wrong in its scripts."""
    context = browser.new_context(locale="en-US", reduced_motion="reduce")
    context.set_default_timeout(60_000)
    context.add_cookies(list(cookies))  # type: ignore[arg-type]
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.extend(refused(said)))
    yield page, complaints
    context.close()


@pytest.mark.parametrize("place", PLACES)
def test_every_page_fits_and_can_be_used_by_everybody(
    quiet: Product, browser: Browser, cookie: dict[str, str], axe: str, place: str
) -> None:
    with opened(browser, cookie) as (page, complaints):
        walk = Walk(page, quiet.url, place, axe, widths=[DESK, PHONE])
        walk.go()
    assert len(walk.seen) >= PLACES[place], walk.seen
    assert walk.wrong == []
    assert {rule: places[:3] for rule, places in walk.axe_says.items()} == {}
    assert complaints == []


def test_what_is_written_can_be_read_in_the_dark(
    quiet: Product, browser: Browser, cookie: dict[str, str], axe: str
) -> None:
    with opened(browser, cookie) as (page, complaints):
        page.emulate_media(color_scheme="dark")
        for address in DARK:
            page.goto(quiet.url + address)
            page.evaluate(axe)
            assert page.evaluate(READABLE) == [], address
    assert complaints == []


@pytest.mark.parametrize(
    ("address", "shows"),
    [
        ("/api/docs/", ".opblock"),
        ("/chat/", "#app, main"),
        ("/accounts/login/", "[name=login]"),
        ("/accounts/password/reset/", "[name=email]"),
        ("/console/login/", "[name=login]"),
    ],
)
def test_pages_for_everybody_keep_to_their_policy_and_work(
    quiet: Product, browser: Browser, address: str, shows: str
) -> None:
    with opened(browser) as (page, complaints):
        page.goto(quiet.url + address)
        page.locator(shows).first.wait_for()
        page.wait_for_load_state("networkidle")
        assert complaints == []


def test_no_markup_that_gets_into_a_page_runs(quiet: Product, browser: Browser, cookie: dict[str, str]) -> None:
    """Had a text of somebody's become markup: the browser says that it is refused, and this test hears that."""
    for address in ("/console/", "/accounts/", "/api/docs/", "/chat/"):
        with opened(browser, cookie) as (page, complaints):
            page.goto(quiet.url + address)
            page.evaluate(INJECTED)
            page.wait_for_timeout(200)
            assert page.evaluate("window.stolen") is None, address
            assert len(complaints) >= 3, (address, complaints)


@pytest.mark.parametrize("place", PLACES)
def test_every_page_is_in_chinese(quiet: Product, browser: Browser, cookie: dict[str, str], place: str) -> None:
    english = translated()
    left: dict[str, str] = {}

    def read(page: Page, kind: str) -> None:
        texts = [" ".join(text.split()) for text in page.evaluate(TEXTS)]
        left.update({text: kind for text in texts if text.lower() in english - NAMES})

    chosen = {"name": "django_language", "value": "zh-hans", "url": quiet.url}
    with opened(browser, cookie, chosen) as (page, complaints):
        walk = Walk(page, quiet.url, place, widths=[PHONE], at=read)
        walk.go()
    assert walk.wrong == []
    assert left == {}
    assert complaints == []


@pytest.mark.parametrize("address", ["/accounts/login/", "/console/", "/admin/"])
def test_the_language_is_switched_where_one_is(
    quiet: Product, browser: Browser, cookie: dict[str, str], address: str
) -> None:
    with opened(browser, *([] if "login" in address else [cookie])) as (page, _):
        page.goto(quiet.url + address)
        assert page.locator("html").get_attribute("lang") == "en"
        page.get_by_role("button", name="简体中文").click()
        page.wait_for_load_state()
        assert page.url == quiet.url + address
        assert page.locator("html").get_attribute("lang") == "zh-hans"
        page.get_by_role("button", name="English").click()
        page.wait_for_load_state()
        assert page.locator("html").get_attribute("lang") == "en"


def translated() -> set[str]:
    """Messages that are something else in Chinese; in small letters."""
    with CATALOGUE.open("rb") as file:
        catalogue = read_po(file, locale="zh_Hans")
    found = {message.id: message.string for message in catalogue if isinstance(message.id, str) and message.id}
    pairs = {english.lower(): chinese.lower() for english, chinese in found.items()}
    return {english for english, chinese in pairs.items() if english != chinese and re.search("[a-z]", english)}
