"""Message brokers that tenants name: RabbitMQ and Redis or Valkey by way of kombu, and streams of Redis or Valkey.

What a tenant writes there must not reach our own network, unless the setting QUEUE_PRIVATE says otherwise: where calls
may go says `engine.addresses`. Other transports of kombu are the operator's to allow (QUEUE_TRANSPORTS), who then knows
where they lead."""

from __future__ import annotations

import socket
import ssl
from importlib import import_module
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
from django.conf import settings

from engine import addresses
from engine.addresses import AddressRefused
from plugins.outbox.events import Event
from plugins.outbox.naming import routing_key
from plugins.outbox.sinks import EventRefused, Sink, SinkAway

TIMEOUT: Final = 10.0  # seconds
AMQP: Final = frozenset({"amqp", "amqps"})
REDIS: Final = frozenset({"redis", "rediss", "valkey", "valkeys"})
SECURE: Final = frozenset({"amqps", "rediss", "valkeys"})
PORTS: Final = {"amqp": 5672, "amqps": 5671}
REDIS_PORT: Final = 6379
TYPE: Final = "application/cloudevents+json"


class Broker(msgspec.Struct, frozen=True):
    """Parts of an address. `path` is a virtual host, or the number of a database; "" is the broker's default."""

    scheme: str
    host: str
    port: int
    user: str | None
    password: str | None
    path: str

    @property
    def secure(self) -> bool:
        return self.scheme in SECURE


def check_broker(url: str, kind: str) -> None:
    """Raises ValueError, without anything of the address in it: there may be a password in it."""
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme not in settings.QUEUE_TRANSPORTS:
        raise ValueError(
            f"url: it must begin with one of {', '.join(f'{each}://' for each in settings.QUEUE_TRANSPORTS)}"
        )
    if kind == "stream" and scheme not in REDIS:
        raise ValueError("url: streams are those of Valkey and Redis")
    if scheme in AMQP | REDIS:
        parsed(url)


def parsed(url: str) -> Broker:
    """Raises ValueError, as above."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("url: not an address of a broker") from None
    if not parts.hostname or parts.query or parts.fragment or "," in parts.netloc or ";" in parts.netloc:
        raise ValueError("url: not an address of one broker, such as amqps://user:password@host:5671/vhost")
    path = unquote(parts.path.removeprefix("/"))
    if parts.scheme in REDIS and not (path == "" or (path.isdecimal() and len(path) < 6)):
        raise ValueError("url: after the host stands the number of a database")
    return Broker(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or PORTS.get(parts.scheme, REDIS_PORT),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        path=path,
    )


def opened(asked: dict[str, Any]) -> Sink:
    """`asked` are the fields of `plugins.builtin.queue.QueueSettings`. Nothing is connected to yet."""
    check_broker(asked["url"], asked["kind"])
    if asked["kind"] == "stream":
        return StreamSink(parsed(asked["url"]), asked["queue"], asked["stream_length"])
    return KombuSink(
        asked["url"],
        queue=asked["queue"],
        exchange=asked["exchange"],
        exchange_type=asked["exchange_type"],
        template=asked["routing_key"],
    )


class KombuSink:
    """Publishes persistent messages, to AMQP mandatory and confirmed. An exchange and a queue that are named are made
    if they are not there, durable, and the queue is bound to the exchange for every key (`#` on a topic exchange)."""

    def __init__(
        self, url: str, *, queue: str, exchange: str = "", exchange_type: str = "topic", template: str = "",
        options: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self._url = url
        self._queue = queue
        self._exchange = exchange
        self._exchange_type = exchange_type
        self._template = template
        self._options = options
        self._connection: Any = None
        self._producer: Any = None
        self._returned: list[str] = []

    def send(self, event: Event) -> int:
        producer = self._open()
        self._returned.clear()
        key = routing_key(self._template, event) if self._exchange else self._queue
        try:
            producer.publish(
                event.encoded(),
                routing_key=key,
                content_type=TYPE,
                content_encoding="utf-8",
                delivery_mode=2,
                mandatory=True,
                timeout=TIMEOUT,
                confirm_timeout=TIMEOUT,
                message_id=event.id,
                type=event.type,
                app_id="clawdbot",
            )
        except Exception as error:
            raise self._away(error) from error
        if self._returned:
            raise EventRefused(f"the broker has no queue for it: {self._returned[0]}"[:200])
        return 0

    def close(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.release()

    def _open(self) -> Any:
        if self._producer is None:
            try:
                self._producer = self._connected()
            except Exception as error:
                self.close()
                raise self._away(error) from error
        return self._producer

    def _connected(self) -> Any:
        kombu: Any = import_module("kombu")  # heavy, and only for who publishes
        self._connection = kombu.Connection(**self._address())
        self._connection.connect()
        channel = self._connection.channel()
        exchange = kombu.Exchange(self._exchange, type=self._exchange_type, durable=True)
        if self._exchange:
            exchange(channel).declare()
        if self._queue:
            key = "#" if self._exchange_type == "topic" and self._exchange else self._queue
            kombu.Queue(self._queue, exchange if self._exchange else None, routing_key=key, durable=True)(
                channel
            ).declare()
        if self._url.partition("://")[0] in AMQP:
            addresses.check_peer(self._connection.connection.transport.sock, private=settings.QUEUE_PRIVATE)
            channel.events["basic_return"].add(self._note_return)
        return kombu.Producer(channel, exchange=exchange)

    def _address(self) -> dict[str, Any]:
        scheme = self._url.partition("://")[0]
        if scheme in AMQP:
            return self._amqp(parsed(self._url))
        if scheme in REDIS:
            return self._redis(parsed(self._url))
        return {"hostname": self._url, "transport_options": self._options or {}}

    def _amqp(self, broker: Broker) -> dict[str, Any]:
        """py-amqp would look the name up again, so it is given the address, and the name for the certificate."""
        limits = {"read_timeout": TIMEOUT, "write_timeout": TIMEOUT, "confirm_publish": True}
        return {
            "transport": "amqp",
            "hostname": address_of(broker),
            "port": broker.port,
            "userid": broker.user,
            "password": broker.password,
            "virtual_host": broker.path or "/",
            "ssl": {"server_hostname": broker.host, "cert_reqs": ssl.CERT_REQUIRED} if broker.secure else False,
            "connect_timeout": TIMEOUT,
            "transport_options": limits,
        }

    def _redis(self, broker: Broker) -> dict[str, Any]:
        from plugins.outbox.pinned import PinnedTransport  # noqa: PLC0415  # loads redis-py and kombu

        limits = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
        return {
            "transport": PinnedTransport,
            "hostname": broker.host,
            "port": broker.port,
            "userid": broker.user,
            "password": broker.password,
            "virtual_host": broker.path or "0",
            "ssl": {"ssl_cert_reqs": "required"} if broker.secure else False,
            "transport_options": limits,
        }

    def _note_return(self, error: Exception, *_: object) -> None:
        self._returned.append(str(getattr(error, "reply_text", "")) or "NO_ROUTE")

    def _away(self, error: Exception) -> SinkAway | EventRefused:
        if isinstance(error, SinkAway | EventRefused):
            return error
        return SinkAway(told(error))


class StreamSink:
    """Adds to a stream of Valkey or Redis (`XADD`): the fields `id`, `type`, `partitionkey` and `event`, the event as
    JSON. `length`: about how many entries the stream keeps, 0: all."""

    def __init__(self, broker: Broker, stream: str, length: int) -> None:
        self._broker = broker
        self._stream = stream
        self._length = length
        self._client: Any = None

    def send(self, event: Event) -> int:
        import redis  # noqa: PLC0415  # only for who publishes there

        fields = {"id": event.id, "type": event.type, "partitionkey": event.partitionkey, "event": event.encoded()}
        try:
            self._open().xadd(self._stream, fields, maxlen=self._length or None, approximate=True)
        except (redis.exceptions.DataError, UnicodeError) as error:
            raise EventRefused(told(error)) from error
        except (redis.RedisError, OSError, ValueError) as error:
            raise SinkAway(told(error)) from error
        return 0

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _open(self) -> Any:
        if self._client is None:
            from plugins.outbox.pinned import client_of  # noqa: PLC0415  # loads redis-py and kombu

            self._client = client_of(self._broker)
        return self._client


def address_of(broker: Broker) -> str:
    """One of the host's addresses that may be connected to, as it stands before a port. Raises AddressRefused,
    OSError."""
    allowed = settings.QUEUE_PRIVATE
    host = addresses.resolve_blocking(broker.host, broker.port, private=allowed, timeout=TIMEOUT)[0].host
    return f"[{host}]" if ":" in host else host


def connect(broker_host: str, port: int) -> socket.socket:
    """Raises AddressRefused, OSError."""
    return addresses.connect_blocking(broker_host, port, private=settings.QUEUE_PRIVATE, timeout=TIMEOUT)


def told(error: Exception) -> str:
    """For the tenant: what kind of trouble it is; a text of the broker's own only where it is an answer of AMQP, which
    names no secrets."""
    if isinstance(error, AddressRefused):
        return f"the address is refused: {error}"
    text = getattr(error, "reply_text", None)
    kind = type(error).__name__
    return f"the broker cannot be reached: {kind}" + (f" ({str(text)[:150]})" if text else "")
