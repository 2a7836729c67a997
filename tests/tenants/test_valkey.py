from __future__ import annotations

import asyncio
import socket
import time
from itertools import count

import pytest

from engine.errors import StoreUnavailable
from tenants import valkey
from tenants.valkey import CommandRefused, Connection, Script
from tests.services.valkey import ValkeyServer

ECHO = Script("return ARGV")


@pytest.fixture
async def connection(valkey_url):
    connection = Connection(f"{valkey_url}?db=20")
    yield connection
    await connection.close()


@pytest.fixture
def own_server(tmp_path_factory):
    """A server this test may stop, kill and start again."""
    server = ValkeyServer(tmp_path_factory.mktemp("v"))
    server.start()
    yield server
    server.kill()


async def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def answer(connection, *words, seconds=20.0):
    """The reply, once the server is back."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await connection.call(*words)
        except StoreUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


async def test_it_answers_in_the_types_of_the_protocol(connection):
    assert await connection.call("SET", "text", "中文") == b"OK"
    assert await connection.call("GET", "text") == "中文".encode()
    assert await connection.call("GET", "nothing") is None
    assert await connection.call("INCRBY", "number", 5) == 5
    assert await connection.call("RPUSH", "list", b"\x00\xff", 1.5) == 2
    assert await connection.call("LRANGE", "list", 0, -1) == [b"\x00\xff", b"1.5"]


async def test_it_keeps_the_order_of_one_tick(connection):
    replies = [connection.send("INCR", "counter") for _ in range(500)]
    assert await asyncio.gather(*replies) == list(range(1, 501))


async def test_it_writes_all_commands_of_a_tick_at_once(connection):
    await connection.call("PING")
    link = connection._link
    before = len(link._deadlines)
    replies = [connection.send("ECHO", number) for number in range(100)]
    await asyncio.sleep(0)
    assert len(link.waiting) == 100 and len(link._deadlines) == before + 1
    assert await asyncio.gather(*replies) == [str(number).encode() for number in range(100)]


async def test_it_keeps_databases_apart(valkey_url, connection):
    other = Connection(f"{valkey_url}?db=21")
    await connection.call("SET", "whose", "mine")
    assert await other.call("GET", "whose") is None
    await other.close()


async def test_it_tells_a_refused_command_from_an_absent_server(connection):
    await connection.call("SET", "text", "a")
    with pytest.raises(CommandRefused) as caught:
        await connection.call("LPUSH", "text", "b")
    assert "WRONGTYPE" in caught.value.reply and "WRONGTYPE" not in caught.value.message
    assert await connection.call("GET", "text") == b"a"


async def ask_and_cancel(store, batches, size, disturb=None):
    """Callers of whom most are cancelled, at any moment: before their command is written, while it is under way, when
    the answer is there and not read yet. Nobody may ever be handed another one's answer. How many were cancelled, how
    many found the store away."""
    numbers, cancelled, away = count(), 0, 0

    async def ask(number: int) -> None:
        place = number % 7
        if place == 0:
            answers = await store.run(ECHO, [f"k{number % 64}"], number, "x" * (number % 300))
            assert answers == [str(number).encode(), b"x" * (number % 300)]
        else:
            assert await store.run(ECHO, [f"k{number % 64}"], number) == [str(number).encode()]

    for batch in range(batches):
        asked = [asyncio.create_task(ask(next(numbers))) for _ in range(size)]
        for place in range(3):
            await asyncio.sleep(0)
            for task in asked[place + 1 :: 4]:
                task.cancel()
        if disturb is not None:
            disturb(batch)
        if batch % 16 == 0:
            await asyncio.sleep(0.001)
            for task in asked[::4]:
                task.cancel()
        for result in await asyncio.gather(*asked, return_exceptions=True):
            cancelled += isinstance(result, asyncio.CancelledError)
            away += isinstance(result, StoreUnavailable)
            assert result is None or isinstance(result, asyncio.CancelledError | StoreUnavailable), result
    return cancelled, away


async def test_of_a_hundred_thousand_cancelled_calls_none_reaches_another_caller(connection):
    def disturb(batch: int) -> None:
        link = connection._link
        if link is not None and batch % 64 == 20:  # the socket takes no more for a while
            link.pause_writing()
            connection._loop.call_later(0.002, link.resume_writing)
        elif link is not None and batch % 64 == 40:  # it breaks with calls under way
            link.abort()

    await connection.call("PING")
    cancelled, away = await ask_and_cancel(connection, batches=270, size=500, disturb=disturb)
    assert cancelled >= 100_000 and away
    assert await answer(connection, "ECHO", "still in step") == b"still in step"


async def test_it_loads_a_script_the_server_does_not_know(connection):
    script = Script("return {KEYS[1], ARGV[1]}")
    assert await connection.run(script, ["k"], "a") == [b"k", b"a"]
    await connection.call("SCRIPT", "FLUSH")
    replies = await asyncio.gather(*(connection.run(script, ["k"], number) for number in range(5)))
    assert replies == [[b"k", str(number).encode()] for number in range(5)]


async def test_it_fails_what_is_under_way_when_the_server_dies_and_sends_nothing_twice(own_server):
    own_server.options = ["--appendonly", "yes", "--appendfsync", "always"]
    own_server.stop()
    own_server.start()
    connection = Connection(own_server.url)
    await connection.call("SET", "counter", 0)
    blocked = connection.send("BLPOP", "never", 0)
    behind = connection.send("INCR", "counter")
    await until(lambda: connection._link is not None and len(connection._link.waiting) == 2)
    own_server.kill()
    for reply in (blocked, behind):
        with pytest.raises(StoreUnavailable):
            await reply
    own_server.start()
    assert await answer(connection, "GET", "counter") == b"0"
    await connection.close()


async def test_it_fails_at_once_while_the_server_is_away(own_server):
    connection = Connection(own_server.url)
    own_server.stop()
    for _ in range(6):
        with pytest.raises(StoreUnavailable):
            await connection.call("PING")
    attempts = connection._failures
    for _ in range(200):
        with pytest.raises(StoreUnavailable):
            await connection.call("PING")
    assert connection._failures - attempts < 10  # who fails waits for no attempt
    await connection.close()


async def test_it_drops_a_connection_that_does_not_answer(own_server, monkeypatch):
    monkeypatch.setattr("tenants.resp.ANSWER_TIMEOUT", 0.15)
    connection = Connection(own_server.url)
    await connection.call("SET", "a", 1)
    silent = connection.send("BLPOP", "never", 0)
    with pytest.raises(StoreUnavailable):
        await silent
    assert await connection.call("GET", "a") == b"1"
    await connection.close()


async def test_it_waits_for_a_long_answer_while_it_comes(own_server, monkeypatch, tmp_path):
    """The network is slow: what is asked takes longer than a server may be silent."""
    monkeypatch.setattr("tenants.resp.ANSWER_TIMEOUT", 0.15)

    async def pass_on(reader, writer, pause):
        while data := await reader.read(32_768):
            writer.write(data)
            await asyncio.sleep(pause)
        writer.close()

    async def between(reader, writer):
        from_server, to_server = await asyncio.open_unix_connection(str(own_server.socket))
        await asyncio.gather(pass_on(reader, to_server, 0), pass_on(from_server, writer, 0.01))

    slow = await asyncio.start_unix_server(between, tmp_path / "slow")
    connection, large = Connection(f"unix://{tmp_path}/slow"), b"x" * 1_000_000
    await connection.call("SET", "large", large)
    replies = await asyncio.gather(connection.send("GET", "large"), connection.send("GET", "large"))
    assert replies == [large, large]
    await connection.close()
    slow.close()


async def test_it_takes_no_more_than_its_bound(valkey_url):
    connection = Connection(valkey_url, max_waiting=10)
    replies = await asyncio.gather(*(connection.send("PING") for _ in range(15)), return_exceptions=True)
    assert replies[:10] == [b"PONG"] * 10
    assert all(isinstance(reply, StoreUnavailable) for reply in replies[10:])
    assert await connection.call("PING") == b"PONG"
    await connection.close()


async def test_it_moves_more_than_the_socket_holds(connection):
    large = b"x" * 1_000_000
    replies = [connection.send("SET", f"large{number}", large) for number in range(20)]
    assert await asyncio.gather(*replies) == [b"OK"] * 20
    reads = await asyncio.gather(*(connection.send("GET", f"large{number}") for number in range(20)))
    assert all(read == large for read in reads)


async def test_it_signs_in_with_a_password_and_gives_its_name(own_server):
    own_server.stop()
    own_server.options = ["--requirepass", "open sesame"]
    own_server.start()
    connection = Connection(f"unix://:open%20sesame@{own_server.socket}?db=7")
    assert b"name=clawdbot " in await connection.call("CLIENT", "INFO")
    assert b" db=7 " in await connection.call("CLIENT", "INFO")
    await connection.close()
    stranger = Connection(own_server.url)
    with pytest.raises(StoreUnavailable):
        await stranger.call("PING")
    await stranger.close()


async def test_it_waits_while_the_server_loads_its_data(own_server):
    own_server.options = ["--appendonly", "yes"]
    own_server.stop()
    own_server.start()
    writer = Connection(own_server.url)
    await asyncio.gather(*(writer.send("SET", number, b"x" * 100) for number in range(5000)))
    await writer.close()
    own_server.stop()
    own_server.options = [
        "--appendonly",
        "yes",
        "--key-load-delay",
        "100",
        "--loading-process-events-interval-bytes",
        "1024",
    ]
    own_server.start(wait=False)
    await until(own_server.socket.exists)
    connection = Connection(own_server.url)
    assert await answer(connection, "GET", 1) == b"x" * 100
    await connection.close()


async def test_it_answers_what_was_sent_before_it_closes(valkey_url):
    connection = Connection(valkey_url)
    reply = connection.send("ECHO", "last")
    await connection.close()
    assert await reply == b"last"
    with pytest.raises(StoreUnavailable):
        await connection.call("PING")


def test_it_belongs_to_one_event_loop(valkey_url):
    connection = Connection(valkey_url)

    async def use() -> None:
        await connection.call("PING")
        if connection._link is not None:
            connection._link.abort()

    asyncio.run(use())
    with pytest.raises(RuntimeError, match="event loop"):
        asyncio.run(use())


async def test_it_speaks_tcp(own_server):
    own_server.stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    own_server.options = ["--port", str(port), "--requirepass", "p@ss/word"]
    own_server.start()
    connection = Connection(f"redis://:p%40ss%2Fword@127.0.0.1:{port}/5")
    assert await connection.call("PING") == b"PONG"
    await connection.close()


async def test_it_gives_up_on_a_host_that_takes_no_connection(monkeypatch):
    monkeypatch.setattr(valkey, "CONNECT_TIMEOUT", 0.1)

    async def accept_and_stay_silent(reader, writer):
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(accept_and_stay_silent, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    connection = Connection(f"redis://127.0.0.1:{port}")
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(connection.call("PING"), 30)
    await connection.close()
    silent.close()


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
async def test_it_fails_at_once_where_the_name_of_the_server_is_impossible(host):
    connection = Connection(f"redis://{host}/0")
    async with asyncio.timeout(30):
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await connection.call("PING")
        await connection.close()


async def test_it_names_another_era_once_the_server_was_restarted(own_server):
    connection = Connection(own_server.url)
    assert connection.era("a") == ""
    await connection.call("SET", "a", 1)
    era = connection.era("a")
    assert len(era) == 25 and connection.era("b") == era
    own_server.kill()
    own_server.start()
    await answer(connection, "GET", "a")
    assert connection.era("a") not in ("", era)
    await connection.close()


async def test_a_server_knows_every_script_before_it_is_asked_for_one(own_server):
    """A script that had to be sent again would be overtaken by what was sent behind it."""
    script = Script("return redis.call('INCR', KEYS[1])")
    connection = Connection(f"{own_server.url}?db=0")
    first = connection.run(script, ["k"])
    second = connection.send("GET", "k")
    assert (await first, await second) == (1, b"1")
    await connection.close()
