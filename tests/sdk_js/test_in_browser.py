"""The SDK as it is served, in Chromium, on the product's own pages and on foreign ones, over a network that breaks."""

import re
from contextlib import closing

from playwright.sync_api import Browser, Page

from tests.adapters.upstream import Upstream
from tests.product.running import ROOT, Product, until
from tests.sdk_js.conftest import READ, TEXT, asked, is_whole, somebodys_page, turns
from tests.sdk_js.network import Network


def test_a_network_cut_in_the_middle_of_an_answer_changes_nothing(
    page: Page, upstream: Upstream, product: Product, network: Network
):
    page.evaluate("""() => {
        window.turn = client.chat({ message: "Hi" });
        window.reading = all(turn);
        turn.id.then(() => (window.begun = true));
    }""")
    page.wait_for_function("window.begun")
    network.cut()
    page.wait_for_function("states.at(-1) === 'waiting'")
    network.restore()
    happened = page.evaluate("window.reading")
    is_whole(happened)
    assert page.evaluate("states.filter((state) => state === 'open').length") == 2
    recorded = turns(product, happened[0]["session_id"])
    assert ([turn["id"] for turn in recorded], asked(upstream)) == ([happened[0]["id"]], 1)


def test_what_is_asked_offline_is_answered_once_the_network_is_back(page: Page, upstream: Upstream, network: Network):
    network.cut()
    page.context.set_offline(True)
    page.evaluate("() => (window.waiting = ['one', 'two', 'three'].map((message) => all(client.chat({ message }))))")
    page.wait_for_function("states.includes('waiting')")
    assert asked(upstream) == 0
    network.restore()
    page.context.set_offline(False)
    for happened in page.evaluate("Promise.all(waiting)"):
        is_whole(happened)
    assert asked(upstream) == 3


def test_a_page_of_another_origin_may_load_it(browser: Browser, upstream: Upstream, product: Product):
    """A page on `localhost` is foreign to the product on 127.0.0.1: modules are only loaded where that is allowed."""
    with closing(somebodys_page(browser, f"http://localhost:{product.port}")) as page:
        page.evaluate("document.body.innerHTML = ''")
        page.add_script_tag(
            type="module",
            content=f"""
                import {{ Clawdbot }} from "{product.url}/static/sdk/clawdbot.js";
                const client = new Clawdbot({{ baseUrl: "{product.url}", token: "{product.key}" }});
                window.answer = await client.chat({{ message: "Hi" }}).text();
            """,
        )
        page.wait_for_function("window.answer", timeout=30_000)
        assert page.evaluate("answer") == TEXT


def test_it_is_a_plain_script_too(browser: Browser, upstream: Upstream, product: Product):
    with closing(somebodys_page(browser, product.url)) as page:
        page.add_script_tag(url="/static/sdk/clawdbot.global.js")
        happened, code = page.evaluate(
            """async (key) => {
                const client = new Clawdbot({ token: key });
                const events = await (READ)(client.chat({ message: "Hi" }));
                const error = await client.chat({}).done.catch((error) => error);
                client.close();
                return [events, error instanceof Clawdbot.Error && error.code];
            }""".replace("READ", READ),
            product.key,
        )
        is_whole(happened)
        assert code == "invalid_request"


def test_cancel_stops_the_model(page: Page, upstream: Upstream, product: Product):
    error = page.evaluate("""async () => {
        const turn = client.chat({ message: "Hi" });
        for await (const event of turn) if (event.type === "delta") break;
        turn.cancel();
        return turn.done.catch(({ code, turnId }) => ({ code, turnId }));
    }""")
    assert error["code"] == "cancelled"
    with product.http() as http:
        until(lambda: http.get(f"/api/turns/{error['turnId']}").json()["state"] == "cancelled", "it is recorded")


def test_the_example_of_the_readme_works(browser: Browser, upstream: Upstream, product: Product):
    for name in ("README.md", "README.zh-CN.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        (example,) = re.findall(r'<script type="module">(.*?)</script>', text, re.DOTALL)
        with closing(somebodys_page(browser, product.url)) as page:
            page.evaluate("document.body.innerHTML = ''")
            example = example.replace("http://127.0.0.1:8000", product.url).replace("KEY", f'"{product.key}"')
            page.add_script_tag(type="module", content=example)
            page.wait_for_function("(text) => document.body.textContent === text", arg=TEXT)
