"""A model instance with probes goes out of service and comes back in every worker, and no user has to find out."""

import json
import time

import pytest

from tests.adapters.upstream import Upstream, answer, error
from tests.product.running import Product, until
from tests.product.upstreams import upstream_in_thread


@pytest.fixture
def service():
    with upstream_in_thread() as upstream:
        upstream.answers(answer(200, {"data": []}))
        yield upstream


def explained(workers, key: str) -> set[int | str]:
    """What each worker would say to whoever asks for the model, without calling it."""
    found = set()
    for connection in workers:
        body = json.dumps({"message": "Hi", "model": "probed"})
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/api/route/explain", body, headers)
        response = connection.getresponse()
        said = json.loads(response.read())
        found.add(said["refusal"]["code"] if "refusal" in said else response.status)
    return found


def quiet(service: Upstream, intervals: float) -> bool:
    """Nobody asks for so many intervals of a probe, which are seconds."""
    asked = len(service.requests)
    time.sleep(intervals)
    return len(service.requests) == asked


def test_probes_find_out_what_no_user_should(gateway: Product, service: Upstream):
    gateway.operate(
        f"probed = save_instance(instance=ModelInstance(name='probed', endpoint='{service.url}', allow_private=True,"
        " probe_interval=1))"
    )
    try:
        with gateway.at_every_worker() as workers:
            until(lambda: explained(workers, gateway.key) == {200}, "both workers know it")
            until(lambda: len(service.requests) > 2, "it is probed")
            service.answers(error(500))
            until(lambda: explained(workers, gateway.key) == {"overloaded"}, "both know that it is down")
            service.answers(answer(200, {"data": []}))
            until(lambda: explained(workers, gateway.key) == {200}, "both know that it is back")
        assert {(request.method, request.path) for request in service.requests} == {("GET", "/v1/models")}
    finally:
        gateway.operate("probed.delete()")
    until(lambda: quiet(service, 3), "a deleted one is probed no more, once every worker knows")
