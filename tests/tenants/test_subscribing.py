from __future__ import annotations

import asyncio
import os
import signal

import pytest

from engine.errors import StoreUnavailable
from tenants import subscribing
from tenants.subscribing import Subscriber
from tenants.valkey import CommandRefused, Connection
from tests.services.valkey import ValkeyServer
from tests.tenants.test_valkey import until


@pytest.fixture
def own_server(tmp_path_factory):
    """A server this test may stop, kill and start again."""
    server = ValkeyServer(tmp_path_factory.mktemp("v"))
    server.start()
    yield server
    server.kill()


class Listening:
    """What was heard of `channels`."""

    def __init__(self, url, *channels):
        self.channels = dict.fromkeys(channels)
        self.heard = []
        self.subscriber = Subscriber(
            url, wanted=self.channels.keys, heard=lambda channel, said: self.heard.append((channel, said))
        )


@pytest.fixture
async def listening(valkey_url):
    made = Listening(valkey_url)
    yield made
    await made.subscriber.close()


@pytest.fixture
async def publisher(valkey_url):
    connection = Connection(valkey_url)
    yield connection
    await connection.close()


async def test_it_hears_what_it_subscribed_to_and_nothing_else(listening, publisher):
    await listening.subscriber.subscribe("one", "two")
    for channel, said in (("one", "a"), ("three", "b"), ("two", b"\x00\xff"), ("one", "中文")):
        await publisher.call("PUBLISH", channel, said)
    await until(lambda: len(listening.heard) == 3)
    assert listening.heard == [(b"one", b"a"), (b"two", b"\x00\xff"), (b"one", "中文".encode())]


async def test_it_hears_nothing_after_it_unsubscribed(listening, publisher):
    await listening.subscriber.subscribe("one")
    await listening.subscriber.subscribe("two")
    listening.subscriber.unsubscribe("one")
    assert await listening.subscriber.call("PING") == [b"pong", b""]  # the replies keep their order
    assert await publisher.call("PUBLISH", "one", "a") == 0
    assert await publisher.call("PUBLISH", "two", "b") == 1
    await until(lambda: listening.heard == [(b"two", b"b")])


async def test_who_never_subscribed_unsubscribes_without_a_connection(listening):
    listening.subscriber.unsubscribe("one")
    assert listening.subscriber.idle and not listening.subscriber.connected


async def test_many_subscribe_at_once_and_each_is_heard(listening, publisher):
    await asyncio.gather(*(listening.subscriber.subscribe(f"c{n % 50}") for n in range(200)))
    for number in range(50):
        assert await publisher.call("PUBLISH", f"c{number}", "x") == 1
    await until(lambda: len(listening.heard) == 50)


async def test_a_waiter_who_leaves_takes_no_answer_from_another(listening, publisher):
    gone, stays = listening.subscriber.subscribe("one"), listening.subscriber.subscribe("two")
    gone.cancel()
    await stays
    assert await publisher.call("PUBLISH", "two", "x") == 1


async def test_it_subscribes_anew_when_its_server_is_back(own_server, monkeypatch):
    monkeypatch.setattr(subscribing, "PAUSE", 0.01)
    monkeypatch.setattr(subscribing, "AT_ONCE", 3)
    channels = [f"c{number}" for number in range(10)]
    listening = Listening(own_server.url, *channels)
    await listening.subscriber.subscribe(*channels)
    own_server.kill()
    await until(lambda: not listening.subscriber.connected)
    with pytest.raises(StoreUnavailable):
        await listening.subscriber.subscribe("late")
    own_server.start()
    publisher = Connection(own_server.url)
    async with asyncio.timeout(20):
        while [await publisher.call("PUBLISH", channel, "x") for channel in channels] != [1] * len(channels):
            await asyncio.sleep(0.05)
    await until(lambda: {channel for channel, _ in listening.heard} == {channel.encode() for channel in channels})
    assert await publisher.call("PUBLISH", "late", "x") == 0  # it was refused, and nobody wants it
    await publisher.close()
    await listening.subscriber.close()


async def test_a_server_that_says_nothing_any_more_is_left(own_server, monkeypatch):
    monkeypatch.setattr(subscribing, "PULSE", 0.05)
    monkeypatch.setattr("tenants.resp.ANSWER_TIMEOUT", 0.2)
    listening = Listening(own_server.url, "one")
    await listening.subscriber.subscribe("one")
    os.kill(own_server.pid, signal.SIGSTOP)
    await until(lambda: not listening.subscriber.connected)
    os.kill(own_server.pid, signal.SIGCONT)
    publisher = Connection(own_server.url)
    async with asyncio.timeout(20):
        while await publisher.call("PUBLISH", "one", "x") == 0:
            await asyncio.sleep(0.05)
    await publisher.close()
    await listening.subscriber.close()


async def test_who_may_not_listen_is_told_and_waits_for_nothing(own_server):
    operator = Connection(own_server.url)
    await operator.call("ACL", "SETUSER", "deaf", "on", ">secret", "~*", "resetchannels", "+@all")
    listening = Listening(own_server.url.replace("://", "://deaf:secret@", 1))
    with pytest.raises(StoreUnavailable) as refused:
        await asyncio.wait_for(listening.subscriber.subscribe("one"), 5)
    assert isinstance(refused.value, CommandRefused) and refused.value.reply.startswith("NOPERM")
    await operator.close()
    await listening.subscriber.close()


async def test_it_stops_asking_once_nobody_wants_anything(listening, publisher, monkeypatch):
    monkeypatch.setattr(subscribing, "PULSE", 0.02)
    listening.channels["one"] = None
    await listening.subscriber.subscribe("one")
    assert listening.subscriber._pulse is not None
    listening.channels.clear()
    await until(lambda: listening.subscriber._pulse is None)
    await listening.subscriber.subscribe("two")
    assert listening.subscriber._pulse is not None


async def test_a_closed_one_fails_at_once(valkey_url):
    listening = Listening(valkey_url)
    await listening.subscriber.subscribe("one")
    await listening.subscriber.close()
    with pytest.raises(StoreUnavailable):
        await listening.subscriber.subscribe("two")
    assert listening.subscriber._pulse is None and listening.subscriber._retry is None
