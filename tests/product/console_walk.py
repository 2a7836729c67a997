"""Walks every page of a console in a browser: whatever can be reached by links from its overview, one page a kind.

walk = Walk(page, product.url, "/console/", axe)
walk.go()       # visits; `walk.seen` are the kinds of pages, `walk.wrong` what is wrong with them
walk.axe_says   # by axe's rule: where
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urldefrag, urljoin, urlsplit

from playwright.sync_api import Page

# A dialog is a part of the page that opens it: what is said of whole pages is not said of it.
AXE: Final = """async () => {
    const dialog = document.querySelector("main") ? null : document.querySelector("#dialog");
    const found = await axe.run(dialog ?? document, { resultTypes: ["violations"] });
    const whole = new Set(["document-title", "html-has-lang", "landmark-one-main", "region"]);
    return found.violations.filter((each) => !dialog || !whole.has(each.id)).map(
        (each) => [each.id, each.nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ")]);
}"""
WIDE: Final = "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
STILL: Final = "document.getAnimations().forEach((each) => { try { each.finish(); } catch {} })"
LINKS: Final = "[...document.querySelectorAll('a[href]')].map((each) => each.href)"
# What people read, without icons (whose names are English words), programs and what people wrote.
TEXTS: Final = """() => {
    const found = [];
    const within = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const other = ".material-symbols-outlined, script, style, template, pre, code, del, ins, textarea, .journal-values";
    while (within.nextNode()) if (!within.currentNode.parentElement.closest(other)) found.push(within.currentNode.data);
    for (const each of document.querySelectorAll("[aria-label], [title], [placeholder]"))
        found.push(each.ariaLabel, each.title, each.placeholder);
    return found.filter((each) => each && each.trim());
}"""
LEFT_ALONE: Final = re.compile(
    r"/(?:logout|jsi18n|download(?:-csv)?|password_change|result)/|/r/\d|\.(?:csv|json|jsonl|yaml)$"
)
NUMBER: Final = re.compile(r"[0-9][0-9a-f]*(?=/|$)")
ALIKE: Final = re.compile(r"^(/\w+/)\w+/\w+/(#/(?:history|delete)/)$")  # the same for rows of whichever table
HEIGHT: Final = 900

At = Callable[[Page, str], None]


class Walk:
    """`start` is a console's address within the product; `axe` the script of axe-core, empty to do without; `widths`
    the windows each page is looked at in; `at` is called at each page, such as for a picture. Pages of one kind (those
    of rows, say) are looked at once."""

    def __init__(
        self, page: Page, url: str, start: str, axe: str = "", widths: Sequence[int] = (), at: At | None = None
    ) -> None:
        self.page = page
        self.url = url
        self.start = start
        self.axe = axe
        self.widths = widths
        self.at = at
        self.seen: dict[str, str] = {}
        self.wrong: list[str] = []
        self.axe_says: dict[str, list[str]] = {}

    def go(self, most: int = 200) -> None:
        waiting = deque([urljoin(self.url, self.start)])
        while waiting and len(self.seen) < most:
            address = waiting.popleft()
            kind = self.kind(address)
            if kind is None or kind in self.seen:
                continue
            self.seen[kind] = address
            waiting.extend(self._visited(address, kind))

    def kind(self, address: str) -> str | None:
        """What is the same of all pages of a kind; None: not to be walked."""
        parts = urlsplit(address)
        path = parts.path
        if parts.netloc != urlsplit(self.url).netloc or not path.startswith(self.start) or LEFT_ALONE.search(path):
            return None
        return ALIKE.sub(r"\1…/\2", NUMBER.sub("#", path))

    def _visited(self, address: str, kind: str) -> list[str]:
        answer = self.page.goto(address)
        status = answer.status if answer is not None else 0
        if status != 200:
            self.wrong.append(f"{kind}: status {status}")
            return []
        self.page.evaluate(STILL)
        if self.axe:
            self.page.evaluate(self.axe)
        for width in self.widths:
            self.page.set_viewport_size({"width": width, "height": HEIGHT})
            self._look(kind, width)
        if self.at is not None:
            self.at(self.page, kind)
        return [urldefrag(link).url.partition("?")[0] for link in self.page.evaluate(LINKS)]

    def _look(self, kind: str, width: int) -> None:
        if (wide := self.page.evaluate(WIDE)) > 1:
            self.wrong.append(f"{kind}: {wide} px wider than a window of {width}")
        if self.axe:
            for rule, places in self.page.evaluate(AXE):
                self.axe_says.setdefault(rule, []).append(f"{kind} at {width}: {places}")


def signed_in(product: Any, username: str) -> dict[str, Any]:
    """The cookie of a web session of this user, for a browser's context."""
    key = product.operate(
        "from importlib import import_module\n"
        "from django.conf import settings\n"
        "from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY\n"
        f"user = User.objects.get(username={username!r})\n"
        "session = import_module(settings.SESSION_ENGINE).SessionStore()\n"
        "session[SESSION_KEY] = str(user.pk)\n"
        "session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]\n"
        "session[HASH_SESSION_KEY] = user.get_session_auth_hash()\n"
        "session.save()\n"
        "value = session.session_key"
    )
    return {"name": "sessionid", "value": key, "url": product.url}
