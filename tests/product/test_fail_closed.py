"""With a spool nothing is refused while the journal's database is away, and the journal has all of it in the end.
Without one everything is: `test_dependencies`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from clawdbot_site.selftest.proxy import Proxy
from tests.product.running import Product, until
from tests.product.upstreams import upstream_in_thread
from tests.services.postgres import PostgresServer

TOGETHER = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = PostgresServer(tmp_path_factory.mktemp("postgres") / "server")
    server.start()
    yield server
    server.stop()


def asked(product: Product, count: int = TOGETHER) -> list[tuple[int, str]]:
    """So many at once, every second as a stream: status and code of each."""

    def ask(number: int) -> tuple[int, str]:
        answer = product.ask(stream=bool(number % 2))
        return answer.status_code, answer.json()["error"]["code"] if answer.status_code != 200 else ""

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def test_it_refuses_nothing_with_a_spool(server, tmp_path):
    with upstream_in_thread() as upstream, Proxy(server.port) as proxy:
        address = f"{server.database('spooled').replace(str(server.port), str(proxy.port))}"
        product = Product(
            tmp_path / "var",
            MODEL_ENDPOINT=upstream.url,
            MODEL_NAME="scripted",
            API_KEY="k",
            JOURNAL_URL=address,
            JOURNAL_SPOOL=str(tmp_path / "spool"),
        )
        with product.up():
            answered = 1
            assert product.ask().status_code == 200
            for begin, end in (
                (proxy.cut, proxy.mend),
                (lambda: setattr(proxy, "delay", 5.0), lambda: setattr(proxy, "delay", 0.0)),
            ):
                begin()
                for _ in range(3):
                    assert asked(product) == [(200, "")] * TOGETHER
                answered += 3 * TOGETHER
                assert sum(path.stat().st_size for path in (tmp_path / "spool").iterdir()) > 0
                end()
                until(lambda: not any(path.stat().st_size for path in (tmp_path / "spool").iterdir()), "it is back")
            balance = product.manage("audit", "balance")
            assert balance.returncode == 0
            assert balance.stdout.split()[:4] == ["intents", str(answered), "completed", str(answered)]
