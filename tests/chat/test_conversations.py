"""The side bar, snapshots, drafts, other windows; languages, small screens and the keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.chat.using import WAIT, Using, says

pytestmark = pytest.mark.server


def test_conversations_are_found_renamed_and_deleted(using, model):
    using.enter()
    says(model, "Yes.")
    for name in ("Tea in spring", "Coffee in autumn"):
        using.told(name, "Yes.")
        using.press("New conversation")
    search = using.page.get_by_label("Search by name")
    search.fill("TEA in")
    expect(using.page.locator(".sessions .session")).to_have_count(1)
    search.fill("nothing like it")
    expect(using.page.get_by_text("No conversation has this name.")).to_be_visible()
    search.fill("")
    using.page.get_by_role("button", name="Tea in spring", exact=True).click()
    expect(using.answer).to_contain_text("Yes.")
    using.press("Options of “Tea in spring”", using.page.get_by_role("navigation"))
    using.look("menu")
    using.choose("Rename")
    using.page.get_by_role("dialog").get_by_label("Name").fill("Green tea")
    using.page.keyboard.press("Enter")
    expect(using.page.get_by_role("heading", level=1)).to_have_text("Green tea")
    expect(using.page.locator(".notice")).to_have_text("The conversation is called “Green tea” now.")
    using.options()
    using.choose("Delete")
    dialog = using.page.get_by_role("dialog", name="Delete this conversation?")
    using.press("Cancel", dialog)
    assert "Green tea" in using.listed
    using.options()
    using.choose("Delete")
    using.press("Delete", dialog)
    expect(using.page.get_by_role("button", name="Green tea", exact=True)).to_have_count(0, timeout=WAIT)
    expect(using.turns).to_have_count(0)
    assert "#" not in using.page.url


def test_a_name_is_made_of_whole_characters(using, model):
    using.enter()
    says(model, "Yes.")
    using.told("y" * 59 + "\N{GRINNING FACE} and on", "Yes.")
    expect(using.page.get_by_role("heading", level=1)).to_have_text("y" * 59 + "\N{GRINNING FACE}")


def test_what_holds_a_nul_is_refused_in_words(using):
    using.enter()
    using.ask("a\0b")
    expect(using.answer.locator(".error")).to_contain_text("NUL characters are not allowed.", timeout=WAIT)


def test_older_conversations_are_had_page_by_page(using, model):
    with using.product.http("") as client:
        access = using.product.access
        answer = client.post(
            "/api/token/", json={"username": access["admin_user"], "password": access["admin_password"]}
        )
        client.headers["Authorization"] = f"Bearer {answer.json()['access']}"
        says(model, "Yes.")
        for number in range(55):
            assert client.post("/api/chat", json={"message": f"Number {number}"}).status_code == 200
    using.enter()
    expect(using.page.locator(".sessions .session")).to_have_count(50)
    using.press("Show older ones")
    expect(using.page.locator(".sessions .session").nth(54)).to_be_attached()


def test_a_snapshot_is_made_and_gone_back_to(using, model):
    using.enter()
    says(model, "One.")
    using.told("First", "One.")
    using.options()
    using.choose("Versions and snapshots")
    dialog = using.page.get_by_role("dialog", name="Snapshots")
    expect(dialog).to_contain_text("There are no snapshots yet.")
    dialog.get_by_label("Name of the snapshot").fill("Before the storm")
    using.press("Make a snapshot", dialog)
    expect(dialog.get_by_role("listitem")).to_contain_text("Before the storm")
    using.look("snapshots")
    using.page.keyboard.press("Escape")
    says(model, "Two.")
    using.told("Second", "Two.")
    using.options()
    using.choose("Versions and snapshots")
    using.press("Go back to it", dialog)
    expect(using.turns).to_have_count(1, timeout=WAIT)
    expect(using.page.get_by_text("This conversation was taken back to here.", exact=False)).to_be_visible()
    using.press("Show what came after")
    expect(using.turns).to_have_count(2, timeout=WAIT)
    using.options()
    using.choose("Versions and snapshots")
    using.press("Continue in a new conversation", dialog)
    expect(using.page.get_by_text("What is above was said in another conversation.")).to_be_visible(timeout=WAIT)
    expect(using.turns).to_have_count(1)


def test_what_is_not_sent_yet_is_kept(using, model):
    using.enter()
    says(model, "Yes.")
    using.told("A first question", "Yes.")
    using.field.fill("half a thou")
    using.press("New conversation")
    expect(using.field).to_have_value("")
    using.field.fill("something new")
    using.page.get_by_role("button", name="A first question", exact=True).first.click()
    expect(using.turns).to_have_count(1, timeout=WAIT)
    expect(using.field).to_have_value("half a thou")
    using.page.reload()
    expect(using.field).to_have_value("half a thou")


def test_what_is_asked_in_another_window_appears(using, browser, model):
    using.enter()
    says(model, "Yes.")
    using.told("Here", "Yes.")
    other = Using(browser, using.product, "other")
    other.enter(f"#{using.page.url.partition('#')[2]}")
    expect(other.turns).to_have_count(1)
    says(model, "Heard there too.", size=3, pause=0.02)
    other.told("There", "Heard there too.")
    expect(using.turns).to_have_count(2, timeout=WAIT)
    expect(using.question).to_contain_text("Asked in another window")
    expect(using.answer).to_contain_text("Heard there too.")
    using.settled()
    other.press("Another answer", other.answer)
    expect(other.page.get_by_role("group", name="Version 2 of 2")).to_be_visible(timeout=WAIT)
    expect(using.page.get_by_role("group", name="Version 2 of 2")).to_be_visible(timeout=WAIT)
    other.close()


def test_a_lost_connection_is_told_and_comes_back(using, model):
    using.enter()
    says(model, "Yes.")
    using.told("Before", "Yes.")
    using.context.set_offline(True)
    using.ask("While away")
    expect(using.page.get_by_text("You are offline.", exact=False)).to_be_visible(timeout=WAIT)
    using.look("offline")
    using.context.set_offline(False)
    expect(using.answer).to_contain_text("Yes.", timeout=WAIT)
    using.settled()
    expect(using.page.get_by_text("You are offline.", exact=False)).to_be_hidden()
    using.wrong = [text for text in using.wrong if "ERR_INTERNET_DISCONNECTED" not in text]


def test_the_page_speaks_chinese(browser, product, model):
    using = Using(browser, product, "chinese", locale="zh-CN")
    using.arrive()
    using.sign_in()
    expect(using.page.get_by_role("button", name="新对话")).to_be_visible()
    assert using.page.locator("html").get_attribute("lang") == "zh-CN"
    says(model, "你好！")
    using.ask("你好吗？")
    expect(using.answer).to_contain_text("你好！", timeout=WAIT)
    expect(using.answer.get_by_role("button", name="换一个回答")).to_be_visible(timeout=WAIT)
    using.look("chinese")
    using.close()


def test_a_composed_word_is_not_sent(using, model):
    using.enter()
    says(model, "好。")
    using.field.focus()
    session = using.context.new_cdp_session(using.page)
    session.send("Input.imeSetComposition", {"text": "ni hao", "selectionStart": 6, "selectionEnd": 6})
    using.page.evaluate(
        "document.getElementById('ask').dispatchEvent(new KeyboardEvent('keydown', "
        "{key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"
    )
    assert using.turns.count() == 0
    session.send("Input.insertText", {"text": "你好"})
    using.field.press("Shift+Enter")
    expect(using.field).to_have_value("你好\n")
    using.field.press("Enter")
    expect(using.question).to_contain_text("你好")
    expect(using.answer).to_contain_text("好。", timeout=WAIT)


def test_a_phone_has_all_of_it(browser, product, model):
    using = Using(browser, product, "phone", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    using.enter()
    says(model, "A word.\n\n```\n" + "wide " * 60 + "\n```\n\n| " + "column | " * 20 + "\n|" + "---|" * 20 + "\n")
    using.told("On a phone", "A word.")
    assert using.page.evaluate("document.scrollingElement.scrollWidth") == 360
    using.look("phone")
    expect(using.page.get_by_role("navigation")).to_be_hidden()
    using.press("Show conversations")
    expect(using.page.get_by_role("navigation")).to_be_visible()
    using.page.wait_for_timeout(300)
    using.look("phone-drawer")
    using.press("New conversation")
    expect(using.page.get_by_role("navigation")).to_be_hidden()
    expect(using.turns).to_have_count(0)
    using.close()


def test_everything_works_by_keyboard(using, model):
    using.arrive()
    press = using.page.keyboard.press
    using.page.keyboard.type(using.product.access["admin_user"])
    press("Tab")
    using.page.keyboard.type(using.product.access["admin_password"])
    press("Enter")
    expect(using.field).to_be_focused(timeout=WAIT)
    says(model, "First.")
    using.page.keyboard.type("By keyboard")
    press("Enter")
    expect(using.answer).to_contain_text("First.", timeout=WAIT)
    using.settled()

    def reach(name: str, key: str = "Shift+Tab") -> None:
        focused = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
        for _ in range(40):
            if re.match(name, using.page.evaluate(focused)):
                return
            press(key)
        raise AssertionError(f"Tab does not reach {name}")

    reach("Another answer")
    says(model, "Second.")
    press("Enter")
    expect(using.answer).to_contain_text("Second.", timeout=WAIT)
    expect(using.page.get_by_role("group", name="Version 2 of 2")).to_be_visible(timeout=WAIT)
    using.field.focus()
    reach("Options of “By keyboard”")
    press("Enter")
    expect(using.page.get_by_role("menuitem").first).to_be_focused()
    press("ArrowDown")
    press("ArrowDown")
    press("Enter")
    using.page.get_by_role("dialog").get_by_label("Name").press("Control+a")
    using.page.keyboard.type("Renamed")
    press("Enter")
    expect(using.page.get_by_role("heading", level=1)).to_have_text("Renamed")
    using.field.focus()
    reach("Skip to the conversation", "Tab")  # past the end of the page it is the first
    press("Enter")
    expect(using.page.get_by_role("region", name="Conversation")).to_be_focused()


def test_a_member_signs_out(using):
    using.enter()
    using.press("Sign out")
    expect(using.page.get_by_label("User name")).to_be_visible()
    using.page.reload()
    expect(using.page.get_by_label("User name")).to_be_visible()
