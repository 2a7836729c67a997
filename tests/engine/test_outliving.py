import asyncio

import pytest

from engine.errors import AuditUnavailable
from engine.outliving import outlived


def future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def waiting(done: asyncio.Future[None]) -> asyncio.Task[None]:
    task = asyncio.ensure_future(outlived(done))
    await asyncio.sleep(0)
    return task


async def test_it_waits_until_it_is_done():
    done = future()
    task = await waiting(done)
    assert not task.done()
    done.set_result(None)
    await task


async def test_who_is_cancelled_leaves_at_once_and_it_goes_on():
    done = future()
    task = await waiting(done)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not done.done()
    done.set_result(None)
    await asyncio.sleep(0)


async def test_who_is_cancelled_when_it_is_done_is_cancelled():
    done = future()
    task = await waiting(done)
    done.set_result(None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("before", [True, False])
async def test_it_raises_what_went_wrong(before):
    done = future()
    if before:
        done.set_exception(AuditUnavailable())
    task = await waiting(done)
    if not before:
        done.set_exception(AuditUnavailable())
    with pytest.raises(AuditUnavailable):
        await task


async def test_several_wait_for_the_same():
    done = future()
    tasks = [await waiting(done) for _ in range(3)]
    tasks[0].cancel()
    done.set_result(None)
    await asyncio.gather(*tasks[1:])
