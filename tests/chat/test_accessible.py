"""axe finds nothing to complain about, in any state of the page, light or dark, large or small."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.adapters.upstream import HANG, chunk, head_of_stream
from tests.chat.test_talking import RICH
from tests.chat.using import WAIT, Using, says

pytestmark = pytest.mark.server

RUN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
    (each) => [each.id, each.nodes.map((node) => node.target.join(" ") + ": " + node.failureSummary)])"""


@pytest.fixture
def sound(axe):
    """Looks at the page as it is now."""

    def look(page: Page) -> None:
        page.evaluate("document.getAnimations().forEach((each) => { try { each.finish(); } catch {} })")
        page.evaluate(axe)  # by the debugger: the page's policy allows no other script
        assert page.evaluate(RUN) == []

    return look


@pytest.mark.parametrize(
    ("scheme", "width", "colours"),
    [
        ("light", 1200, {}),
        ("dark", 1200, {}),
        ("light", 360, {}),
        ("dark", 360, {}),
        ("light", 1200, {"accent": "#ffdd00", "background": "#fff7d6"}),
        ("light", 1200, {"accent": "#00c853", "background": "#101820"}),
    ],
)
def test_no_state_of_the_page_has_a_violation(browser, product, model, chat_site, sound, scheme, width, colours):
    chat_site(name="Acme", greeting="Ask us anything.", **colours)
    using = Using(browser, product, "accessible", viewport={"width": width, "height": 800}, color_scheme=scheme)
    look = lambda name: (sound(using.page), using.look(f"accessible-{scheme}-{width}-{len(colours)}-{name}"))  # noqa: E731
    using.arrive()
    expect(using.page.locator("#username")).to_be_visible(timeout=WAIT)
    look("sign-in")
    using.sign_in()
    look("empty")
    model.answers([head_of_stream(), chunk({"role": "assistant", "content": "Half"}), HANG])
    using.ask("Wait for it")
    expect(using.answer).to_contain_text("Half", timeout=WAIT)
    look("streaming")
    using.press("Stop")
    expect(using.answer).to_contain_text("Stopped", timeout=WAIT)
    look("stopped")
    using.press("New conversation") if width > 760 else (
        using.press("Show conversations"),
        using.press("New conversation"),
    )
    says(model, RICH, before=[{"reasoning_content": "Hm."}])
    using.told("Show me", "chart")
    says(model, "Another.")
    using.press("Another answer", using.answer)
    expect(using.page.get_by_role("group", name="Version 2 of 2")).to_be_visible(timeout=WAIT)
    using.press("Earlier version", using.answer)
    expect(using.answer).to_contain_text("chart", timeout=WAIT)
    look("answer")
    using.press("Edit the question")
    look("editing")
    using.page.keyboard.press("Escape")
    using.press("Why this model?", using.answer)
    expect(using.page.get_by_role("dialog")).to_be_visible()
    look("why")
    using.page.keyboard.press("Escape")
    using.options()
    look("menu")
    using.choose("Versions and snapshots")
    using.page.get_by_label("Name of the snapshot").fill("Here")
    using.page.keyboard.press("Enter")
    expect(using.page.get_by_role("dialog").get_by_role("listitem")).to_have_count(1, timeout=WAIT)
    look("snapshots")
    using.page.keyboard.press("Escape")
    using.options()
    using.choose("Delete")
    look("delete")
    using.page.keyboard.press("Escape")
    if width < 760:
        using.press("Show conversations")
        look("drawer")
    using.close()
