"""Pictures of every page of both consoles and of `/accounts/`, and the page docs/screens.md that shows them.

    .venv/bin/python -m tests.product.screenshots

Starts a product of its own with rows to look at. Pictures are WebP, 1280 px wide, at most as tall as two windows; a few
also as on a phone and in Chinese."""

from __future__ import annotations

import base64
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page

from tests.product.console_rows import ROWS, VISIT
from tests.product.console_walk import Walk, signed_in
from tests.product.running import ROOT, Product
from tests.services.browser import chromium

FOLDER: Final = ROOT / "docs" / "images" / "console"
PAGE: Final = ROOT / "docs" / "screens.md"
PLACES: Final = {"/console/": "A tenant's console", "/admin/": "The platform's console", "/accounts/": "Accounts"}
ALSO: Final = ("/console/", "/console/tenants/apikey/", "/console/playground/")  # on a phone and in Chinese, too
SIGNED_OUT: Final = ("/accounts/login/",)
DESK, PHONE, TALLEST = 1280, 390, 1800
QUALITY: Final = 55
# What a background task does once a minute.
COUNTED: Final = "from compliance.tasks import analyse_journal\nanalyse_journal()\nvalue = None"
SAID: Final = [
    ("alice", "When does the museum open?"),
    ("alice", "Which plants grow in the shade?"),
    ("dave", "Translate: good morning"),
    ("dave", "What do you know of bluebird?"),
    ("eve", "Sum up the minutes of Monday"),
]


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.webp"):
        old.unlink()
    shown: dict[str, list[tuple[str, str, str]]] = {place: [] for place in PLACES}
    with tempfile.TemporaryDirectory() as folder:
        with Product(Path(folder) / "var", LOCAL_MODEL="off", WORKERS="1").up() as product, chromium() as browser:
            furnish(product)
            for place in PLACES:
                shown[place] = walked(product, browser, place)
            again = [*variants(product, browser)]
    PAGE.write_text(written(shown, again))
    total = sum(file.stat().st_size for file in FOLDER.glob("*.webp"))
    sys.stdout.write(f"{len([*FOLDER.glob('*.webp')])} pictures, {total / 1e6:.1f} MB\n")
    return 0


def furnish(product: Product) -> None:
    """Rows of every kind, turns of several users, an operator's visit."""
    for user, text in SAID:
        assert product.ask(text, user=user).status_code == 200
    product.operate(ROWS.format(tenant=product.access["tenant"]))
    for user, text in SAID:
        product.ask(text, user=user)
    product.operate(VISIT.format(tenant=product.access["tenant"]))
    product.operate(COUNTED)


def walked(product: Product, browser: Browser, place: str) -> list[tuple[str, str, str]]:
    """(file, title, address) of each page."""
    found = []
    page = opened(product, browser, DESK)

    def at(page: Page, kind: str) -> None:
        if page.locator("main").count():  # a dialog is no page
            found.append((taken(page, named(kind)), titled(page), kind))

    Walk(page, product.url, place, at=at).go()
    page.context.close()
    for address in SIGNED_OUT if place == "/accounts/" else ():
        page = opened(product, browser, DESK, signed=False)
        page.goto(product.url + address)
        found.insert(0, (taken(page, named(address)), titled(page), address))
        page.context.close()
    return found


def variants(product: Product, browser: Browser) -> list[tuple[str, str, str]]:
    found = []
    for width, language, name in ((PHONE, "en", "phone"), (DESK, "zh-hans", "zh"), (PHONE, "zh-hans", "zh-phone")):
        page = opened(product, browser, width, language)
        for address in ALSO:
            page.goto(product.url + address)
            found.append((taken(page, f"{named(address)}-{name}"), titled(page), address))
        page.context.close()
    page = opened(product, browser, DESK)
    page.emulate_media(color_scheme="dark")
    page.goto(product.url + ALSO[0])
    found.append((taken(page, f"{named(ALSO[0])}-dark"), titled(page), ALSO[0]))
    page.context.close()
    return found


def opened(product: Product, browser: Browser, width: int, language: str = "en", *, signed: bool = True) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, locale="en-US", reduced_motion="reduce", timezone_id="UTC"
    )
    context.set_default_timeout(60_000)
    context.add_cookies([{"name": "django_language", "value": language, "url": product.url}])
    if signed:
        context.add_cookies([signed_in(product, product.access["admin_user"])])  # type: ignore[list-item]
    return context.new_page()


def taken(page: Page, name: str) -> str:
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(250)
    size = page.viewport_size or {"width": DESK, "height": 900}
    full = page.evaluate("document.scrollingElement.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": max(600, min(full, TALLEST))})  # the side bar goes along
    page.wait_for_timeout(100)
    session = page.context.new_cdp_session(page)
    picture = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    (FOLDER / f"{name}.webp").write_bytes(base64.b64decode(picture["data"]))
    session.detach()
    page.set_viewport_size({"width": size["width"], "height": 900})
    return f"{name}.webp"


def named(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind.lower().replace("compliance/auditentry", "journal")).strip("-")


def titled(page: Page) -> str:
    return " ".join(page.title().rsplit("|", 1)[0].rsplit("·", 1)[0].split())


def written(shown: dict[str, list[tuple[str, str, str]]], again: list[tuple[str, str, str]]) -> str:
    parts = [
        "# Every screen",
        "What each is for: [the consoles](console.md), [people](people.md). Written by "
        "`python -m tests.product.screenshots`, which starts a product with a few rows and walks it.",
    ]
    for place, title in PLACES.items():
        parts.append(f"## {title}")
        parts += [f"**{name}**: `{at}`\n\n![{name}](images/console/{file})" for file, name, at in shown[place]]
    parts.append("## On a phone, in Chinese, in the dark")
    parts += [f"**{name}**: `{at}`\n\n![{name}](images/console/{file})" for file, name, at in again]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
