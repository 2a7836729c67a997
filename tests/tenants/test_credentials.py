import asyncio
import contextlib
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from engine.errors import StoreUnavailable
from tenants.credentials import Credentials, Reader, RowCache
from tenants.live import LiveConfig
from tenants.models import ApiKey
from tenants.services import create_api_key, revoke_api_key
from tests.cast import ALICE, BOB

AWAY = "unix:///nonexistent/valkey.sock"


@pytest.fixture
def credentials(transactional_db, cast):
    credentials = Credentials()
    credentials.start()
    yield credentials
    credentials.stop()


@pytest.fixture
def live(credentials, settings):
    settings.VALKEY_NODES = [AWAY]
    live = LiveConfig(AWAY)
    credentials.register(live)
    live.load()
    return live


@contextlib.asynccontextmanager
async def database_away():
    await asyncio.to_thread(rename, "tenants_apikey", "elsewhere")
    try:
        yield
    finally:
        await asyncio.to_thread(rename, "elsewhere", "tenants_apikey")


def rename(old, new):
    with connection.schema_editor() as editor:
        editor.alter_db_table(ApiKey, old, new)
    connection.close()


class Table:
    """A slow table in memory that counts its readers."""

    def __init__(self, rows):
        self.rows = rows
        self.asked = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, keys):
        self.asked.append(list(keys))
        self.gate.wait(60)
        return {key: self.rows[key] for key in keys if key in self.rows}


@pytest.fixture
def table():
    return Table({number: f"row {number}" for number in range(2_000)})


@pytest.fixture
def cache(table):
    reader = Reader()
    reader.start()
    yield RowCache(table, reader, capacity=1000, timeout=30)
    table.gate.set()
    reader.stop()


async def asked(table, count=1):
    while len(table.asked) < count:
        await asyncio.sleep(0.001)


async def test_it_reads_a_key_once_and_then_remembers_it(credentials, cast):
    assert credentials.keys.cached(ALICE.digest) is None
    key = await credentials.keys.resolve(ALICE.digest)
    assert (key.id, key.tenant_id, key.scopes) == (ALICE.id, ALICE.company.id, {"chat", "sessions"})
    assert credentials.keys.cached(ALICE.digest) is key


async def test_it_reads_members_with_their_role(credentials, cast):
    member = await credentials.members.resolve(ALICE.id)
    assert (member.id, member.tenant_id, member.user_id, member.role) == (1, 1, 1, "owner")


async def test_it_knows_no_revoked_key_and_no_inactive_member(credentials, cast):
    await asyncio.to_thread(revoke_api_key, key=cast.alice_key)
    cast.bob.user.is_active = False
    await cast.bob.user.asave()
    cast.charlie.is_active = False
    await cast.charlie.asave()
    assert await credentials.keys.resolve(ALICE.digest) is None
    assert await credentials.members.resolve(cast.bob.id) is None
    assert await credentials.members.resolve(cast.charlie.id) is None


async def test_it_carries_scopes_and_expiry(credentials, cast):
    expires = timezone.now() + timedelta(days=1)
    row, _ = await asyncio.to_thread(
        create_api_key, tenant=cast.acme, name="audit", scopes=["audit"], expires_at=expires
    )
    key = await credentials.keys.resolve(row.digest)
    assert (key.scopes, key.expires_at) == ({"audit"}, expires.timestamp())


async def test_it_asks_once_for_many_that_wait_for_the_same_row(cache, table):
    table.gate.clear()
    waiting = [asyncio.create_task(cache.resolve(7)) for _ in range(50)]
    await asked(table)
    table.gate.set()
    assert set(await asyncio.gather(*waiting)) == {"row 7"}
    assert table.asked == [[7]]


async def test_it_asks_for_many_rows_in_one_query(cache, table):
    table.gate.clear()
    waiting = [asyncio.create_task(cache.resolve(0))]
    await asked(table)
    waiting += [asyncio.create_task(cache.resolve(number)) for number in range(1, 600)]
    await asyncio.sleep(0)
    table.gate.set()
    assert await asyncio.gather(*waiting) == [f"row {number}" for number in range(600)]
    assert [len(keys) for keys in table.asked] == [1, 500, 99]


async def test_it_remembers_for_a_while_that_there_is_no_such_row(table):
    now = [0.0]
    reader = Reader()
    reader.start()
    cache = RowCache(table, reader, absent_ttl=5, clock=lambda: now[0])
    try:
        for second in (0, 1, 4.9):
            now[0] = second
            assert await cache.resolve("nobody") is None
        assert len(table.asked) == 1
        table.rows["nobody"] = "somebody"
        now[0] = 5.1
        assert await cache.resolve("nobody") == "somebody"
    finally:
        reader.stop()


async def test_it_says_unavailable_instead_of_waiting_for_a_database_that_hangs(cache, table):
    cache._timeout = 0.5
    table.gate.clear()
    start = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await cache.resolve(1)
    assert time.monotonic() - start < 30
    table.gate.set()
    assert await cache.resolve(1) == "row 1"


async def test_it_leaves_the_answer_to_others_when_one_gives_up(cache, table):
    table.gate.clear()
    first, second = (asyncio.create_task(cache.resolve(3)) for _ in range(2))
    await asked(table)
    first.cancel()
    await asyncio.sleep(0)
    table.gate.set()
    assert await second == "row 3"
    assert first.cancelled()


async def test_it_serves_cached_keys_and_no_others_while_the_database_is_away(credentials, live, cast):
    await credentials.keys.resolve(ALICE.digest)
    async with database_away():
        assert credentials.keys.cached(ALICE.digest).id == ALICE.id
        with pytest.raises(StoreUnavailable):
            await credentials.keys.resolve(BOB.digest)
        await asyncio.to_thread(live.look)
        assert credentials.keys.cached(ALICE.digest).id == ALICE.id
    assert (await credentials.keys.resolve(BOB.digest)).id == BOB.id


async def test_it_survives_a_mistake_in_the_reading(table):
    def read(keys):
        if not table.rows:
            raise OperationalError
        return keys["not a dictionary"]

    reader = Reader()
    reader.start()
    cache = RowCache(read, reader)
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await cache.resolve(1)
            table.rows.clear()
    finally:
        reader.stop()


async def test_it_drops_what_was_revoked_and_keeps_the_rest(credentials, live, cast):
    for person in (ALICE, BOB):
        await credentials.keys.resolve(person.digest)
        await credentials.members.resolve(person.id)
    await asyncio.to_thread(revoke_api_key, key=cast.alice_key)
    await asyncio.to_thread(cast.alice.delete)
    await asyncio.to_thread(live.look)
    assert credentials.keys.cached(ALICE.digest) is None
    assert credentials.members.cached(ALICE.id) is None
    assert credentials.keys.cached(BOB.digest).id == BOB.id
    assert credentials.members.cached(BOB.id).id == BOB.id


async def test_it_drops_the_members_of_a_user_who_was_deactivated(credentials, live, cast):
    await credentials.members.resolve(ALICE.id)
    cast.alice.user.is_active = False
    await cast.alice.user.asave()
    await asyncio.to_thread(live.look)
    assert credentials.members.cached(ALICE.id) is None


async def test_it_refuses_a_revoked_key_in_every_process_though_the_bus_is_away(credentials, cast, settings):
    settings.VALKEY_NODES = [AWAY]
    processes = [(credentials, LiveConfig(AWAY)), (Credentials(), LiveConfig(AWAY))]
    processes[1][0].start()
    try:
        for each, live in processes:
            each.register(live)
            await asyncio.to_thread(live.load)
            live.start()
            await each.keys.resolve(ALICE.digest)
        await asyncio.to_thread(revoke_api_key, key=cast.alice_key)
        async with asyncio.timeout(30):
            for each, _ in processes:
                while await each.keys.resolve(ALICE.digest) is not None:
                    await asyncio.sleep(0.05)
    finally:
        for _, live in processes:
            await asyncio.to_thread(live.stop)
        processes[1][0].stop()


async def test_it_knows_a_new_key_at_once_though_it_was_tried_before_it_existed(credentials, live, cast):
    assert await credentials.keys.resolve("f" * 64) is None
    await ApiKey.objects.acreate(tenant=cast.acme, name="late", digest="f" * 64, hint="cb_")
    await asyncio.to_thread(live.look)
    assert (await credentials.keys.resolve("f" * 64)).tenant_id == cast.acme.id


async def test_it_does_not_keep_what_was_read_before_a_change(cache, table):
    table.gate.clear()
    early = asyncio.create_task(cache.resolve(5))
    await asked(table)
    cache.apply(cache.recheck())
    table.gate.set()
    assert await early == "row 5"
    assert cache.cached(5) is None


async def test_it_stays_bounded(cache):
    for number in range(2_000):
        await cache.resolve(number)
    assert sum(cache.cached(number) is not None for number in range(2_000)) <= 1000
