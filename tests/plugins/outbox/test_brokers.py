"""Events arrive where a tenant's settings say: lists and streams of Valkey, files, RabbitMQ where there is one."""

from __future__ import annotations

import json

import kombu
import pytest
import redis

from clawdbot_site.selftest.ports import free_port
from plugins import registry
from plugins.outbox import brokers
from plugins.outbox.brokers import KombuSink, opened, parsed
from plugins.outbox.events import test_event as made
from plugins.outbox.naming import check_template, routing_key
from plugins.outbox.sinks import EventRefused, SinkAway
from tests.plugins.outbox.parts import Journal
from tests.services.rabbitmq import RABBITMQ, RabbitServer
from tests.services.valkey import ValkeyServer

EVENT = made("test-1", "acme", 0.0)
PASSWORD = "pass-wörd/1"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD]
    server = ValkeyServer(tmp_path_factory.mktemp("broker"), options=options)
    server.start()
    server.address = f"127.0.0.1:{port}"
    server.password = PASSWORD
    yield server
    server.stop()


@pytest.fixture
def here(settings):
    settings.QUEUE_PRIVATE = True


def url_of(valkey, database=1):
    return f"redis://:{PASSWORD.replace('/', '%2F')}@{valkey.address}/{database}"


def settings_of(url, **fields):
    """As the plugin reads them."""
    cls = registry.get("queue")
    plugin = cls(registry.read_settings(cls, {"url": url, **fields}))
    (spec,) = plugin.sinks()
    return spec


def client(valkey, database=1):
    host, port = valkey.address.split(":")
    return redis.Redis(host=host, port=int(port), password=PASSWORD, db=database)


def test_it_fills_a_list_that_kombu_reads(valkey, here):
    sink = settings_of(url_of(valkey), queue="turns").open()
    sink.send(EVENT)
    sink.send(EVENT)
    sink.close()
    found = json.loads(client(valkey).rpop("turns"))
    assert found["content-type"] == "application/cloudevents+json"
    with kombu.Connection(url_of(valkey)) as connection:
        message = connection.SimpleQueue("turns").get(timeout=5)
        assert json.loads(message.body) == json.loads(EVENT.encoded())
        assert message.properties["message_id"] == "test-1"
        message.ack()


def test_it_adds_to_a_stream_and_keeps_it_short(valkey, here):
    sink = settings_of(url_of(valkey), kind="stream", queue="events", stream_length=100).open()
    journal = Journal()
    for _ in range(500):
        journal.add("s1")
    for placed in journal.entries:
        sink.send(placed.event)
    sink.close()
    stored = client(valkey).xrevrange("events", count=1)[0][1]
    assert stored[b"id"] == b"e499" and stored[b"partitionkey"] == b"s1"
    assert json.loads(stored[b"event"])["data"] == {"number": 499}
    assert 100 <= client(valkey).xlen("events") < 300


@pytest.mark.parametrize("kind", ["queue", "stream"])
def test_a_broker_that_is_gone_or_refuses_the_password_is_away(valkey, here, kind):
    gone = settings_of(f"redis://:x@127.0.0.1:{free_port()}/0", kind=kind).open()
    wrong = settings_of(f"redis://:{'wrong' * 3}@{valkey.address}/0", kind=kind).open()
    for sink in (gone, wrong):
        with pytest.raises(SinkAway) as caught:
            sink.send(EVENT)
        assert "wrong" not in str(caught.value) and "127.0.0.1" not in str(caught.value)
        sink.close()


@pytest.mark.parametrize("kind", ["queue", "stream"])
def test_it_comes_back_when_the_broker_does(tmp_path, here, kind):
    port = free_port()
    server = ValkeyServer(tmp_path, options=["--port", str(port), "--bind", "127.0.0.1"])
    server.start()
    sink = settings_of(f"redis://127.0.0.1:{port}", kind=kind).open()
    sink.send(EVENT)
    server.kill()
    with pytest.raises(SinkAway):
        sink.send(EVENT)
    sink.close()
    server.start()
    sink.send(EVENT)
    sink.close()
    server.stop()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/0", "amqp://localhost", "redis://[::1]/0", "amqp://10.0.0.9"])
@pytest.mark.parametrize("kind", ["queue", "stream"])
def test_our_own_network_is_out_of_reach(url, kind, settings):
    settings.QUEUE_PRIVATE = False
    if kind == "stream" and url.startswith("amqp"):
        pytest.skip("streams are those of Valkey and Redis")
    sink = settings_of(url, kind=kind).open()
    with pytest.raises(SinkAway) as caught:
        sink.send(EVENT)
    assert "private network" in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"url": ""},
        {"url": "filesystem://"},
        {"url": "memory://"},
        {"url": "redis+socket:///tmp/valkey.sock"},
        {"url": "redis:///0"},
        {"url": "redis://one,two/0"},
        {"url": "redis://hidden/notanumber"},
        {"url": "redis://hidden/0?ssl_cert_reqs=none"},
        {"url": "amqp://one;amqp://two"},
        {"url": "amqp://hidden:port"},
        {"url": "amqp://hidden", "kind": "stream"},
        {"url": "redis://hidden", "events": []},
        {"url": "redis://hidden", "events": ["clawdbot.turn.made"]},
        {"url": "redis://hidden", "routing_key": "{0.__class__}"},
        {"url": "redis://hidden", "routing_key": "{type!r}"},
        {"url": "redis://hidden", "routing_key": "{open"},
        {"url": "redis://hidden", "queue": ""},
        {"url": "redis://hidden", "stream_length": -1},
        {},
    ],
)
def test_settings_that_cannot_be_are_refused_without_the_address(fields):
    with pytest.raises(registry.InvalidSettings) as caught:
        registry.read_settings(registry.get("queue"), fields)
    assert "hidden" not in str(caught.value)


def test_the_operator_says_which_transports_there_are(settings):
    settings.QUEUE_TRANSPORTS = ["amqps"]
    with pytest.raises(registry.InvalidSettings):
        registry.read_settings(registry.get("queue"), {"url": "redis://host"})


def test_it_writes_to_any_transport_of_kombu(tmp_path):
    folders = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path / "c")}
    sink = KombuSink("filesystem://", queue="turns", options=folders)
    sink.send(EVENT)
    sink.close()
    with kombu.Connection("filesystem://", transport_options=folders) as connection:
        message = connection.SimpleQueue("turns").get(timeout=5)
        assert json.loads(message.body)["id"] == "test-1"


def test_a_routing_key_says_what_an_event_says():
    event = Journal()
    event.add("s1", "clawdbot.turn.failed")
    event = event.entries[0].event
    assert routing_key("", event) == "clawdbot.turn.failed"
    assert routing_key("{tenant}.{kind}.{state}.{session}", event) == "acme.turn.failed.s1"
    check_template("{{}}.{type}")
    assert len(routing_key("é" * 300, event).encode()) <= 255


def test_an_address_is_taken_apart_as_it_is_written():
    broker = parsed("amqps://us%40er:p%2Fw@mq.example.com/my%2Fvhost")
    assert (broker.user, broker.password, broker.path, broker.port) == ("us@er", "p/w", "my/vhost", 5671)
    assert broker.secure and not parsed("redis://host").secure and parsed("redis://host").port == 6379


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory):
    """The address of one that was started here."""
    if RABBITMQ is None:
        pytest.skip("no AMQP broker: rabbitmq-server is not installed")
    server = RabbitServer(tmp_path_factory.mktemp("rabbit"))
    try:
        server.start()
    except RuntimeError as reason:
        pytest.skip(str(reason))
    yield server.url
    server.stop()


def test_rabbitmq_confirms_what_it_keeps(rabbitmq, here):
    sink = settings_of(rabbitmq, queue="turns").open()
    sink.send(EVENT)
    sink.close()
    with kombu.Connection(rabbitmq) as connection:
        message = connection.SimpleQueue("turns").get(timeout=10)
        assert json.loads(message.body) == json.loads(EVENT.encoded())
        assert message.properties["delivery_mode"] == 2 and message.content_type == brokers.TYPE
        message.ack()


def test_rabbitmq_routes_by_key_and_gives_back_what_nobody_takes(rabbitmq, here):
    asked = {"exchange": "clawdbot.events", "routing_key": "{tenant}.{kind}"}
    bound = settings_of(rabbitmq, queue="all", **asked).open()
    bound.send(EVENT)
    bound.close()
    alone = settings_of(rabbitmq, queue="", exchange="clawdbot.nobody", routing_key="{type}").open()
    for _ in range(2):
        with pytest.raises(EventRefused) as caught:
            alone.send(EVENT)
        assert "NO_ROUTE" in str(caught.value)
    with kombu.Connection(rabbitmq) as connection:
        channel = connection.channel()
        kombu.Queue("late", kombu.Exchange("clawdbot.nobody", type="topic"), routing_key="#")(channel).declare()
        alone.send(EVENT)
        alone.close()
        for queue in ("all", "late"):
            assert json.loads(channel.basic_get(queue, no_ack=True).body)["id"] == "test-1"


def test_rabbitmq_that_refuses_the_user_is_away(rabbitmq, here):
    sink = opened({**ASKED, "url": rabbitmq.replace("guest:guest", "guest:other")})
    with pytest.raises(SinkAway) as caught:
        sink.send(EVENT)
    assert "other" not in str(caught.value)


ASKED = {
    "kind": "queue", "queue": "turns", "exchange": "", "exchange_type": "topic", "routing_key": "", "stream_length": 0,
}  # fmt: skip
