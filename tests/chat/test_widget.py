"""The widget on other people's pages: those the tenant allows, and others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.chat.using import WAIT, says

pytestmark = pytest.mark.server

PAGE = """<!doctype html><html lang="en"><title>A shop</title><main><h1>A shop</h1><a href="#">A link</a></main>
<script src="{home}/widget.js" data-tenant="{tenant}" {more}></script>"""
POLICY = "default-src 'none'; script-src {home}; frame-src {home}; connect-src {home}; img-src data:"
FLIGHTY = "([...Object.keys(window)].filter((name) => /clawdbot/i.test(name)))"


class Shop:
    """A page of another origin that has the widget."""

    def __init__(self, home: str, tenant: str) -> None:
        shop = self
        self.more, self.home, self.tenant = "", home, tenant

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = PAGE.format(home=shop.home, tenant=shop.tenant, more=shop.more).encode()
                self.send_response(200 if self.path == "/" else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Security-Policy", POLICY.format(home=shop.home))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def shop(product) -> Iterator[Shop]:
    shop = Shop(product.url, product.access["tenant"])
    yield shop
    shop.close()


@pytest.fixture
def visit(using, shop):
    """The shop's page with the widget's button on it."""

    def go() -> Page:
        using.page.goto(shop.origin)
        return using.page

    yield go
    using.requests = [url for url in using.requests if not url.startswith(shop.origin)]


def frame(page: Page):
    return page.frame_locator("iframe")


def button(page: Page, name: str):
    return page.get_by_role("button", name=name)


def test_a_visitor_talks_in_it(visit, chat_site, shop, model, using):
    chat_site(name="Acme", greeting="How can we help?", accent="#0f766e", visitors="anyone", origins=[shop.origin])
    page = visit()
    button(page, "Open the chat with Acme").click()
    inside = frame(page)
    expect(inside.get_by_text("How can we help?")).to_be_visible(timeout=WAIT)
    says(model, "With **this**.")
    inside.get_by_label("Your message").fill("With what?")
    inside.get_by_label("Your message").press("Enter")
    expect(inside.locator(".answer strong")).to_have_text("this", timeout=WAIT)
    expect(inside.get_by_role("button", name="Another answer")).to_be_visible(timeout=WAIT)
    page.wait_for_timeout(200)
    using.look("widget")
    inside.get_by_role("button", name="Close the chat").click()
    expect(page.locator("iframe")).to_be_hidden()
    expect(button(page, "Open the chat with Acme")).to_be_focused()
    page.keyboard.press("Enter")
    expect(inside.locator(".answer strong")).to_have_text("this")
    inside.get_by_label("Your message").press("Escape")
    expect(page.locator("iframe")).to_be_hidden()
    page.reload()
    button(page, "Open the chat with Acme").click()
    expect(inside.locator(".answer strong")).to_have_text("this", timeout=WAIT)


def test_a_page_that_is_not_allowed_shows_no_chat(visit, chat_site, using):
    chat_site(name="Acme", visitors="anyone", origins=["https://elsewhere.example"])
    page = visit()
    button(page, "Open the chat with Acme").click()
    page.wait_for_function("document.querySelector('main')")
    inside = page.frames[-1] if len(page.frames) > 1 else None
    page.wait_for_timeout(1500)
    assert inside is None or inside.locator("#ask, #username").count() == 0
    assert [text for text in using.wrong if "frame-ancestors" in text]
    using.wrong.clear()


def test_a_member_signs_in_inside_it(visit, chat_site, shop, model, using):
    chat_site(name="Acme", origins=[shop.origin])
    page = visit()
    button(page, "Open the chat with Acme").click()
    inside = frame(page)
    inside.get_by_label("User name").fill(using.product.access["admin_user"])
    inside.get_by_label("Password").fill(using.product.access["admin_password"])
    inside.get_by_label("Password").press("Enter")
    says(model, "Welcome.")
    inside.get_by_label("Your message").fill("Hello")
    inside.get_by_label("Your message").press("Enter")
    expect(inside.get_by_text("Welcome.", exact=True)).to_be_visible(timeout=WAIT)


def test_it_leaves_nothing_on_the_page_but_itself(visit, chat_site, shop):
    chat_site(name="Acme", visitors="anyone", origins=[shop.origin])
    page = visit()
    expect(button(page, "Open the chat with Acme")).to_be_visible()
    assert page.evaluate(FLIGHTY) == []
    assert page.evaluate("Object.keys(localStorage).length + document.cookie.length + document.styleSheets.length") == 0
    assert page.evaluate("getComputedStyle(document.querySelector('a')).color") == "rgb(0, 0, 238)"


def test_nobody_else_closes_it(visit, chat_site, shop):
    chat_site(name="Acme", visitors="anyone", origins=[shop.origin])
    page = visit()
    button(page, "Open the chat with Acme").click()
    expect(frame(page).get_by_label("Your message")).to_be_visible(timeout=WAIT)
    page.evaluate("window.postMessage({ clawdbot: 'close' }, '*')")
    page.evaluate("new Promise((done) => setTimeout(done, 100))")
    expect(page.locator("iframe")).to_be_visible()


def test_it_opens_at_once_and_in_the_language_it_is_told(visit, chat_site, shop, axe):
    chat_site(name="Acme", visitors="anyone", origins=[shop.origin])
    shop.more = 'data-open data-language="zh"'
    page = visit()
    expect(frame(page).get_by_label("您的消息")).to_be_visible(timeout=WAIT)
    expect(button(page, "关闭聊天").last).to_be_visible()
    page.evaluate(axe)
    found = page.evaluate(
        "async () => (await axe.run()).violations.map((each) => [each.id, each.nodes.map((n) => n.html)])"
    )
    assert found == []


def test_on_a_phone_it_fills_the_screen(visit, chat_site, shop, using):
    chat_site(name="Acme", visitors="anyone", origins=[shop.origin])
    using.page.set_viewport_size({"width": 360, "height": 700})
    page = visit()
    button(page, "Open the chat with Acme").click()
    expect(frame(page).get_by_label("Your message")).to_be_visible(timeout=WAIT)
    assert page.locator("iframe").bounding_box() == {"x": 0, "y": 0, "width": 360, "height": 700}
    using.look("widget-phone")
    frame(page).get_by_role("button", name="Close the chat").click()
    expect(page.locator("iframe")).to_be_hidden()


def test_without_a_tenant_it_says_so_and_does_nothing(visit, shop, using):
    shop.tenant = ""
    page = visit()
    assert page.get_by_role("button").count() == 0
    assert using.wrong == ["Clawdbot: the script has no data-tenant."]
    using.wrong.clear()
