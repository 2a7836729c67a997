import pytest

from access.tickets import Tickets
from engine.errors import StoreUnavailable, Unauthenticated
from tenants.valkey import Connection

HEADERS = [(b"host", b"a"), (b"authorization", b"Bearer cb_secret"), (b"x-api-key", b"cb_other")]


@pytest.fixture
async def store(valkey_url):
    connection = Connection(valkey_url)
    yield connection
    await connection.close()


async def test_it_stands_for_a_credential_once(store):
    tickets = Tickets(store)
    ticket = await tickets.issue(HEADERS)
    assert await tickets.redeem(ticket) == HEADERS[1:]
    with pytest.raises(Unauthenticated):
        await tickets.redeem(ticket)


async def test_it_keeps_no_secret_in_the_store(store):
    ticket = await Tickets(store).issue(HEADERS)
    (name,) = await store.call("KEYS", "*")
    value = await store.call("GET", name)
    assert ticket.encode() not in name + value and b"cb_secret" not in value
    assert 50 <= await store.call("TTL", name) <= 60


async def test_it_refuses_other_tickets(store):
    for ticket in ("", "x", "\ud800", "x" * 10_000):
        with pytest.raises(Unauthenticated):
            await Tickets(store).redeem(ticket)


async def test_it_says_when_the_store_is_away():
    connection = Connection("unix:///nowhere/valkey.sock")
    with pytest.raises(StoreUnavailable):
        await Tickets(connection).issue(HEADERS)
    await connection.close()
