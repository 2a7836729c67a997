"""The HTTP clients and the server they are tried against are those of the adapters' tests."""

from tests.adapters.conftest import http as http
from tests.adapters.conftest import upstream as upstream
