"""Waiting for what goes on without whoever waits."""

from __future__ import annotations

import asyncio
from functools import partial


async def outlived(future: asyncio.Future[None]) -> None:
    """Waits for a future that a cancellation of the running task does not reach. `asyncio.shield` does the same with a
    callback more and three times the bytecodes, which every turn of a session paid."""
    if not future.done():
        waiter = future.get_loop().create_future()
        wake = partial(_wake, waiter)
        future.add_done_callback(wake)
        try:
            await waiter
        finally:
            future.remove_done_callback(wake)
    future.result()


def _wake(waiter: asyncio.Future[None], future: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
