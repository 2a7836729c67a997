"""A product each of whose dependencies can be taken away: both databases on PostgreSQL, the store and the broker on
Valkey, each behind a proxy of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from clawdbot_site.selftest.ports import free_port
from clawdbot_site.selftest.proxy import Proxy
from tests.adapters.upstream import Upstream
from tests.product.running import Product
from tests.product.upstreams import upstream_in_thread
from tests.services.postgres import PostgresServer
from tests.services.valkey import ValkeyServer


@dataclass
class Place:
    product: Product
    upstream: Upstream
    server: PostgresServer
    database: Proxy
    journal: Proxy
    store: Proxy
    broker: Proxy


@contextmanager
def standing(folder: Path, **settings: str) -> Iterator[Place]:
    with ExitStack() as stack:
        server = PostgresServer(folder / "postgres", options=["-c", "fsync=off", "-c", "full_page_writes=off"])
        server.start()
        stack.callback(server.kill)
        port = free_port()
        valkey = ValkeyServer(folder / "valkey", options=["--port", str(port)])
        valkey.start()
        stack.callback(valkey.kill)
        upstream = stack.enter_context(upstream_in_thread())
        database, journal = (stack.enter_context(Proxy(server.port)) for _ in range(2))
        store, broker = (stack.enter_context(Proxy(port)) for _ in range(2))
        product = Product(
            folder / "var",
            MODEL_ENDPOINT=upstream.url,
            MODEL_NAME="scripted",
            API_KEY="k",
            LOCAL_MODEL="off",
            DATABASE_URL=server.database("main").replace(f":{server.port}/", f":{database.port}/"),
            JOURNAL_URL=server.database("record").replace(f":{server.port}/", f":{journal.port}/"),
            REDIS_HOST=f"redis://127.0.0.1:{store.port}",
            JOB_REDO_SECONDS="5",
            BROKER_URL=f"redis://127.0.0.1:{broker.port}/1",
            **settings,
        )
        stack.enter_context(product)
        yield Place(product.up(), upstream, server, database, journal, store, broker)
