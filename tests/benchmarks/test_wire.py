from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import uvloop

from benchmarks import wire


@pytest.mark.parametrize("work", wire.rows().values(), ids=wire.rows())
def test_it_is_answered_again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    """A row raises where an answer is not whole."""

    async def twice() -> None:
        await work()
        await work()

    uvloop.run(twice())
