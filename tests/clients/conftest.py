"""The running product of `tests/product`, for clients that need a socket."""

from tests.product.conftest import _scripted, gateway, upstream  # noqa: F401
