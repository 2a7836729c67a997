"""Closed loops over whatever protocol: every caller asks again when its answer is whole."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.environment import Mock
from benchmarks.gateway import Row, WrongAnswers
from benchmarks.processes import Times, times

Ask = Callable[[int], Awaitable[None]]  # one turn of a caller, given a running number
WARMUP = 1.0  # seconds


async def saturated(
    name: str, asks: Sequence[Ask], seconds: float, *, pid: int, mock: Mock, unit: str = "turns", each: int = 1
) -> Row:
    """What `pid` does and uses while all ask; `each`: units a turn. Raises WrongAnswers if the mock was asked more or
    less often than answers came."""
    numbers = itertools.count()
    latencies: list[float] = []
    marks: list[Times] = []
    before, answers = mock.count(), 0
    counted = time.perf_counter() + WARMUP
    ends = counted + seconds
    asyncio.get_running_loop().call_later(WARMUP, lambda: marks.append(times(pid)))

    async def caller(ask: Ask) -> None:
        nonlocal answers
        while (began := time.perf_counter()) < ends:
            await ask(next(numbers))
            answers += 1
            if began >= counted:
                latencies.append(time.perf_counter() - began)

    await asyncio.gather(*map(caller, asks))
    used, took = times(pid) - marks[0], time.perf_counter() - counted
    if (asked := mock.count() - before) != answers or not latencies:
        raise WrongAnswers(f"{name}: {answers} answers, upstream {asked}")
    latencies.sort()
    count = len(latencies) * each
    p50, p99 = (latencies[int(q * len(latencies))] * 1e3 for q in (0.5, 0.99))
    return Row(name, count / took, unit, used.ran / count * 1e6, used.ran / took, used.waited / took, p50, p99)
