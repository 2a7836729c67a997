"""Both servers of gRPC are held to the same."""

import pytest

from access.edges.grpc.server import SERVERS
from tests.access.grpc import client


@pytest.fixture(params=SERVERS)
def kind(request, monkeypatch):
    monkeypatch.setattr(client, "KIND", request.param)
    return request.param
