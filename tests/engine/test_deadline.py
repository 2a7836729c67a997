import asyncio

import pytest

from engine.deadline import Deadline


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.01


async def test_it_ends_what_waits_for_too_long():
    with pytest.raises(TimeoutError):
        with Deadline(soon()):
            await asyncio.sleep(5)
    assert asyncio.current_task().cancelling() == 0


async def test_it_ends_what_begins_too_late():
    with pytest.raises(TimeoutError):
        with Deadline(soon() - 1):
            await asyncio.sleep(5)


async def test_it_does_nothing_to_what_is_over_in_time():
    with Deadline(soon()):
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)
    assert asyncio.current_task().cancelling() == 0


async def test_an_error_in_time_stays_what_it_is():
    with pytest.raises(ValueError, match="other"):
        with Deadline(soon()):
            raise ValueError("other")


async def test_who_is_cancelled_by_somebody_else_is_cancelled():
    async def work():
        with Deadline(soon() + 5):
            await asyncio.sleep(5)

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_cancelled_at_that_very_moment_is_cancelled():
    async def work():
        deadline = Deadline(asyncio.get_running_loop().time() + 5)
        with deadline:
            asyncio.get_running_loop().call_soon(both, deadline)
            await asyncio.sleep(5)

    def both(deadline: Deadline) -> None:
        deadline._expire()
        task.cancel()

    task = asyncio.ensure_future(work())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_within_another_is_told_from_it():
    with pytest.raises(TimeoutError):
        with Deadline(soon()):
            try:
                with Deadline(soon() + 5):
                    await asyncio.sleep(5)
            except TimeoutError:
                pytest.fail("the inner one was not late")
    assert asyncio.current_task().cancelling() == 0
