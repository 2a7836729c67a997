"""The journal's database down, full or slow: every request is refused, no model is called, and it comes back by itself;
with a spool nothing is refused, and the journal has all of it in the end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
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


@pytest.fixture(scope="module")
def running(server, tmp_path_factory):
    """(product, upstream, proxy before the journal's database)."""
    with upstream_in_thread() as upstream, Proxy(server.port) as proxy:
        address = f"{server.database('strict').replace(str(server.port), str(proxy.port))}"
        product = Product(
            tmp_path_factory.mktemp("strict") / "var",
            MODEL_ENDPOINT=upstream.url,
            MODEL_NAME="scripted",
            API_KEY="k",
            JOURNAL_URL=address,
        )
        with product.up():
            assert product.ask().status_code == 200
            yield product, upstream, proxy


def asked(product: Product, count: int = TOGETHER) -> list[tuple[int, str]]:
    """So many at once, every second as a stream: status and code of each."""

    def ask(number: int) -> tuple[int, str]:
        answer = product.ask(stream=bool(number % 2))
        return answer.status_code, answer.json()["error"]["code"] if answer.status_code != 200 else ""

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


REFUSED = [(503, "audit_unavailable")] * TOGETHER


def holds(product: Product) -> None:
    balance = product.manage("audit", "balance")
    assert balance.returncode == 0, balance.stdout + balance.stderr


def refuses_and_recovers(running, begin, end) -> None:
    product, upstream, _ = running
    begin()
    try:
        assert asked(product) == REFUSED  # a call that runs already may be among these, none among the next
        before = len(upstream.requests)
        assert asked(product) == REFUSED
        assert len(upstream.requests) == before
        assert product.http("").get("/readyz").status_code == 503
    finally:
        end()
    until(lambda: product.ask().status_code == 200, "it answers again")
    holds(product)


def test_it_refuses_everything_while_the_database_cannot_be_reached(running):
    *_, proxy = running
    refuses_and_recovers(running, proxy.cut, proxy.mend)


def test_it_refuses_everything_while_the_database_is_slow(running):
    *_, proxy = running
    refuses_and_recovers(running, lambda: setattr(proxy, "delay", 5.0), lambda: setattr(proxy, "delay", 0.0))


def test_it_refuses_everything_while_the_database_is_full(running, server):
    """What the server says when it is out of room, said by a trigger."""
    address = server.url.removesuffix("/postgres") + "/strict"

    def run(statement: str) -> None:
        with psycopg.connect(address) as database:
            database.execute(statement)

    def fill() -> None:
        run("""
            CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
            CREATE TRIGGER full_disk BEFORE INSERT ON compliance_auditentry
            FOR EACH ROW EXECUTE FUNCTION full_disk()""")

    refuses_and_recovers(running, fill, lambda: run("DROP FUNCTION full_disk CASCADE"))


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
