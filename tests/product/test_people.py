"""The pages of people in a browser: password, app and passkey, sessions, an invitation, the web chat."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import Browser, Page, expect

from tests.product.running import ROOT, Product
from tests.services.browser import chromium

WAIT = 20_000
AXE = ROOT / "tests" / "chat" / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
    (each) => [each.id, each.nodes.map((node) => node.target.join(" ") + ": " + node.failureSummary)])"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("people") / "var", LOCAL_MODEL="off").up() as product:
        yield product


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Person:
    """A window of their own, as wide as a phone."""

    def __init__(self, browser: Browser, product: Product, width: int = 390) -> None:
        self.base = f"http://localhost:{product.port}"
        self.context = browser.new_context(viewport={"width": width, "height": 800})
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def go(self, path: str) -> Page:
        self.page.goto(self.base + path)
        self.look()
        return self.page

    def look(self) -> None:
        """Nothing is wider than the window, no script failed, and axe is content where it is installed. The consoles
        have tests of their own."""
        if "/accounts/" not in self.page.url:
            return
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, self.page.url
        assert self.wrong == []
        if AXE.exists():
            self.page.evaluate(AXE.read_text())
            assert self.page.evaluate(RUN) == [], self.page.url

    def sign_in(self, name: str, password: str, then: str) -> Page:
        page = self.go("/accounts/login/")
        page.fill("[name=login]", name)
        page.fill("[name=password]", password)
        page.press("[name=password]", "Enter")
        page.wait_for_url(f"**{then}")
        self.look()
        return page


def make(product: Product, name: str, role: str = "owner") -> str:
    password = "a long enough phrase"
    product.operate(
        "from tenants import services\nfrom tenants.models import User\n"
        f"user = User.objects.create_user({name!r}, {name + '@acme.example'!r}, {password!r})\n"
        f"tenant = Tenant.objects.get(slug={product.access['tenant']!r})\n"
        f"_ = services.add_member(tenant=tenant, user=user, role={role!r})"
    )
    return password


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def test_a_second_factor_from_setting_it_up_to_the_web_chat(browser: Browser, product: Product) -> None:
    password = make(product, "alice")
    alice = Person(browser, product)
    page = alice.sign_in("alice", password, "/console/")
    for path in (
        "/accounts/",
        "/accounts/email/",
        "/accounts/password/change/",
        "/accounts/2fa/",
        "/accounts/sessions/",
    ):
        alice.go(path)
    alice.go("/accounts/2fa/totp/activate/")
    page.fill("[name=password]", password)
    page.press("[name=password]", "Enter")
    secret = page.locator("#authenticator_secret")
    secret.wait_for()
    alice.look()
    made = secret.input_value()
    page.fill("[name=code]", code(made))
    page.press("[name=code]", "Enter")
    page.wait_for_url("**/accounts/2fa/recovery-codes/")
    alice.look()
    recovery = re.findall(r"\b\d{8}\b", page.inner_text("main") + " ".join(page.locator("textarea").all_inner_texts()))
    recovery = recovery or re.findall(r"\b\d{8}\b", page.content())

    again = Person(browser, product, 1280)
    page = again.sign_in("alice", password, "/accounts/2fa/authenticate/**")
    page.fill("[name=code]", recovery[0])
    page.press("[name=code]", "Enter")
    page.wait_for_url("**/console/")

    chat = Person(browser, product)
    page = chat.page
    page.goto(f"{chat.base}/chat/?tenant={product.access['tenant']}")
    page.fill("#username", "alice")
    page.fill("#password", password)
    page.press("#password", "Enter")
    page.locator("#otp").wait_for()
    page.fill("#otp", recovery[1])
    page.press("#otp", "Enter")
    expect(page.locator("#otp")).to_have_count(0, timeout=WAIT)


def test_a_passkey_is_enough_to_sign_in(browser: Browser, product: Product) -> None:
    password = make(product, "bob")
    bob = Person(browser, product)
    devices = bob.context.new_cdp_session(bob.page)
    devices.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    page = bob.sign_in("bob", password, "/console/")
    bob.go("/accounts/2fa/webauthn/add/")
    page.fill("[name=password]", password)
    page.press("[name=password]", "Enter")
    page.locator("#mfa_webauthn_add").wait_for()
    bob.look()
    page.check("[name=passwordless]")
    page.click("#mfa_webauthn_add")
    page.wait_for_url("**/accounts/2fa/recovery-codes/**")
    page.click("text=Sign out")
    page.wait_for_load_state()
    bob.go("/accounts/login/")
    page.click("#passkey_login")
    page.wait_for_url("**/console/")


def test_whoever_is_invited_joins(browser: Browser, product: Product) -> None:
    made = product.operate(
        "from tenants import invitations\n"
        "import re, django.core.mail as mail\nfrom django.conf import settings\n"
        "settings.EMAIL_BACKEND = 'django.core.mail.backends.locmem.EmailBackend'\nmail.outbox = []\n"
        f"tenant = Tenant.objects.get(slug={product.access['tenant']!r})\n"
        "_ = invitations.invite(tenant=tenant, email='dora@acme.example', role='developer', by=None)\n"
        "value = re.search(r'/accounts/invitation/\\S+', mail.outbox[0].body).group()"
    )
    link = re.search(r"/accounts/invitation/\S+/", str(made)).group()
    for width in (390, 1280):
        Person(browser, product, width).go(link)
    dora = Person(browser, product)
    page = dora.go(link)
    page.fill("[name=username]", "dora")
    page.fill("[name=password]", "a long enough phrase")
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/console/")
    page = dora.go("/accounts/sessions/")
    other = Person(browser, product)
    other.sign_in("dora", "a long enough phrase", "/console/")
    page = dora.go("/accounts/sessions/")
    page.get_by_role("button", name="End", exact=True).click()
    page.wait_for_load_state()
    other.page.goto(f"{other.base}/accounts/")
    other.page.wait_for_url("**/accounts/login/**")
