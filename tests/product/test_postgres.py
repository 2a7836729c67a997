"""The same product with its configuration in PostgreSQL."""

from __future__ import annotations

import pytest

from tests.adapters.upstream import Upstream
from tests.product.running import Product, until
from tests.services.postgres import PostgresServer


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    server = PostgresServer(tmp_path_factory.mktemp("postgres") / "server")
    server.start()
    yield server
    server.stop()


def test_it_runs_on_postgresql(postgres: PostgresServer, upstream: Upstream, tmp_path):
    product = Product(
        tmp_path / "var", DATABASE_URL=postgres.url, MODEL_ENDPOINT=upstream.url, MODEL_NAME="scripted", API_KEY="k"
    )
    with product.up():
        http = product.http()
        answer = http.post("/api/chat", json={"message": "Hello"})
        assert answer.status_code == 200, answer.text
        row = product.operate(
            "row, key = services.create_api_key(tenant=Tenant.objects.get(slug='demo'), name='pg')\n"
            "value = [row.pk, key]"
        )
        bearer = {"Authorization": f"Bearer {row[1]}"}

        def status() -> int:
            return http.post("/api/chat", json={"message": "Hi"}, headers=bearer).status_code

        until(lambda: status() == 200, "the new key works")
        product.operate(f"services.revoke_api_key(key=ApiKey.objects.everywhere().get(pk={row[0]}))")
        until(lambda: status() == 401, "the revoked key is refused")
        product.operate(
            "replace_words(tenant=Tenant.objects.get(slug='demo'), name='w', words=['forbidden'])\nvalue = 1"
        )
        until(lambda: http.post("/api/chat", json={"message": "forbidden"}).status_code == 400, "the word list is live")
        hits = (
            "from compliance.hit_reports import report\n"
            "value = report(SensitiveWordList.objects.everywhere().get(name='w').pk).total"
        )
        until(lambda: product.operate(hits) >= 1, "its hits are counted")
        engine = product.operate("from django.db import connection\nvalue = connection.vendor")
        assert engine == "postgresql"
    assert not (tmp_path / "var" / "db.sqlite3").exists()
