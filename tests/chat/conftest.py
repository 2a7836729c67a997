"""A browser in front of the pages: of the files alone, and of the whole product with a scripted model."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.adapters.upstream import Upstream
from tests.chat.using import CSP, Using
from tests.product.running import ROOT, Product
from tests.product.upstreams import reset, upstream_in_thread
from tests.services.browser import chromium

STATIC = ROOT / "access" / "static"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Files(SimpleHTTPRequestHandler):
    """The static files, and an empty page at `/`; under a policy stricter than the product's: no text may become
    markup."""

    def do_GET(self) -> None:
        if self.path == "/":
            body = b"<!doctype html><title>Modules</title><link rel=icon href=data:,><main id=root></main>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header(
                "Content-Security-Policy", f"{CSP}; require-trusted-types-for 'script'; trusted-types 'none'"
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.path = self.path.removeprefix("/static")
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    """Where the static files are served without the product."""
    handler = functools.partial(Files, directory=str(STATIC))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def module_page(browser: Browser, files: str) -> Iterator[Page]:
    """An empty page that can import the modules. Whatever it complains about fails the test."""
    context = browser.new_context()
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(files)
    yield page
    context.close()
    assert wrong == []


# The product ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _model() -> Iterator[Upstream]:
    with upstream_in_thread() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory, _model: Upstream) -> Iterator[Product]:
    """One worker in front of the scripted upstream, which is the models `scripted` and `careful`."""
    product = Product(
        tmp_path_factory.mktemp("chat") / "var",
        LOCAL_MODEL="off",
        MODEL_ENDPOINT=_model.url,
        MODEL_NAME="scripted",
        API_KEY="upstream-secret",
        MODEL_TIMEOUT="30",  # what hangs is stopped by whoever asked, also on a machine that is busy
    )
    with product.up():
        config = {
            "models": [
                {
                    "name": name,
                    "adapter": "openai_compatible",
                    "endpoint": _model.url,
                    "api_key": "x",
                    "allow_private": True,
                }
                for name in ("scripted", "careful")
            ]
        }
        loaded = product.manage("loadconfig", "-", "--tenant", product.access["tenant"], given=json.dumps(config))
        assert loaded.returncode == 0, loaded.stderr
        yield product
    assert product.processes() == []


@pytest.fixture
def model(_model: Upstream) -> Iterator[Upstream]:
    """What answers; as at first after the test."""
    yield _model
    reset(_model)


@pytest.fixture
def using(browser: Browser, product: Product, model: Upstream, request: pytest.FixtureRequest) -> Iterator[Using]:
    """Somebody in front of the chat's page. What its console complains about, and every request to another host, fails
    the test."""
    using = Using(browser, product, request.node.name)
    yield using
    using.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's script; `tools/node.sh tests/chat` gets it."""
    script = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        pytest.skip("There is no axe-core (tools/node.sh tests/chat).")
    return script.read_text()


@pytest.fixture
def chat_site(product: Product) -> Iterator[Callable[..., None]]:
    """Sets the tenant's web chat, as its console does; as at first after the test."""

    def change(**fields: Any) -> None:
        product.operate(
            "from tenants.models import ChatSite\n"
            f"tenant = Tenant.objects.get(slug={product.access['tenant']!r})\n"
            "row = ChatSite.objects.everywhere().filter(tenant=tenant).first() or ChatSite(tenant=tenant)\n"
            f"for name, given in {fields!r}.items(): setattr(row, name, given)\n"
            "row.full_clean(); row.save()"
        )

    yield change
    product.operate("from tenants.models import ChatSite\nfor row in ChatSite.objects.everywhere(): row.delete()")
