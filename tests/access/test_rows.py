import asyncio
import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, InterfaceError, OperationalError, connections

from access.lean import guard_connections, lean
from access.management.rows import MAX_WAITING, THREADS, Rows
from engine.errors import Conflict, InvalidRequest, Overloaded, StoreUnavailable
from tenants.models import Tenant


@pytest.fixture
async def rows():
    rows = Rows()
    yield rows
    await asyncio.to_thread(rows.close)


def raising(error):
    def work():
        raise error

    return work


async def test_it_works_beside_the_event_loop_in_a_few_threads(rows):
    names = set(await asyncio.gather(*(rows.run(lambda: threading.current_thread().name) for _ in range(20))))
    assert len(names) <= THREADS and threading.current_thread().name not in names


@pytest.mark.django_db(transaction=True)
async def test_it_may_use_the_database_for_a_lean_request(rows):
    guard_connections()
    token = lean.set(True)
    try:
        assert await rows.run(Tenant.objects.count) == 0
    finally:
        lean.reset(token)


@pytest.mark.parametrize(
    ("error", "kind", "param", "message"),
    [
        (ValidationError({"weight": ["Too much.", "Odd."]}), InvalidRequest, "weight", "weight: Too much."),
        (ValidationError({"__all__": "No room."}), InvalidRequest, None, "No room."),
        (ValidationError("No."), InvalidRequest, None, "No."),
        (OperationalError("database is locked"), StoreUnavailable, None, StoreUnavailable.text),
        (InterfaceError("connection already closed"), StoreUnavailable, None, StoreUnavailable.text),
        (IntegrityError("UNIQUE constraint failed: x.y"), Conflict, None, Conflict.text),
    ],
)
async def test_it_says_what_went_wrong_in_the_words_of_the_edges(rows, error, kind, param, message):
    with pytest.raises(kind) as caught:
        await rows.run(raising(error))
    assert type(caught.value) is kind
    assert (caught.value.param, caught.value.message) == (param, message)


async def test_it_lets_a_mistake_of_the_program_pass(rows):
    with pytest.raises(KeyError):
        await rows.run(raising(KeyError("x")))


async def test_it_refuses_what_would_wait_behind_a_database_that_hangs(rows):
    go_on = threading.Event()
    waiting = [asyncio.ensure_future(rows.run(go_on.wait)) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await rows.run(lambda: None)
    go_on.set()
    assert await asyncio.gather(*waiting) == [True] * MAX_WAITING
    assert await rows.run(lambda: 1) == 1


async def test_it_forgets_waiting_work_of_a_caller_who_left():
    rows, go_on, done = Rows(), threading.Event(), []
    busy = [asyncio.ensure_future(rows.run(go_on.wait)) for _ in range(THREADS)]
    left = asyncio.ensure_future(rows.run(lambda: done.append(1)))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    go_on.set()
    await asyncio.gather(*busy)
    await asyncio.to_thread(rows.close)
    assert done == []


@pytest.mark.django_db(transaction=True)
async def test_it_closes_the_connections_of_every_thread():
    rows, together, opened = Rows(), threading.Barrier(THREADS), []

    def work():
        together.wait(5)
        connections["default"].ensure_connection()
        opened.append(connections["default"])

    await asyncio.gather(*(rows.run(work) for _ in range(THREADS)))
    assert len(set(map(id, opened))) == THREADS
    await asyncio.to_thread(rows.close)
    assert [connection.connection for connection in opened] == [None] * THREADS
