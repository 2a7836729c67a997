"""One product with the real local model and one with a scripted upstream and two workers, each started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clawdbot_site.selftest.ports import free_port
from tests.adapters.upstream import Upstream
from tests.product.running import Product
from tests.product.upstreams import reset, upstream_in_thread


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/product/" in item.path.as_posix():
            item.add_marker(pytest.mark.server)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Just as `make run` starts it: nothing set but the folder and the port."""
    with Product(tmp_path_factory.mktemp("local") / "var", fresh=True).up() as product:
        yield product
    assert product.processes() == []


@pytest.fixture(scope="session")
def _scripted() -> Iterator[Upstream]:
    with upstream_in_thread() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, _scripted: Upstream) -> Iterator[Product]:
    """Two workers in front of the scripted upstream, which is the model `scripted`."""
    product = Product(
        tmp_path_factory.mktemp("gateway") / "var",
        WORKERS="2",
        METRICS_PORT=str(free_port()),
        MODEL_ENDPOINT=_scripted.url,
        MODEL_NAME="scripted",
        API_KEY="upstream-secret",
        MODEL_TIMEOUT="3",
    )
    with product.up():
        yield product
    assert product.processes() == []


@pytest.fixture
def upstream(_scripted: Upstream) -> Iterator[Upstream]:
    """What the gateway's model is; answers as at first after the test."""
    yield _scripted
    reset(_scripted)
