"""Whoever uses the tab next sees nothing of the one before; what was asked for last is what is shown."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect

from tests.adapters.upstream import HANG, chunk, head_of_stream
from tests.chat.using import WAIT, says

pytestmark = pytest.mark.server

PASSWORD = "another-pass-word-1"


@pytest.fixture
def another(product) -> str:
    """Another member's name."""
    product.operate(
        f"tenant = Tenant.objects.get(slug={product.access['tenant']!r})\n"
        "user = User.objects.filter(username='another').first() or "
        f"User.objects.create_user('another', password={PASSWORD!r})\n"
        "Member.objects.everywhere().filter(user=user).exists() or services.add_member(tenant=tenant, user=user)"
    )
    return "another"


def listed(route: Route) -> None:
    """More conversations than a page of the list has."""
    older = "cursor" in route.request.url
    sessions = [
        {
            "session_id": f"s{number}{older}",
            "name": "Long ago" if older else f"Number {number}",
            "version": 1,
            "state": "live",
            "metadata": {"last_active": 1},
        }
        for number in range(1 if older else 50)
    ]
    route.fulfill(json={"sessions": sessions, "next_cursor": None if older else "next"})


def test_nothing_of_the_member_before_is_left(using, model, another):
    using.page.route("**/api/sessions?**", listed)
    using.enter()
    using.press("Show older ones")
    expect(using.page.get_by_role("button", name="Long ago", exact=True)).to_be_attached()
    using.page.get_by_label("Search by name").fill("Long")
    using.page.unroute("**/api/sessions?**")
    model.answers([head_of_stream(), chunk({"role": "assistant", "content": "Half"}), HANG])
    using.ask("My secret question")
    expect(using.answer).to_contain_text("Half", timeout=WAIT)
    using.press("New conversation")
    using.field.fill("my secret draft")
    using.press("Sign out")
    expect(using.page.get_by_label("User name")).to_be_visible()
    using.sign_in(another, PASSWORD)
    expect(using.page.get_by_text("Signed in as another")).to_be_visible()
    expect(using.page.get_by_text("Nothing here yet.", exact=False)).to_be_visible(timeout=WAIT)
    expect(using.field).to_have_value("")
    assert using.turns.count() == 0
    assert using.page.locator(".notice.error").count() == 0
    assert "secret" not in using.page.locator("body").inner_text()


def test_nothing_of_it_is_in_the_title_either(using, model):
    using.enter()
    says(model, "Yes.")
    using.told("My secret question", "Yes.")
    using.press("Sign out")
    expect(using.page.get_by_label("User name")).to_be_visible()
    assert "secret" not in using.page.title()


def test_what_is_opened_last_is_shown(using, model):
    using.enter()
    says(model, "Yes.")
    using.told("The slow one", "Yes.")
    slow = using.page.url.partition("#")[2]
    using.press("New conversation")
    using.told("The quick one", "Yes.")
    using.press("New conversation")
    held: list[Route] = []
    using.page.route(f"**/api/sessions/{slow}", lambda route: held.append(route))
    using.page.get_by_role("button", name="The slow one", exact=True).first.click()
    using.page.get_by_role("button", name="The quick one", exact=True).first.click()
    expect(using.question).to_contain_text("The quick one", timeout=WAIT)
    assert held
    with using.page.expect_response(f"**/api/sessions/{slow}"):
        held[0].continue_()
    using.page.wait_for_function("fetch('/livez').then(() => true)")  # what came before it has been seen to
    expect(using.page.get_by_role("heading", level=1)).to_have_text("The quick one")
    expect(using.question).to_contain_text("The quick one")


def test_the_answer_before_a_stopped_one_is_not_lost(using, model):
    using.enter()
    says(model, "The first answer.")
    using.told("A question", "The first answer.")
    model.answers([head_of_stream(), chunk({"role": "assistant", "content": "Half"}), HANG])
    using.press("Another answer")
    expect(using.answer).to_contain_text("Half", timeout=WAIT)
    using.press("Stop")
    expect(using.answer).to_contain_text("Stopped", timeout=WAIT)
    using.press("Show what came after")
    expect(using.answer).to_contain_text("The first answer.", timeout=WAIT)
    expect(using.turns).to_have_count(1)


def test_nothing_else_can_be_asked_for_while_an_answer_comes(using, model):
    using.enter()
    says(model, "The first answer.")
    using.told("A question", "The first answer.")
    again = using.page.get_by_role("button", name="Another answer", exact=True)
    edit = using.page.get_by_role("button", name="Edit the question", exact=True)
    expect(again).to_be_enabled()
    model.answers([head_of_stream(), chunk({"role": "assistant", "content": "Half"}), HANG])
    using.ask("Another question")
    expect(using.answer).to_contain_text("Half", timeout=WAIT)
    expect(again).to_be_disabled()
    expect(edit).to_be_disabled()
    using.press("Stop")
    expect(using.answer).to_contain_text("Stopped", timeout=WAIT)
    expect(again).to_be_enabled()
    expect(edit.first).to_be_enabled()
