"""Talking in the chat's page: asking, stopping, asking again, going back, and why a model answered."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.adapters.upstream import HANG, by_stream, chunk, error, events, head_of_stream, streamed, whole
from tests.chat.using import WAIT, says

pytestmark = pytest.mark.server

RICH = """Here is **what you asked** for, with `code` and a [link](https://example.com/x).

```python
def greet(name: str) -> str:
    return f"Hello, {name}!"
```

| Model | Price |
|---|---:|
| small | 0.10 |

![chart](https://example.com/chart.png)
"""


def test_a_member_signs_in_and_asks(using, model):
    using.arrive()
    using.look("sign-in")
    using.page.fill("#username", using.product.access["admin_user"])
    using.page.fill("#password", "wrong")
    using.page.keyboard.press("Enter")
    expect(using.page.get_by_role("alert")).to_have_text("User name or password is not right.")
    using.sign_in()
    using.look("empty")
    says(model, RICH, size=9, before=[{"reasoning_content": "They want **everything**."}])
    using.told("Show me everything", "chart")
    expect(using.answer.locator("strong").last).to_have_text("what you asked")
    expect(using.answer.get_by_role("region", name="Code in python")).to_contain_text("def greet")
    expect(using.answer.locator("td").last).to_have_text("0.10")
    using.answer.get_by_text("Reasoning").click()
    expect(using.answer.locator(".reasoning strong")).to_have_text("everything")
    assert using.listed[0] == "Show me everything"
    expect(using.page).to_have_title(re.compile("^Show me everything · "))
    using.look("answer")
    using.page.reload()
    expect(using.answer.locator("strong").last).to_have_text("what you asked")
    expect(using.page.get_by_role("log")).to_have_text("")
    using.wrong = [text for text in using.wrong if "401" not in text]  # the browser's own line on the wrong password


def test_a_whole_answer_is_announced_once(using, model):
    using.enter()
    says(model, "One two three four", size=2)
    using.told("Count", "three four")
    expect(using.page.get_by_role("log")).to_have_text(re.compile("^You asked: Count.* answered: One two three four$"))


def test_the_focus_stays_where_it_is_while_an_answer_ends(using, model):
    using.enter()
    says(model, "One.")
    using.told("First", "One.")
    says(model, "Two.", size=1, pause=0.2)
    using.ask("Second")
    expect(using.turns).to_have_count(2)
    copy = using.turns.first.get_by_role("button", name="Copy the answer")
    copy.focus()
    using.settled()
    expect(copy).to_be_focused()


def test_an_answer_is_stopped(using, model):
    using.enter()
    model.answers([head_of_stream(), chunk({"role": "assistant", "content": "Half an "}), HANG])
    using.ask("A long story")
    expect(using.answer).to_contain_text("Half an")
    expect(using.page.get_by_role("button", name="Stop")).to_be_visible()
    using.look("streaming")
    using.page.keyboard.press("Escape")
    expect(using.answer).to_contain_text("Stopped. This answer is not kept")
    expect(using.page.get_by_role("button", name="Send")).to_be_visible()
    says(model, "A short one.")
    using.told("A short story", "A short one.")
    using.page.reload()
    expect(using.turns).to_have_count(1)


def test_an_edited_question_waits_while_an_answer_runs(using, model):
    using.enter()
    says(model, "One.")
    using.told("First", "One.")
    first = using.turns.first
    using.press("Edit the question", first)
    field = first.get_by_label("Edit your question")
    field.fill("First, better")
    model.answers([head_of_stream(), chunk({"role": "assistant", "content": "Half an "}), HANG])
    using.ask("Second")
    expect(using.answer).to_contain_text("Half an")
    field.press("Enter")
    expect(field).to_have_value("First, better")
    expect(field).to_be_focused()
    using.press("Stop")
    expect(using.answer).to_contain_text("Stopped. This answer is not kept")
    says(model, "Better.")
    field.press("Enter")
    expect(using.answer).to_contain_text("Better.", timeout=WAIT)
    expect(using.turns).to_have_count(1)


def test_another_answer_leaves_the_first_where_it_was(using, model):
    using.enter()
    says(model, "First answer.")
    using.told("A question", "First answer.")
    says(model, "Second answer.")
    using.press("Another answer")
    expect(using.answer).to_contain_text("Second answer.", timeout=WAIT)
    expect(using.page.get_by_role("group", name="Version 2 of 2")).to_be_visible(timeout=WAIT)
    using.told("And then?", "Second answer.")
    expect(using.turns).to_have_count(2)
    first = using.page.locator(".answer").first
    using.press("Earlier version", first)
    expect(using.turns).to_have_count(1, timeout=WAIT)
    expect(using.answer).to_contain_text("First answer.")
    using.page.reload()
    expect(using.answer).to_contain_text("First answer.")
    expect(using.page.get_by_role("group", name="Version 1 of 2")).to_be_visible(timeout=WAIT)
    using.press("Later version", using.answer)
    expect(using.turns).to_have_count(2, timeout=WAIT)
    expect(using.question).to_contain_text("And then?")
    assert using.listed[0] == "A question"


def test_a_question_is_edited_and_the_old_branch_stays(using, model):
    using.enter()
    for number in (1, 2, 3):
        says(model, f"Answer {number}.")
        using.told(f"Question {number}", f"Answer {number}.")
    says(model, "Another way.")
    second = using.turns.nth(1)
    using.press("Edit the question", second)
    field = second.get_by_label("Edit your question")
    expect(field).to_have_value("Question 2")
    field.fill("Question 2, better")
    using.look("editing")
    field.press("Enter")
    expect(using.answer).to_contain_text("Another way.", timeout=WAIT)
    expect(using.turns).to_have_count(2)
    using.settled()
    asked = model.requests[-1].json["messages"]
    assert [message["content"] for message in asked if message["role"] == "user"] == [
        "Question 1",
        "Question 2, better",
    ]
    using.press("Earlier version", using.answer)
    expect(using.turns).to_have_count(3, timeout=WAIT)
    expect(using.question).to_contain_text("Question 3")


def test_a_branch_is_a_conversation_of_its_own(using, model):
    using.enter()
    for number in (1, 2):
        says(model, f"Answer {number}.")
        using.told(f"Question {number}", f"Answer {number}.")
    using.press("Continue from here in a new conversation", using.turns.first)
    expect(using.turns).to_have_count(1, timeout=WAIT)
    expect(using.page.get_by_text("What is above was said in another conversation.")).to_be_visible()
    says(model, "Elsewhere.")
    using.told("Question 3", "Elsewhere.")
    assert len(using.listed) >= 2
    using.press("Open it")
    expect(using.turns).to_have_count(2, timeout=WAIT)
    expect(using.answer).to_contain_text("Answer 2.")


def test_a_failure_is_told_in_words_and_tried_again(using, model):
    using.enter()
    model.answers(error(500))
    using.ask("Are you there?")
    expect(using.answer.locator(".error")).to_contain_text("The model's service", timeout=WAIT)
    using.look("failed")
    says(model, "Here I am.")
    using.press("Try again")
    expect(using.answer).to_contain_text("Here I am.", timeout=WAIT)
    using.settled()
    expect(using.turns).to_have_count(1)


def test_it_says_why_this_model(using, model):
    using.enter()
    says(model, "Because.")
    using.page.get_by_label("Model", exact=True).select_option("careful")
    using.told("Why?", "Because.")
    expect(using.answer).to_contain_text("careful")
    using.press("Why this model?")
    dialog = using.page.get_by_role("dialog", name="Why this model?")
    expect(dialog).to_contain_text("“careful” answered, at the instance “careful”.")
    expect(dialog).to_contain_text("You chose the model “careful”.")
    expect(dialog.get_by_role("row", name=re.compile("^careful .* chosen$"))).to_be_visible()
    using.look("why")
    using.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(using.page.get_by_role("button", name="Why this model?")).to_be_focused()


def test_calls_of_tools_are_shown(using, model):
    using.enter()
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"word": "tea"}'}}
    model.answers(whole("x"), streamed(events({"tool_calls": [call]}, finish="tool_calls")), choose=by_stream)
    using.ask("Look it up")
    expect(using.answer.get_by_text("Tool: look_up")).to_be_visible(timeout=WAIT)
    using.answer.get_by_text("Tool: look_up").click()
    expect(using.answer.locator("pre")).to_contain_text('"word": "tea"')


def test_a_reload_in_the_middle_of_an_answer_goes_on_with_it(using, model):
    using.enter()
    pieces = [f"word{number} " for number in range(60)]
    model.answers(whole("x"), streamed(events(*pieces), 0.05), choose=by_stream)
    using.ask("Talk")
    expect(using.answer).to_contain_text("word5 ")
    using.page.reload()
    expect(using.answer).to_contain_text("word59", timeout=WAIT)
    using.settled()
    expect(using.answer.locator(".markdown").last).to_have_text("".join(pieces).strip())
    expect(using.turns).to_have_count(1)
    expect(using.question).to_contain_text("Talk")
