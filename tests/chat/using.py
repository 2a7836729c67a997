"""Somebody in front of the chat's page: what they do, and what they see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, Request, expect

from tests.adapters.upstream import Upstream, by_stream, events, streamed, whole
from tests.product.running import ROOT, Product

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; "
    "connect-src 'self' ws: wss:; font-src 'self'; base-uri 'none'; form-action 'self'"
)
SCREENSHOTS = ROOT / "build" / "screenshots"
WAIT = 20_000  # milliseconds; other suites share the machine


def says(model: Upstream, text: str, *, pause: float = 0.0, size: int = 0, before: list[Any] | None = None) -> None:
    """The model's answer from now on, in pieces of `size` characters. `before` are deltas that come first."""
    pieces = [text[place : place + size] for place in range(0, len(text), size)] if size else [text]
    model.answers(whole(text), streamed(events(*(before or []), *pieces), pause), choose=by_stream)


class Using:
    """A browser of one's own. `requests` are those to any other host than the product's."""

    def __init__(self, browser: Browser, product: Product, name: str, **options: Any) -> None:
        self.product = product
        self.name = re.sub(r"\W+", "-", name).strip("-")
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, "locale": "en-US", **options})
        self.context.set_default_timeout(WAIT)
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.requests: list[str] = []
        self.context.on("request", self._asked)
        self.context.on("page", self._listen)
        self._listen(self.page)

    def _listen(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https") and address.netloc != urlsplit(self.product.url).netloc:
            self.requests.append(request.url)

    def close(self, *, expected: str = "") -> None:
        """`expected`: a complaint that belongs to the test."""
        self.context.close()
        assert [text for text in self.wrong if not expected or expected not in text] == []
        assert self.requests == []

    # What they do ----------------------------------------------------------------------------------------------------

    def arrive(self, query: str = "") -> Self:
        self.page.goto(f"{self.product.url}/chat/?tenant={self.product.access['tenant']}{query}")
        return self

    def sign_in(self, user: str = "", password: str = "") -> Self:
        self.page.fill("#username", user or self.product.access["admin_user"])
        self.page.fill("#password", password or self.product.access["admin_password"])
        self.page.keyboard.press("Enter")
        self.field.wait_for()
        return self

    def enter(self, query: str = "") -> Self:
        return self.arrive(query).sign_in()

    def ask(self, text: str) -> Self:
        """Sends a question and does not wait."""
        self.field.fill(text)
        self.field.press("Enter")
        return self

    def told(self, text: str, answer: str) -> Self:
        """Asks, and waits for that answer to be kept."""
        self.ask(text)
        expect(self.answer).to_contain_text(answer, timeout=WAIT)
        self.settled()
        return self

    def settled(self) -> None:
        """Nothing is being answered, the last answer has its place among the versions, and the next question can be
        sent: that comes last, once a new conversation has its name too."""
        expect(self.answer.get_by_role("button", name="Another answer")).to_be_visible(timeout=WAIT)
        expect(self.page.locator(".composer .send:not(.stop)")).to_be_visible(timeout=WAIT)

    def press(self, name: str, within: Locator | None = None) -> None:
        (within or self.page).get_by_role("button", name=name, exact=True).click()

    def choose(self, name: str) -> None:
        """From the open menu."""
        self.page.get_by_role("menuitem", name=name, exact=True).click()

    def options(self) -> None:
        """Opens the menu of the conversation that is shown."""
        self.page.locator(".head").get_by_role("button", name=re.compile("^Options of")).click()

    # What they see ---------------------------------------------------------------------------------------------------

    @property
    def field(self) -> Locator:
        return self.page.locator("#ask")

    @property
    def turns(self) -> Locator:
        return self.page.locator("li.turn")

    @property
    def answer(self) -> Locator:
        """The last one."""
        return self.page.locator(".answer").last

    @property
    def question(self) -> Locator:
        return self.page.locator(".question").last

    @property
    def listed(self) -> list[str]:
        return self.page.locator(".sessions .session").all_inner_texts()

    def look(self, name: str = "") -> Path:
        """Keeps a picture of the page as it is."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name or self.name}.png"
        self.page.screenshot(path=path)
        return path
