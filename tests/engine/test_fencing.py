import asyncio

import pytest

from engine.errors import AuditUnavailable
from engine.fencing import Fence


async def test_it_turns_a_failed_intent_into_its_own_error():
    intent = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, intent.set_exception, AuditUnavailable())
    with pytest.raises(AuditUnavailable):
        with Fence(intent):
            await asyncio.sleep(5)
    assert asyncio.current_task().cancelling() == 0


async def test_it_lets_a_foreign_cancellation_through():
    intent = asyncio.get_running_loop().create_future()

    async def work():
        with Fence(intent):
            await asyncio.sleep(5)

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    intent.set_exception(AuditUnavailable())
    with pytest.raises((asyncio.CancelledError, AuditUnavailable)):
        await task
    intent.exception()


async def test_it_is_not_left_over_an_intent_that_fails_in_the_same_tick():
    loop = asyncio.get_running_loop()
    intent, token = loop.create_future(), loop.create_future()

    def both() -> None:
        token.set_result(None)  # the task is woken first, the fence's own callback comes after it
        intent.set_exception(AuditUnavailable())

    loop.call_soon(both)
    with pytest.raises(AuditUnavailable):
        with Fence(intent):
            await token
    await asyncio.sleep(0.01)  # nothing cancels the task afterwards
    assert asyncio.current_task().cancelling() == 0


async def test_it_raises_at_once_when_the_intent_had_failed():
    intent = asyncio.get_running_loop().create_future()
    intent.set_exception(AuditUnavailable())
    with pytest.raises(AuditUnavailable):
        with Fence(intent):
            pytest.fail("must not be entered")
