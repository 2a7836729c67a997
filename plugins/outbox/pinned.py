"""Connections to Valkey and Redis that go to the very address that was found to be allowed. Imported when needed."""

from __future__ import annotations

import socket
from typing import Any

import redis
from kombu.transport import redis as transport
from redis.backoff import NoBackoff
from redis.retry import Retry

from plugins.outbox.brokers import TIMEOUT, Broker, connect


class PinnedConnection(redis.Connection):
    def _connect(self) -> socket.socket:
        found = connect(self.host, int(self.port))
        found.settimeout(self.socket_timeout)
        return found


class PinnedSecureConnection(redis.SSLConnection):
    def _connect(self) -> socket.socket:
        found = connect(self.host, int(self.port))
        try:
            wrap: Any = self._wrap_socket_with_ssl
            secure: socket.socket = wrap(found)
        except BaseException:
            found.close()
            raise
        secure.settimeout(self.socket_timeout)
        return secure


class PinnedChannel(transport.Channel):
    connection_class = PinnedConnection
    connection_class_ssl = PinnedSecureConnection


class PinnedTransport(transport.Transport):
    Channel = PinnedChannel


def client_of(broker: Broker) -> redis.Redis:
    """It does not connect yet, and tries nothing twice."""
    secure: dict[str, Any] = {"ssl_cert_reqs": "required"} if broker.secure else {}
    pool = redis.ConnectionPool(
        connection_class=PinnedSecureConnection if broker.secure else PinnedConnection,
        host=broker.host,
        port=broker.port,
        db=int(broker.path or 0),
        username=broker.user,
        password=broker.password,
        socket_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        **secure,
    )
    return redis.Redis(connection_pool=pool)
