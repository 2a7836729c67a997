"""Calls to the identity provider. The operator names it, but where its tokens come from says a document of its own."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any, Final

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from engine.addresses import AddressRefused, connect_blocking

TIMEOUT: Final = 10.0  # seconds


def session() -> requests.Session:
    """One whose connections obey `engine.addresses`, that follows no redirect and asks no proxy of the environment."""
    made = requests.Session()
    made.trust_env = False
    made.max_redirects = 0
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Pinned())
    made.request = partial(made.request, timeout=TIMEOUT)  # type: ignore[method-assign]
    return made


def _connected(connection: HTTPConnection) -> socket.socket:
    """Raises what urllib3 makes of a connection that failed."""
    port = connection.port or connection.default_port
    try:
        return connect_blocking(connection.host, port, private=settings.OIDC_PRIVATE, timeout=TIMEOUT)
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, "the identity provider cannot be reached in time") from error
    except AddressRefused as error:
        raise NewConnectionError(connection, f"OIDC_PRIVATE: {error}") from error
    except OSError as error:
        raise NewConnectionError(connection, "the identity provider cannot be reached") from error


class _PlainConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self)


class _SecureConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Pinned(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
