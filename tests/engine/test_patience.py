"""One bell for all who wait on an event loop."""

from __future__ import annotations

import asyncio

import uvloop

from engine.patience import SPARE, Bell, Patience


async def test_it_calls_in_the_order_of_time_and_not_whom_it_was_told_to_forget():
    loop = asyncio.get_running_loop()
    bell, called, done = Bell(loop), [], asyncio.Event()
    now = loop.time()
    bell.at(now + 0.03, done.set)
    bell.at(now + 0.02, lambda: called.append("second"))
    bell.forget(bell.at(now + 0.015, lambda: called.append("forgotten")))
    bell.at(now + 0.01, lambda: called.append("first"))
    await done.wait()
    assert called == ["first", "second"]


async def test_what_raises_keeps_nobody_else_from_being_called():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    bell, done = Bell(loop), asyncio.Event()
    bell.at(loop.time(), lambda: 1 / 0)
    bell.at(loop.time() + 0.01, done.set)
    await done.wait()


async def test_it_keeps_few_of_those_that_are_over():
    loop = asyncio.get_running_loop()
    bell = Bell(loop)
    entries = [bell.at(loop.time() + 60, lambda: None) for _ in range(1000)]
    for entry in entries:
        bell.forget(entry)
        bell.forget(entry)
    assert len(bell._queue) <= 2 * SPARE + 1


async def test_a_limit_that_moved_on_is_late_only_then():
    loop = asyncio.get_running_loop()
    late = loop.create_future()
    patience = Patience(loop, lambda: late.set_result(loop.time()))
    began = loop.time()
    patience.until(began + 0.01, "early")
    patience.begin()
    patience.until(began + 0.05, "why")
    assert await late >= began + 0.05
    assert patience.why == "why"


async def test_nobody_is_late_who_does_not_wait():
    loop = asyncio.get_running_loop()
    called = []
    patience = Patience(loop, lambda: called.append(1))
    patience.until(loop.time() + 0.01, "")
    patience.begin()
    patience.end()
    await asyncio.sleep(0.03)
    patience.over()
    assert called == []


async def test_what_rang_for_a_wait_that_is_over_leaves_the_next_one_alone():
    patience = Patience(asyncio.get_running_loop(), lambda: None)
    for at in (0.0, asyncio.get_running_loop().time() + 60):
        patience.until(at, "")
        patience.begin()
        if not at:
            patience._bell._ring()
            patience.over()
    mine = patience._entry
    await asyncio.sleep(0)
    assert patience._entry is mine
    patience.over()
    assert all(call is None for _, _, call in patience._bell._queue)


def test_it_does_not_look_again_and_again_until_it_is_time(monkeypatch):
    rung = []
    ring = Bell._ring

    def counting(bell: Bell) -> None:
        rung.append(bell)
        ring(bell)

    monkeypatch.setattr(Bell, "_ring", counting)

    async def waits() -> None:
        loop = asyncio.get_running_loop()
        for fraction in range(20):
            called = asyncio.Event()
            Bell(loop).at(loop.time() + 0.003 + fraction * 0.0001, called.set)
            await called.wait()

    uvloop.run(waits())
    assert len(rung) == 20
