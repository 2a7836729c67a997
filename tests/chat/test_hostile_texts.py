"""Hostile texts through every field there is, in the whole page under the product's own policy: nothing runs, and
nothing is asked of anybody else."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.chat.hostile import VECTORS
from tests.chat.using import WAIT, says

pytestmark = pytest.mark.server

EVERY = "\n\n".join(VECTORS)
PRIMED = "window.alert = window.confirm = window.prompt = (text) => { console.error('ran ' + text); };"


@pytest.fixture
def primed(using):
    """Whatever calls `alert` is a complaint, and complaints fail the test; so do requests to elsewhere."""
    using.context.add_init_script(PRIMED)
    return using


def test_answers_and_questions(primed, model):
    primed.enter()
    says(model, EVERY, size=50, before=[{"reasoning_content": EVERY}])
    primed.field.fill(EVERY.replace("\0", ""))  # the gateway takes no NUL
    primed.field.press("Enter")
    expect(primed.answer.get_by_role("button", name="Another answer")).to_be_visible(timeout=WAIT)
    primed.answer.locator("summary").click()
    primed.look()
    for link in primed.page.locator(".markdown a").all():
        assert link.get_attribute("rel") == "noopener noreferrer nofollow"
        assert link.evaluate("(each) => ['http:', 'https:', 'mailto:'].includes(each.protocol)")
    assert (
        primed.page.locator(".turns :is(script, img, iframe, object, embed, style, form, input, base, meta)").count()
        == 0
    )
    primed.page.reload()
    expect(primed.answer.get_by_role("button", name="Another answer")).to_be_visible(timeout=WAIT)
    assert (
        primed.page.locator(".turns :is(script, img, iframe, object, embed, style, form, input, base, meta)").count()
        == 0
    )


def test_names_of_conversations_snapshots_and_models(primed, model):
    access, hostile = primed.product.access, '"><img src=https://away.invalid/x onerror=alert(1)>'
    with primed.product.http("") as client:
        answer = client.post(
            "/api/token/", json={"username": access["admin_user"], "password": access["admin_password"]}
        )
        client.headers["Authorization"] = f"Bearer {answer.json()['access']}"
        session = client.post("/api/chat", json={"message": hostile}).json()["session_id"]
        for name in (*VECTORS[:10], hostile):
            assert client.patch(f"/api/sessions/{session}", json={"name": name[:90]}).status_code == 200
        assert client.post(f"/api/sessions/{session}/snapshots", json={"name": hostile}).status_code == 201
    config = {
        "models": [{"name": hostile, "adapter": "openai_compatible", "endpoint": "https://a.invalid/v1", "weight": 0}]
    }
    primed.product.manage("loadconfig", "-", "--tenant", access["tenant"], given=json.dumps(config))
    primed.enter(f"#{session}")
    expect(primed.page.get_by_role("heading", level=1)).to_have_text(hostile)
    primed.options()
    primed.choose("Versions and snapshots")
    expect(primed.page.get_by_role("dialog")).to_contain_text(hostile)
    primed.page.keyboard.press("Escape")
    primed.options()
    primed.choose("Delete")
    expect(primed.page.get_by_role("dialog")).to_contain_text(hostile)
    primed.look()


@pytest.mark.parametrize("field", ["name", "greeting"])
def test_what_a_tenant_calls_its_chat(primed, chat_site, field):
    for text in [
        "</script><script>alert(1)</script>",
        "<img src=https://away.invalid/x onerror=alert(1)>",
        "<!--<script>",
    ]:
        chat_site(**{field: text})
        primed.arrive()
        expect(primed.page.locator("form.card")).to_contain_text(text)


@pytest.mark.parametrize(
    "query",
    [
        "&language=zh-x",
        "&language=__proto__",
        "&language=constructor",
        "#<img src=x>",
        "#../../x",
        "#%00",
        "&tenant=<x>",
    ],
)
def test_addresses(primed, query):
    primed.arrive(query)
    expect(primed.page.locator("#username")).to_be_visible()
    if "tenant" not in query:
        primed.sign_in()
        expect(primed.page.locator(".greeting")).to_be_visible()


def test_the_address_of_somebody_elses_conversation(primed):
    primed.enter("#0123456789abcdef")
    expect(primed.page.locator(".notice")).to_have_text("This conversation does not exist, or it is not yours.")
    assert "#" not in primed.page.url
    primed.wrong = [text for text in primed.wrong if "404" not in text]  # the browser's own line


def test_the_answers_of_the_server_are_texts_too(primed):
    """Whoever could put words into an error could not put anything else."""
    hostile = "<img src=https://away.invalid/x onerror=alert(1)>"
    primed.enter()
    body = json.dumps({"error": {"code": "overloaded", "message": hostile, "request_id": "r"}})
    primed.page.route(
        "**/api/sessions?**", lambda route: route.fulfill(status=503, content_type="application/json", body=body)
    )
    primed.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(primed.page.locator(".notice")).to_have_text(hostile)
    primed.wrong = [text for text in primed.wrong if "503" not in text]
